package api

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"

	"github.com/settlehq/settle/telemetry"
)

// Bounds of what counting requests may cost.
const (
	limitTimeout  = 50 * time.Millisecond // that a request waits for Redis at most
	limitPause    = time.Second           // without Redis after it failed
	limitLogEvery = time.Minute
)

// OpenRedis returns a client for Deps.Redis. It connects when it is first used,
// and neither retries nor waits: who counts would rather not count.
func OpenRedis(url string) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, fmt.Errorf("open redis: %w", err)
	}
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = limitTimeout, limitTimeout, limitTimeout, limitTimeout
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(o), nil
}

func init() {
	// Its own lines on stderr would say once more, in another form, what the
	// limiter logs.
	redis.SetLogger(silent{})
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// limiter bounds the requests per second of an API key, and of a merchant's keys
// of one mode together, by GCRA: the bucket holds one second's worth, and
// refills steadily.
//
// It fails open, since Redis is not truth: a request that Redis does not count
// in time goes ahead uncounted, and the next second's do not even ask.
type limiter struct {
	counts           *redis_rate.Limiter // nil: there is no limit
	key, merchant    redis_rate.Limit
	policy           string        // field RateLimit-Policy of merchants
	operators        string        // and of operators, whose keys have only their own quota
	timeout          time.Duration // limitTimeout
	now              func() time.Time
	log              *zap.Logger
	resume, loggedAt atomic.Int64 // Unix nanoseconds; resume is 0 while Redis answers
	uncounted        atomic.Int64 // requests since it stopped answering
}

// newLimiter limits each key to perSecond requests. Without a client, or with
// 0, there is no limit.
func newLimiter(client redis.UniversalClient, perSecond int, now func() time.Time, log *zap.Logger) *limiter {
	l := &limiter{key: redis_rate.PerSecond(perSecond), merchant: redis_rate.PerSecond(2 * perSecond), timeout: limitTimeout, now: now, log: log}
	l.operators = fmt.Sprintf(`"default";q=%d;w=1`, l.key.Rate)
	l.policy = l.operators + fmt.Sprintf(`, "merchant";q=%d;w=1`, l.merchant.Rate)
	if client != nil && perSecond > 0 {
		l.counts = redis_rate.NewLimiter(client)
	}
	return l
}

// limit is a huma middleware, behind authenticate. It tells how much is left in
// the fields of draft-ietf-httpapi-ratelimit-headers, "default" being the key's.
func (s *surface) limit(ctx huma.Context, next func(huma.Context)) {
	who := caller(ctx.Context())
	if who.Key.ID == "" || s.limiter.counts == nil {
		next(ctx)
		return
	}
	left := s.limiter.take(ctx.Context(), who)
	if len(left) == 0 {
		next(ctx)
		return
	}
	policy := s.limiter.policy
	if who.ID == "" {
		policy = s.limiter.operators
	}
	ctx.SetHeader("RateLimit-Policy", policy)
	ctx.SetHeader("RateLimit", left.String())
	if wait := left.wait(); wait > 0 {
		p := fail(RateLimited, "")
		p.retryAfter = wait
		s.respond(ctx, p)
		return
	}
	next(ctx)
}

// quota is what Redis says of one limit.
type quota struct {
	name string
	*redis_rate.Result
}

// quotas are what was asked: the key's, and if that allows, the merchant's.
type quotas []quota

// String is the field RateLimit: r are the requests left, t the seconds until
// there are as many as possible.
func (q quotas) String() string {
	var parts []string
	for _, one := range q {
		parts = append(parts, fmt.Sprintf(`"%s";r=%d;t=%d`, one.name, one.Remaining, seconds(one.ResetAfter)))
	}
	return strings.Join(parts, ", ")
}

// wait returns in how many seconds to try again, or 0 if every limit allows.
func (q quotas) wait() int {
	for _, one := range q {
		if one.Allowed == 0 {
			return max(1, seconds(one.RetryAfter))
		}
	}
	return 0
}

// seconds rounds up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// take counts a request; nothing if it could not be counted.
func (l *limiter) take(ctx context.Context, who principal) quotas {
	if !l.ready() {
		l.skip(ctx)
		return nil
	}
	asked, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	key, err := l.counts.Allow(asked, "key:"+who.Key.ID, l.key)
	if err == nil && (key.Allowed == 0 || who.ID == "") {
		l.works()
		return quotas{{"default", key}}
	}
	var merchant *redis_rate.Result
	if err == nil {
		merchant, err = l.counts.Allow(asked, "merchant:"+who.ID+":"+string(who.Key.Mode), l.merchant)
	}
	switch {
	case err == nil:
		l.works()
		return quotas{{"default", key}, {"merchant", merchant}}
	case ctx.Err() == nil: // else the client went away, which says nothing about Redis
		l.failed(err)
	}
	l.skip(ctx)
	return nil
}

// ready reports whether Redis may be asked. After a failure one request per
// pause finds out whether it is back.
func (l *limiter) ready() bool {
	resume, now := l.resume.Load(), l.now()
	if resume == 0 {
		return true
	}
	return now.UnixNano() >= resume && l.resume.CompareAndSwap(resume, now.Add(limitPause).UnixNano())
}

func (l *limiter) works() {
	if l.resume.Load() != 0 && l.resume.Swap(0) != 0 {
		l.log.Info("rate limits are enforced again", zap.Int64("uncounted", l.uncounted.Swap(0)))
	}
}

func (l *limiter) failed(err error) {
	now := l.now()
	l.resume.Store(now.Add(limitPause).UnixNano())
	last := l.loggedAt.Load()
	if (last == 0 || now.UnixNano()-last >= int64(limitLogEvery)) && l.loggedAt.CompareAndSwap(last, now.UnixNano()) {
		l.log.Warn("rate limits are not enforced: Redis does not answer", zap.Int64("uncounted", l.uncounted.Load()), zap.Error(err))
	}
}

// skip puts a request that is not counted on its wide line.
func (l *limiter) skip(ctx context.Context) {
	telemetry.Add(ctx, zap.Int64("rate_limit_uncounted", l.uncounted.Add(1)))
}

package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

// limited serves the API with a rate limit that the Redis at address counts,
// and waits as long for it as it takes. It returns what is logged at level info
// and above.
func (b *bench) limited(address string, perSecond int) *observer.ObservedLogs {
	b.t.Helper()
	logs := b.limitedBy(redis.NewClient(&redis.Options{Addr: address, ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1}), perSecond)
	b.server.WaitForRedis(10 * time.Second)
	return logs
}

// limitedBy is limited, and waits as long as in production.
func (b *bench) limitedBy(client *redis.Client, perSecond int) *observer.ObservedLogs {
	b.t.Helper()
	b.t.Cleanup(func() { client.Close() })
	core, logs := observer.New(zapcore.InfoLevel)
	b.serve(peppers, func(d *api.Deps) { d.Redis, d.RateLimit, d.Log = client, perSecond, zap.New(core) })
	return logs
}

// burst sends n requests at once and sorts the answers by status.
func (b *bench) burst(n int, changes ...with) map[int][]answer {
	b.t.Helper()
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			answers[i] = b.do("POST", list, order(), append(changes, idempotent(fmt.Sprint(i, " ", time.Now().UnixNano())))...)
		})
	}
	wg.Wait()
	byStatus := make(map[int][]answer)
	for _, a := range answers {
		byStatus[a.StatusCode] = append(byStatus[a.StatusCode], a)
	}
	return byStatus
}

// redisAt is a way to the sandbox's Redis that can be cut and mended.
type redisAt struct {
	net.Listener
	target string
	cut    atomic.Bool
	asked  atomic.Int64 // connections that were made

	mu    sync.Mutex
	conns []net.Conn
}

func throughProxy(t *testing.T) *redisAt {
	t.Helper()
	u, err := url.Parse(sandbox.Start(t).Descriptor.Redis.URL)
	if err != nil {
		t.Fatal(err)
	}
	return proxy(t, u.Host)
}

func proxy(t *testing.T, target string) *redisAt {
	t.Helper()
	var err error
	p := &redisAt{target: target}
	if p.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(); p.set(true) })
	go func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			p.asked.Add(1)
			go p.join(c)
		}
	}()
	return p
}

func (p *redisAt) join(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if p.cut.Load() || err != nil {
		client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	go func() { _, _ = io.Copy(server, client); server.Close() }()
	_, _ = io.Copy(client, server)
	client.Close()
}

// set cuts the way, and breaks every connection, or mends it.
func (p *redisAt) set(cut bool) {
	p.cut.Store(cut)
	if !cut {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

var quotaField = regexp.MustCompile(`^"default";r=(\d+);t=\d+(, "merchant";r=\d+;t=\d+)?$`)

func TestRateLimitOfAKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.limited(throughProxy(t).Addr().String(), 3)
	before := b.rows()
	answers := b.burst(30)
	accepted, refused := answers[201], answers[429]
	if len(accepted) < 3 || len(refused) == 0 || len(accepted)+len(refused) != 30 {
		t.Fatalf("%d accepted, %d refused of 30", len(accepted), len(refused))
	}
	for _, a := range append(accepted, refused...) {
		if p := a.Header.Get("RateLimit-Policy"); p != `"default";q=3;w=1, "merchant";q=6;w=1` {
			t.Errorf("RateLimit-Policy: %s", p)
		}
		left := quotaField.FindStringSubmatch(a.Header.Get("RateLimit"))
		if left == nil || (a.StatusCode == http.StatusTooManyRequests && left[1] != "0") {
			t.Errorf("%d with RateLimit: %s", a.StatusCode, a.Header.Get("RateLimit"))
		}
	}
	for _, a := range refused {
		a.refused(429, api.RateLimited, "")
		if s, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || s != 1 {
			t.Errorf("Retry-After: %q", a.Header.Get("Retry-After"))
		}
	}
	if n := b.rows()["payment_intents"] - before["payment_intents"]; n != len(accepted) {
		t.Errorf("%d payments are stored, %d were accepted", n, len(accepted))
	}
	if n := b.rows()["idempotency_keys"] - before["idempotency_keys"]; n != len(accepted) {
		t.Errorf("%d answers are stored, %d were accepted", n, len(accepted))
	}
	for _, path := range []string{"/health", "/openapi.yaml"} { // nobody's
		if a := b.do("GET", path, nil).want(200); a.Header.Get("RateLimit") != "" {
			t.Errorf("%s is counted", path)
		}
	}
}

func TestRateLimitOfAMerchantCoversAllKeysOfAMode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.limited(throughProxy(t).Addr().String(), 1)
	var keys []string
	for range 10 {
		keys = append(keys, b.issue(b.merchant.ID, payment.Live))
	}
	ofMerchant := 0 // refusals that name the merchant's limit
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, key := range keys { // one request each
		wg.Go(func() {
			a := b.do("GET", list, nil, b.as(key))
			mu.Lock()
			defer mu.Unlock()
			if a.StatusCode == http.StatusTooManyRequests && strings.Contains(a.Header.Get("RateLimit"), `"merchant";r=0`) {
				ofMerchant++
			}
		})
	}
	wg.Wait()
	if ofMerchant == 0 {
		t.Error("ten keys of one merchant are never refused together")
	}
	other := storetest.Merchant(t, b.store, funds)
	for _, key := range []string{b.issue(b.merchant.ID, payment.Test), b.issue(other.ID, payment.Live)} {
		b.do("GET", list, nil, b.as(key)).want(200)
	}
}

func TestNoRateLimitWithoutRedisOrANumber(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, serve := range map[string]func(){
		"no Redis": func() { b.serve(peppers, func(d *api.Deps) { d.RateLimit = 1 }) },
		"0":        func() { b.limited(throughProxy(t).Addr().String(), 0) },
	} {
		serve()
		if answers := b.burst(10); len(answers[201]) != 10 || answers[201][0].Header.Get("RateLimit-Policy") != "" {
			t.Errorf("%s: %d of 10 accepted", name, len(answers[201]))
		}
	}
}

// Payments are accepted whatever is wrong with Redis, and what is wrong costs
// one request in a second 50 ms at most.
func TestPaymentsAreAcceptedWhileRedisIsDown(t *testing.T) {
	t.Parallel()
	silent := proxy(t, hanging(t))
	for name, address := range map[string]string{"refuses": "127.0.0.1:1", "hangs": silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			client, err := api.OpenRedis("redis://" + address)
			if err != nil {
				t.Fatal(err)
			}
			logs := b.limitedBy(client, 1)
			began := time.Now()
			for range 3 {
				if a := b.create(); a.Header.Get("RateLimit") != "" {
					t.Errorf("RateLimit: %s", a.Header.Get("RateLimit"))
				}
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("three payments took %s", took)
			}
			for second := range int64(5) {
				b.clock.Store(2 * (second + 1)) // each asks again
				if answers := b.burst(10); len(answers[201]) != 10 {
					t.Errorf("%d of 10 accepted", len(answers[201]))
				}
			}
			if n := logs.FilterMessageSnippet("rate limits").Len(); n != 1 {
				t.Errorf("%d log lines in ten seconds, want 1: %v", n, logs.All())
			}
			b.clock.Store(120)
			b.create()
			lines := logs.FilterMessageSnippet("rate limits")
			if lines.Len() != 2 || lines.All()[1].ContextMap()["uncounted"] != int64(53) {
				t.Errorf("after two minutes: %v", lines.All())
			}
			requests := logs.FilterMessage("request").All()
			if n := requests[len(requests)-1].ContextMap()["rate_limit_uncounted"]; n != int64(54) {
				t.Errorf("the last request's line counts %v, want 54", n)
			}
			if name == "hangs" && silent.asked.Load() > 20 {
				t.Errorf("Redis was asked %d times for 54 requests", silent.asked.Load())
			}
		})
	}
}

func TestRateLimitsComeBackWithRedis(t *testing.T) {
	t.Parallel()
	b := setup(t)
	way := throughProxy(t)
	logs := b.limited(way.Addr().String(), 1)
	if n := len(b.burst(20)[429]); n == 0 {
		t.Fatal("nothing is refused while Redis is there")
	}
	way.set(true)
	if n := len(b.burst(20)[201]); n != 20 {
		t.Errorf("%d of 20 accepted while Redis is gone", n)
	}
	asked := way.asked.Load()
	b.burst(20)
	// The pool may still be dialling for the burst before; the requests ask nothing.
	if n := way.asked.Load() - asked; n > 1 {
		t.Errorf("Redis was asked %d times in the second after it failed", n)
	}
	way.set(false)
	eventually(t, "limits are enforced again", func() bool { b.clock.Add(2); return len(b.burst(20)[429]) > 0 })
	if logs.FilterMessage("rate limits are enforced again").Len() == 0 {
		t.Error("nobody is told")
	}
}

func TestOpenRedisRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:6379", "redis://h/notanumber"} {
		if c, err := api.OpenRedis(url); err == nil {
			c.Close()
			t.Errorf("%q was opened", url)
		}
	}
}

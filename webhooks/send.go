package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settlehq/settle/payment"
)

// Outcome is what an attempt means for its delivery.
type Outcome string

// Outcomes.
const (
	Delivered Outcome = "delivered" // answered 2xx
	Retry     Outcome = "retry"     // try again by the schedule
	Gone      Outcome = "gone"      // answered 410: disable the endpoint
)

// Blame is who has to act on a failure. Only what the endpoint is to blame for
// counts as an attempt.
type Blame string

// Blames. An attempt that was delivered blames nobody.
const (
	BlameNone     Blame = ""
	BlameEndpoint Blame = "endpoint" // its answer, its certificate, its address
	BlameUs       Blame = "us"       // no request was made, or we broke it off
)

// Request is one event for one endpoint.
type Request struct {
	URL     string
	Mode    payment.Mode // live refuses plain http
	Secrets [][]byte     // keys to sign with: the current one first
	EventID string       // becomes webhook-id
	Body    []byte       // sent as it is, at most MaxBodyBytes
}

// Result is what became of one attempt.
type Result struct {
	Status     int    // HTTP status; 0: no answer
	Error      string // for people; "" if delivered; valid UTF-8, at most 500 bytes
	Response   []byte // start of the answer's body, at most MaxResponseBytes
	SentAt     time.Time
	Duration   time.Duration
	Outcome    Outcome
	RetryAfter time.Duration // asked for by the endpoint, 0 if not; at least 60 s after 429 and 503
	Blame      Blame
}

// Sender sends signed events. It is safe for concurrent use and is made once
// per process, because it owns the connection pools.
type Sender struct {
	overTLS *http.Client
	plain   *http.Client
	now     func() time.Time
}

// NewSender makes a sender that reaches only what cfg.Guard allows.
func NewSender(cfg SenderConfig) *Sender {
	if cfg.Timeout <= 0 || cfg.Timeout > SendTimeout {
		cfg.Timeout = SendTimeout
	}
	return &Sender{
		overTLS: newClient(cfg, cfg.Guard),
		plain:   newClient(cfg, cfg.Guard.withoutTLS()),
		now:     time.Now,
	}
}

// Close closes idle connections.
func (s *Sender) Close() {
	s.overTLS.CloseIdleConnections()
	s.plain.CloseIdleConnections()
}

// Send makes one attempt and reports what came of it; there is no error
// besides the Result. It takes at most the sender's timeout, or until ctx ends,
// which blames us.
func (s *Sender) Send(ctx context.Context, r Request) Result {
	started := s.now()
	res := s.send(ctx, r, started)
	res.SentAt, res.Duration = started, s.now().Sub(started)
	res.Error = printable(res.Error)
	return res
}

func (s *Sender) send(ctx context.Context, r Request, at time.Time) Result {
	req, client, err := s.request(ctx, r, at)
	if err != nil {
		return Result{Error: err.Error(), Outcome: Retry, Blame: BlameUs}
	}
	resp, err := client.Do(req)
	if err != nil {
		return Result{Error: reason(err), Outcome: Retry, Blame: blame(ctx, err)}
	}
	defer resp.Body.Close()
	// The status alone decides; a body that breaks off changes nothing.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, MaxResponseBytes))
	res := judge(resp.StatusCode)
	res.Response = body
	if res.Outcome == Retry {
		res.RetryAfter = retryAfter(resp, at)
	}
	return res
}

func (s *Sender) request(ctx context.Context, r Request, at time.Time) (*http.Request, *http.Client, error) {
	if len(r.Body) > MaxBodyBytes {
		return nil, nil, fmt.Errorf("event body is %d bytes, at most %d are sent", len(r.Body), MaxBodyBytes)
	}
	signature, err := Sign(r.Secrets, r.EventID, at, r.Body)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: cannot be requested", ErrURL)
	}
	client := s.overTLS
	if req.URL.Scheme != "https" {
		if req.URL.Scheme != "http" || r.Mode != payment.Test {
			return nil, nil, fmt.Errorf("%w: scheme %q in %s mode", ErrURL, req.URL.Scheme, r.Mode)
		}
		client = s.plain
	}
	// Lower case is how the standard writes them; Go sends canonical capitals
	// over HTTP/1.1, which names the same headers.
	req.Header.Set(standardwebhooks.HeaderWebhookID, r.EventID)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Settle")
	return req, client, nil
}

// judge decides by the status of an answer.
func judge(status int) Result {
	switch {
	case status >= 200 && status < 300:
		return Result{Status: status, Outcome: Delivered}
	case status >= 300 && status < 400:
		return Result{Status: status, Outcome: Retry, Blame: BlameEndpoint, Error: fmt.Sprintf("answered %d: redirects are not followed", status)}
	case status == http.StatusGone:
		return Result{Status: status, Outcome: Gone, Blame: BlameEndpoint, Error: "answered 410: gone"}
	default:
		return Result{Status: status, Outcome: Retry, Blame: BlameEndpoint, Error: fmt.Sprintf("answered %d", status)}
	}
}

// retryAfter reads Retry-After in either form of RFC 9110 10.2.3, and sets the
// floor for endpoints that say they are overloaded.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	var d time.Duration
	header := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseInt(header, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		d = at.Sub(now)
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		d = max(d, overloadFloor)
	}
	return max(d, 0)
}

// blame is for requests without an answer: it is the endpoint's unless we gave
// up or ran out of something ourselves.
func blame(ctx context.Context, err error) Blame {
	if ctx.Err() != nil {
		return BlameUs
	}
	for _, ours := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, ours) {
			return BlameUs
		}
	}
	return BlameEndpoint
}

// reason drops the URL, which http.Client puts in front and which may carry
// the merchant's own tokens.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return "no answer in time: " + u.Err.Error()
		}
		err = u.Err
	}
	return err.Error()
}

// printable makes text that Postgres takes: UTF-8 without NUL, of bounded length.
func printable(s string) string {
	const limit = 500
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
}

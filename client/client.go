package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of a call.
const (
	timeout      = 20 * time.Second // of one request, its answer read; streams have streamSilence
	maxAttempts  = 4
	defaultPause = 500 * time.Millisecond // before the next attempt, without Retry-After
	maxPause     = 30 * time.Second
	maxAnswer    = 4 << 20 // bytes that are read of an answer
)

// New returns a client of the API at a URL, e.g. "https://pay.example.com",
// with a merchant's key. An answer of 400 or more is returned as an *Error. A
// request that is safe to repeat (it only reads, or has an Idempotency-Key) is
// sent up to four times while it is answered with 429, 502, 503 or 504, or not
// at all; Retry-After says when, up to 30 s.
func New(url, key string) (*ClientWithResponses, error) {
	return newClient(url, key, &http.Client{Timeout: timeout}, &http.Client{})
}

func newClient(url, key string, calls, streams HttpRequestDoer) (*ClientWithResponses, error) {
	if key == "" {
		return nil, errors.New("client: no API key: give the merchant's (sk_test_... or sk_live_...)")
	}
	return NewClientWithResponses(strings.TrimRight(url, "/"), WithHTTPClient(&caller{key: key, calls: calls, streams: streams}))
}

// NewIdempotencyKey returns a random key. One that is derived from what is paid,
// an invoice's number say, also survives the loss of the caller's memory.
func NewIdempotencyKey() string { return "key_" + strings.ToLower(rand.Text()) }

// Error is an answer that refuses a request (RFC 9457). Code is stable, see the
// error catalogue at /docs/errors; it is empty if the answer is no problem
// document, e.g. one of a proxy.
type Error struct {
	Problem
	RetryAfter time.Duration // 0: the answer does not say
}

// Error shows the code with what to do, and each faulty field on a line.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s", e.Code, e.Detail)
	if e.Code == "" {
		text = fmt.Sprintf("%s: %s", e.Instance, e.Title)
	}
	for _, f := range e.Errors {
		text += fmt.Sprintf("\n  %s: %s", f.Pointer, f.Detail)
	}
	return text
}

// caller sends requests with the key, repeats those that may be repeated, and
// turns refusals into errors.
type caller struct {
	key            string
	calls, streams HttpRequestDoer
}

// streaming marks the contexts of streams, which have no timeout.
type streaming struct{}

// Unbounded is for calls that move files: with it a call lasts as long as ctx
// does, is sent once, and its answer may be of any size.
func Unbounded(ctx context.Context) context.Context { return context.WithValue(ctx, streaming{}, true) }

// Do implements HttpRequestDoer.
func (c *caller) Do(req *http.Request) (*http.Response, error) {
	req.Header.Set("Authorization", "Bearer "+c.key)
	if req.Context().Value(streaming{}) != nil {
		return answered(c.streams.Do(req))
	}
	for attempt := 1; ; attempt++ {
		resp, err := answered(c.calls.Do(req))
		if err == nil {
			resp.Body = limited(resp.Body)
			return resp, nil
		}
		if attempt == maxAttempts || !repeatable(req) || !passing(err) || !rewind(req) {
			return nil, err
		}
		if err := pause(req.Context(), pauseAfter(err)); err != nil {
			return nil, err
		}
	}
}

// answered turns an answer that refuses into an error.
func answered(resp *http.Response, err error) (*http.Response, error) {
	if err != nil || resp.StatusCode < http.StatusBadRequest {
		return resp, err
	}
	defer resp.Body.Close()
	e := &Error{}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || json.Unmarshal(body, &e.Problem) != nil || e.Code == "" {
		e.Problem = Problem{Title: resp.Status, Instance: resp.Request.Method + " " + resp.Request.URL.Path, RequestID: resp.Header.Get("Request-Id")}
	}
	e.Status = int64(resp.StatusCode)
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return nil, e
}

// repeatable reports whether sending a request twice does what sending it once does.
func repeatable(req *http.Request) bool {
	return req.Method == http.MethodGet || req.Header.Get("Idempotency-Key") != ""
}

// passing reports whether a later attempt may be answered otherwise.
func passing(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true // there was no answer
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

func pauseAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		return min(e.RetryAfter, maxPause)
	}
	return defaultPause
}

// rewind makes a request's body readable once more.
func rewind(req *http.Request) bool {
	if req.Body == nil || req.Body == http.NoBody {
		return true
	}
	if req.GetBody == nil {
		return false
	}
	body, err := req.GetBody()
	req.Body = body
	return err == nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// limited bounds what is read of an answer.
func limited(body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(body, maxAnswer), body}
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// served is a client of a server that answers the n-th request, from 1, with answer.
func served(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) (c *ClientWithResponses, requests *[]string) {
	t.Helper()
	requests = &[]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*requests = append(*requests, fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Idempotency-Key"), body))
		if r.Header.Get("Authorization") != "Bearer sk_test_x" {
			t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
		}
		answer(len(*requests), w, r)
	}))
	t.Cleanup(server.Close)
	c, err := New(server.URL+"/", "sk_test_x")
	if err != nil {
		t.Fatal(err)
	}
	return c, requests
}

func write(w http.ResponseWriter, status int, contentType, body string) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = fmt.Fprint(w, body)
}

const busy = `{"type":"https://pay.example.com/docs/errors#unavailable","title":"Not now","status":503,"detail":"Try again.","instance":"/x","code":"unavailable","request_id":"req_1"}`

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	write(w, http.StatusServiceUnavailable, "application/problem+json", busy)
}

func TestARefusalIsAnErrorWithItsCode(t *testing.T) {
	t.Parallel()
	c, requests := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		write(w, 422, "application/problem+json", `{"type":"u","title":"t","status":422,"detail":"Another request used this key.","instance":"/v1/payment_intents",
			"code":"idempotency_mismatch","request_id":"req_7","existing_id":"pi_7","errors":[{"pointer":"#/amount","code":"x","detail":"too much"}]}`)
	})
	_, err := c.CreatePaymentIntentWithResponse(t.Context(), &CreatePaymentIntentParams{IdempotencyKey: "k"}, CreateIntentRequest{Amount: new("1"), Asset: new("USDC")})
	var e *Error
	if !errors.As(err, &e) || e.Code != "idempotency_mismatch" || e.Status != 422 || e.RequestID != "req_7" || *e.ExistingID != "pi_7" {
		t.Fatalf("%+v", err)
	}
	if text := err.Error(); text != "idempotency_mismatch: Another request used this key.\n  #/amount: too much" {
		t.Error(text)
	}
	if len(*requests) != 1 {
		t.Errorf("sent %v", *requests)
	}
}

func TestAnAnswerOfAProxyIsAnErrorToo(t *testing.T) {
	t.Parallel()
	c, _ := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) { write(w, 403, "text/html", "<h1>no</h1>") })
	_, err := c.ListBalancesWithResponse(t.Context())
	var e *Error
	if !errors.As(err, &e) || e.Status != 403 || e.Code != "" || e.Error() != "GET /v1/balances: 403 Forbidden" {
		t.Errorf("%v", err)
	}
}

// TestWhatIsSafeToRepeatIsRepeated: with the same key and the same bytes, when
// Retry-After says.
func TestWhatIsSafeToRepeatIsRepeated(t *testing.T) {
	t.Parallel()
	c, requests := served(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			unavailable(w)
		case 2: // no answer
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				err = conn.Close()
			}
			if err != nil {
				t.Error(err)
			}
		default:
			write(w, http.StatusCreated, "application/json", `{"id":"pi_1"}`)
		}
	})
	began := time.Now()
	made, err := c.CreatePaymentIntentWithResponse(t.Context(), &CreatePaymentIntentParams{IdempotencyKey: NewIdempotencyKey()}, CreateIntentRequest{Amount: new("1"), Asset: new("USDC")})
	if err != nil || made.JSON201.ID != "pi_1" {
		t.Fatalf("%v", err)
	}
	if r := *requests; len(r) != 3 || r[0] != r[1] || r[1] != r[2] || !strings.Contains(r[0], `"amount":"1"`) {
		t.Errorf("sent %q", r)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("repeated after %s, before Retry-After", took)
	}
}

func TestWhatMayNotBeRepeatedIsSentOnce(t *testing.T) {
	t.Parallel()
	c, requests := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) { unavailable(w) })
	_, err := c.CreateWebhookEndpointWithResponse(t.Context(), WebhookEndpointRequest{URL: "https://example.com"})
	var e *Error
	if !errors.As(err, &e) || e.Code != "unavailable" || e.RetryAfter != time.Second || len(*requests) != 1 {
		t.Errorf("%v after %v", err, *requests)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c, requests := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		unavailable(w)
		cancel()
	})
	if _, err := c.ListChainsWithResponse(ctx); !errors.Is(err, context.Canceled) || len(*requests) != 1 {
		t.Errorf("%v after %v", err, *requests)
	}
}

func TestAKeyIsRequired(t *testing.T) {
	t.Parallel()
	if _, err := New("https://pay.example.com", ""); err == nil {
		t.Error("a client without a key")
	}
}

// TestFollowGoesOnAfterABreak: behind the last message that was whole.
func TestFollowGoesOnAfterABreak(t *testing.T) {
	t.Parallel()
	c, requests := served(t, func(n int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		switch n {
		case 1:
			_, _ = fmt.Fprint(w, ": heartbeat\n\nid: 1\ndata: {\"n\":1}\n\nid: 2\ndata: {\"n\"")
		case 2:
			unavailable(w)
		case 3:
			if last := r.Header.Get("Last-Event-ID"); last != "1" {
				t.Errorf("Last-Event-ID %q", last)
			}
			_, _ = fmt.Fprint(w, "id: 2\ndata: {\"n\":2}\n\n")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	var got []string
	err := Follow(t.Context(), func(ctx context.Context, last *string) (*http.Response, error) {
		return c.StreamPaymentIntent(ctx, "pi_1", &StreamPaymentIntentParams{LastEventID: last})
	}, func(m Message) error {
		got = append(got, m.ID+string(m.Event))
		return nil
	})
	if err != nil || strings.Join(got, " ") != `1{"n":1} 2{"n":2}` || len(*requests) != 4 {
		t.Errorf("%v, %v after %v", got, err, *requests)
	}
}

func TestFollowEnds(t *testing.T) {
	t.Parallel()
	refused := errors.New("enough")
	for name, tt := range map[string]struct {
		status int
		each   error
		want   func(error) bool
	}{
		"the reader has enough": {200, Stop, func(err error) bool { return err == nil }},
		"the reader fails":      {200, refused, func(err error) bool { return errors.Is(err, refused) }},
		"there is no such payment": {404, nil, func(err error) bool {
			var e *Error
			return errors.As(err, &e) && e.Status == 404
		}},
	} {
		c, requests := served(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
			write(w, tt.status, "text/event-stream", "id: 1\ndata: {}\n\n")
		})
		err := Follow(t.Context(), func(ctx context.Context, last *string) (*http.Response, error) {
			return c.StreamEvents(ctx, &StreamEventsParams{LastEventID: last})
		}, func(Message) error { return tt.each })
		if !tt.want(err) || len(*requests) != 1 {
			t.Errorf("%s: %v after %v", name, err, *requests)
		}
	}
}

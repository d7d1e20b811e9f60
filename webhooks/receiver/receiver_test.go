package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/webhooks/receiver"
)

// post sends body as event id, signed with secret.
func post(t *testing.T, h http.Handler, secret, id, body string, at time.Time) int {
	t.Helper()
	key, err := webhooks.DecodeSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := webhooks.Sign([][]byte{key}, id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body))
	req.Header.Set("webhook-id", id)
	req.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	req.Header.Set("webhook-signature", signature)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w.Code
}

func event(sequence int) string {
	return fmt.Sprintf(`{"type":"payment_intent.updated","data":{"object":{"id":"pi_1","sequence":%d}}}`, sequence)
}

func TestReceiverKeepsWhatVerifiesOnce(t *testing.T) {
	t.Parallel()
	old, current := webhooks.NewSecret(), webhooks.NewSecret()
	r, err := receiver.New(old, current)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, c := range []struct {
		name, secret, id, body string
		at                     time.Time
		want                   int
	}{
		{"second first", current, "evt_2", event(2), now, 200},
		{"first late", old, "evt_1", event(1), now, 200},
		{"again", current, "evt_1", event(1), now, 200},
		{"unknown secret", webhooks.NewSecret(), "evt_3", event(3), now, 401},
		{"stale", current, "evt_3", event(3), now.Add(-time.Hour), 401},
		{"not an event", current, "evt_4", "[]", now, 400},
		{"too large", current, "evt_5", strings.Repeat(" ", 65<<10), now, 400},
	} {
		if got := post(t, r, c.secret, c.id, c.body, c.at); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := r.Stats(); got != (receiver.Stats{Accepted: 2, Duplicates: 1, BadSignatures: 2, Malformed: 1}) {
		t.Errorf("%+v", got)
	}
	if got := r.Deliveries("pi_1"); len(got) != 2 || got[0].ID != "evt_2" {
		t.Errorf("arrived: %+v", got)
	}
	if got := r.Events("pi_1"); len(got) != 2 || got[0].Data.Object.Sequence != 1 || r.Intents() != 1 {
		t.Errorf("in order: %+v", got)
	}
}

func TestReceiverMisbehavesAsTold(t *testing.T) {
	t.Parallel()
	secret := webhooks.NewSecret()
	r, err := receiver.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	r.FailNext(503, 2)
	for i, want := range []int{503, 503, 200} {
		if got := post(t, r, secret, "evt_1", event(1), time.Now()); got != want {
			t.Errorf("request %d: %d, want %d", i, got, want)
		}
	}
	r.SlowDown(time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(event(2)))
	r.ServeHTTP(httptest.NewRecorder(), req) // returns because the sender gave up
	if got := r.Stats(); got != (receiver.Stats{Accepted: 1, Failed: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	secret := webhooks.NewSecret()
	r, err := receiver.New(secret)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		e, err := r.Wait(t.Context(), "pi_1", payment.IntentUpdated)
		if err == nil && e.Data.Object.ID != "pi_1" {
			err = fmt.Errorf("waited for pi_1, got %+v", e)
		}
		got <- err
	}()
	post(t, r, secret, "evt_1", event(1), time.Now())
	if err := <-got; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Wait(ctx, "pi_2", payment.IntentUpdated); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

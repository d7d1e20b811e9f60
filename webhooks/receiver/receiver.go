package receiver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settlehq/settle/payment"
)

const maxBodyBytes = 64 << 10

// Delivery is one event as it arrived first.
type Delivery struct {
	ID    string        // webhook-id, which is the event's id
	At    time.Time     // of arrival
	Body  []byte        // the bytes that were verified
	Event payment.Event // Body, parsed
}

// Stats counts requests since the start.
type Stats struct {
	Accepted      int // kept, answered 200
	Duplicates    int // seen before, answered 200
	BadSignatures int // not verified by any secret, answered 401
	Malformed     int // verified, but not an event; answered 400
	Failed        int // failed as told
}

// Receiver is an http.Handler that takes webhooks. It is safe for concurrent use.
type Receiver struct {
	mu       sync.Mutex
	verify   []*standardwebhooks.Webhook
	seen     map[string]bool
	byIntent map[string][]Delivery
	stats    Stats
	fail     struct{ status, times int }
	delay    time.Duration
	changed  chan struct{} // closed and replaced with every kept event
}

// New makes a receiver that accepts what any of the secrets verifies. Secrets
// may be added later, since an endpoint's is known only after it was created.
func New(secrets ...string) (*Receiver, error) {
	r := &Receiver{seen: make(map[string]bool), byIntent: make(map[string][]Delivery), changed: make(chan struct{})}
	for _, s := range secrets {
		if err := r.AddSecret(s); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// AddSecret accepts another secret, in the form whsec_<base64>.
func (r *Receiver) AddSecret(secret string) error {
	wh, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return fmt.Errorf("webhook secret: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verify = append(r.verify, wh)
	return nil
}

// FailNext answers the next times requests with status and keeps nothing of them.
func (r *Receiver) FailNext(status, times int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail.status, r.fail.times = status, times
}

// SlowDown makes every answer take d, or until the sender gives up; 0 ends it.
func (r *Receiver) SlowDown(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// ServeHTTP takes one webhook.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBodyBytes))
	if err != nil {
		http.Error(w, "cannot read body", http.StatusBadRequest)
		return
	}
	if !r.wait(req.Context()) {
		return
	}
	status, text := r.take(req.Header, body)
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}

func (r *Receiver) wait(ctx context.Context) bool {
	r.mu.Lock()
	d := r.delay
	r.mu.Unlock()
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Receiver) take(header http.Header, body []byte) (status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail.times > 0 {
		r.fail.times--
		r.stats.Failed++
		return r.fail.status, "failing as told"
	}
	verified := slices.ContainsFunc(r.verify, func(wh *standardwebhooks.Webhook) bool {
		return wh.Verify(body, header) == nil
	})
	if !verified {
		r.stats.BadSignatures++
		return http.StatusUnauthorized, "signature does not verify"
	}
	id := header.Get(standardwebhooks.HeaderWebhookID)
	if r.seen[id] {
		r.stats.Duplicates++
		return http.StatusOK, "duplicate"
	}
	var event payment.Event
	if err := json.Unmarshal(body, &event); err != nil {
		r.stats.Malformed++
		return http.StatusBadRequest, "not an event"
	}
	r.seen[id] = true
	r.stats.Accepted++
	intent := event.Data.Object.ID
	r.byIntent[intent] = append(r.byIntent[intent], Delivery{ID: id, At: time.Now(), Body: body, Event: event})
	close(r.changed)
	r.changed = make(chan struct{})
	return http.StatusOK, "ok"
}

// Deliveries returns what arrived about an intent, in the order of arrival.
func (r *Receiver) Deliveries(intentID string) []Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.byIntent[intentID])
}

// Events returns the events of an intent in the order of their sequence,
// which need not be that of their arrival.
func (r *Receiver) Events(intentID string) []payment.Event {
	var events []payment.Event
	for _, d := range r.Deliveries(intentID) {
		events = append(events, d.Event)
	}
	slices.SortStableFunc(events, func(a, b payment.Event) int {
		return int(a.Data.Object.Sequence - b.Data.Object.Sequence)
	})
	return events
}

// Intents counts the intents that something arrived about.
func (r *Receiver) Intents() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byIntent)
}

// Stats returns the counts so far.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// Wait returns the first event of the given type about an intent, as soon as
// it has arrived, or ctx's error.
func (r *Receiver) Wait(ctx context.Context, intentID string, kind payment.EventType) (payment.Event, error) {
	for {
		r.mu.Lock()
		changed := r.changed
		kept := r.byIntent[intentID]
		i := slices.IndexFunc(kept, func(d Delivery) bool { return d.Event.Type == kind })
		if i >= 0 {
			defer r.mu.Unlock()
			return kept[i].Event, nil
		}
		r.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return payment.Event{}, fmt.Errorf("waiting for %s of %s: %w", kind, intentID, ctx.Err())
		}
	}
}

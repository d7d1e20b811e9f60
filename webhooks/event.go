package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Events that are not about a payment. They are in the event log like the others.
const (
	// EndpointDisabled announces that Settle stopped sending to an endpoint; the
	// merchant's other endpoints get it.
	EndpointDisabled payment.EventType = "webhook_endpoint.disabled"
	// EndpointTest is sent to one endpoint because somebody asked for it.
	EndpointTest payment.EventType = "webhook_endpoint.test"
	// RunFailed announces a due time of a schedule at which no payment could be made.
	RunFailed payment.EventType = "schedule.run_failed"
	// BatchCompleted announces that all payments of a batch have ended.
	BatchCompleted payment.EventType = "batch.completed"
	// BatchCanceled announces that no further line of a batch becomes a payment.
	BatchCanceled payment.EventType = "batch.canceled"
)

// others are the types of events that are not about a payment and that endpoints
// can subscribe to.
var others = []string{string(EndpointDisabled), string(RunFailed), string(BatchCompleted), string(BatchCanceled)}

const maxEventTypes = 32

// DefaultEventTypes are the ends of a payment, the one state in which it waits
// for a person, and everything that is not about a payment.
func DefaultEventTypes() []string {
	var types []string
	for _, s := range []payment.Status{payment.Settled, payment.Failed, payment.Canceled, payment.Expired, payment.Rejected, payment.ManualReview} {
		types = append(types, string(payment.EventTypeOf(s)))
	}
	return append(types, others...)
}

// eventTypes checks a subscription and fills in the default. A type that no
// event has is refused, because it would be silent for ever.
func eventTypes(asked []string) ([]string, error) {
	if len(asked) == 0 {
		return DefaultEventTypes(), nil
	}
	if len(asked) > maxEventTypes {
		return nil, fmt.Errorf("%w: %d of them, at most %d", ErrEventType, len(asked), maxEventTypes)
	}
	known := append([]string{string(payment.IntentUpdated)}, others...)
	for _, s := range payment.Statuses() {
		known = append(known, string(payment.EventTypeOf(s)))
	}
	for _, t := range asked {
		prefix, wild := strings.CutSuffix(t, "*")
		wild = wild && (prefix == "" || strings.HasSuffix(prefix, "."))
		if !slices.ContainsFunc(known, func(k string) bool { return k == t || wild && strings.HasPrefix(k, prefix) }) {
			return nil, fmt.Errorf("%w: %q matches none of %s", ErrEventType, t, strings.Join(known, ", "))
		}
	}
	types := slices.Clone(asked)
	slices.Sort(types)
	return slices.Compact(types), nil
}

// about is what an event that is about no payment tells.
type about struct {
	merchantID string
	mode       payment.Mode
	kind       payment.EventType
	object     any // what the event is about, as the API shows it
	at         time.Time
}

// render is the event in the shape of payment.Event: its bytes are what is
// stored and signed.
func (a about) render() (db.InsertEventParams, error) {
	type data struct {
		Object any `json:"object"`
	}
	id := store.NewID("evt")
	body, err := json.Marshal(struct {
		ID         string            `json:"id"`
		Object     string            `json:"object"`
		Type       payment.EventType `json:"type"`
		APIVersion string            `json:"api_version"`
		Timestamp  time.Time         `json:"timestamp"`
		Data       data              `json:"data"`
	}{id, "event", a.kind, payment.APIVersion, a.at.UTC(), data{a.object}})
	if err != nil {
		return db.InsertEventParams{}, fmt.Errorf("event %s of %s: %w", a.kind, a.merchantID, err)
	}
	return db.InsertEventParams{ID: id, MerchantID: a.merchantID, Mode: string(a.mode), Type: string(a.kind), Body: body, CreatedAt: a.at}, nil
}

// Announce writes an event that is about no payment but about object, as the
// API shows it, and returns its deliveries, which are due now.
func Announce(ctx context.Context, tx *store.Tx, merchantID string, mode payment.Mode, kind payment.EventType, object any, at time.Time) ([]DeliveryRef, error) {
	event, err := about{merchantID, mode, kind, object, at}.render()
	if err != nil {
		return nil, err
	}
	if err := tx.InsertEvent(ctx, event); err != nil {
		return nil, fmt.Errorf("event %s of %s: %w", kind, merchantID, err)
	}
	recipients, err := tx.EventRecipients(ctx, event.ID)
	if err != nil {
		return nil, fmt.Errorf("recipients of %s: %w", event.ID, err)
	}
	due := make([]DeliveryRef, len(recipients))
	for n, endpoint := range recipients {
		due[n] = DeliveryRef{EventID: event.ID, EndpointID: endpoint, NextDue: at}
	}
	return due, nil
}

// AnnounceBatch announces that a batch is completed or canceled, as the API shows
// it then.
func AnnounceBatch(ctx context.Context, tx *store.Tx, b payment.Batch, shown payment.BatchResource) ([]DeliveryRef, error) {
	kind := BatchCompleted
	if b.Status == payment.BatchCanceled {
		kind = BatchCanceled
	}
	return Announce(ctx, tx, b.MerchantID, b.Mode, kind, shown, *b.EndedAt)
}

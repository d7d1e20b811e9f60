package webhooks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Events about endpoints. They are in the event log like those about payments.
const (
	// EndpointDisabled announces that Settle stopped sending to an endpoint; the
	// merchant's other endpoints get it.
	EndpointDisabled payment.EventType = "webhook_endpoint.disabled"
	// EndpointTest is sent to one endpoint because somebody asked for it.
	EndpointTest payment.EventType = "webhook_endpoint.test"
)

const maxEventTypes = 32

// DefaultEventTypes are the ends of a payment, the one state in which it waits
// for a person, and the end of another endpoint.
func DefaultEventTypes() []string {
	var types []string
	for _, s := range []payment.Status{payment.Settled, payment.Failed, payment.Canceled, payment.Expired, payment.Rejected, payment.ManualReview} {
		types = append(types, string(payment.EventTypeOf(s)))
	}
	return append(types, string(EndpointDisabled))
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
	known := []string{string(payment.IntentUpdated), string(EndpointDisabled)}
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

// eventAbout renders an event about an endpoint, in the shape of
// payment.Event: its bytes are what is stored and signed.
func eventAbout(e Endpoint, kind payment.EventType, at time.Time) (db.InsertEventParams, error) {
	type data struct {
		Object Endpoint `json:"object"`
	}
	id := store.NewID("evt")
	body, err := json.Marshal(struct {
		ID         string            `json:"id"`
		Object     string            `json:"object"`
		Type       payment.EventType `json:"type"`
		APIVersion string            `json:"api_version"`
		Timestamp  time.Time         `json:"timestamp"`
		Data       data              `json:"data"`
	}{id, "event", kind, payment.APIVersion, at.UTC(), data{e}})
	if err != nil {
		return db.InsertEventParams{}, fmt.Errorf("event %s of %s: %w", kind, e.ID, err)
	}
	return db.InsertEventParams{ID: id, MerchantID: e.MerchantID, Mode: string(e.Mode), Type: string(kind), Body: body, CreatedAt: at}, nil
}

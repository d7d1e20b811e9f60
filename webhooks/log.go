package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	EventID    string
	EventType  payment.EventType
	EndpointID string
	IntentID   string // "": the event is not about a payment
	State      string // one of store.Delivery*
	Attempts   int
	NextDue    *time.Time // of the next attempt; nil if it is due now, or there is none
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// DeliveryAttempt is one request that was made.
type DeliveryAttempt struct {
	Attempt  int
	Status   int // HTTP; 0: no answer
	Error    string
	Response []byte // the first MaxResponseBytes
	Duration time.Duration
	NextDue  *time.Time // as the schedule said then
	SentAt   time.Time
}

// EndpointDeliveries returns at most limit deliveries of an endpoint, newest
// event first, behind an event id (nil: from the newest on), in any of the
// states (none: all); more reports whether others follow.
func EndpointDeliveries(ctx context.Context, st *store.Store, r EndpointRef, states []string, before *string, limit int) (ds []Delivery, more bool, err error) {
	if _, err := GetEndpoint(ctx, st, r); err != nil {
		return nil, false, err
	}
	rows, err := st.Queries().ListEndpointDeliveries(ctx, db.ListEndpointDeliveriesParams{
		EndpointID: r.ID, States: states, BeforeEventID: before, MaxRows: int32(limit) + 1})
	if err != nil {
		return nil, false, fmt.Errorf("deliveries of %s: %w", r.ID, err)
	}
	rows, more = store.Page(rows, limit)
	ds = make([]Delivery, len(rows))
	for i, row := range rows {
		ds[i] = deliveryOf(db.ListEventDeliveriesRow(row))
	}
	return ds, more, nil
}

// EventDeliveries returns all deliveries of a merchant's event, also to
// endpoints that were deleted since, in any of the states (none: all).
func EventDeliveries(ctx context.Context, st *store.Store, merchantID string, mode payment.Mode, eventID string, states []string) ([]Delivery, error) {
	if _, err := st.Queries().GetMerchantEvent(ctx, db.GetMerchantEventParams{ID: eventID, MerchantID: merchantID, Mode: string(mode)}); err != nil {
		return nil, fmt.Errorf("event %s: %w", eventID, err)
	}
	rows, err := st.Queries().ListEventDeliveries(ctx, db.ListEventDeliveriesParams{EventID: eventID, States: states})
	if err != nil {
		return nil, fmt.Errorf("deliveries of %s: %w", eventID, err)
	}
	out := make([]Delivery, len(rows))
	for i, row := range rows {
		out[i] = deliveryOf(row)
	}
	return out, nil
}

// Attempts returns the attempts of a delivery, oldest first.
func Attempts(ctx context.Context, st *store.Store, ref DeliveryRef) ([]DeliveryAttempt, error) {
	rows, err := st.Queries().DeliveryAttempts(ctx, db.DeliveryAttemptsParams{EventID: ref.EventID, EndpointID: ref.EndpointID})
	if err != nil {
		return nil, fmt.Errorf("attempts of %s at %s: %w", ref.EventID, ref.EndpointID, err)
	}
	out := make([]DeliveryAttempt, len(rows))
	for i, a := range rows {
		out[i] = DeliveryAttempt{Attempt: int(a.Attempt), Status: int(a.Status), Error: a.Error, Response: a.Response,
			Duration: time.Duration(a.DurationMs) * time.Millisecond, NextDue: payment.UTC(a.NextDue), SentAt: a.SentAt.UTC()}
	}
	return out, nil
}

func deliveryOf(r db.ListEventDeliveriesRow) Delivery {
	d := Delivery{EventID: r.EventID, EventType: payment.EventType(r.EventType), EndpointID: r.EndpointID, State: r.State,
		Attempts: int(r.Attempts), NextDue: payment.UTC(r.NextDue), CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
	if r.IntentID != nil {
		d.IntentID = *r.IntentID
	}
	return d
}

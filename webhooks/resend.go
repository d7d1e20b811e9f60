package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// MaxReplay is how many deliveries one Replay makes due.
const MaxReplay = 100

// Which says which events a replay is about.
type Which string

// Choices of a replay.
const (
	ReplayFailed  Which = "failed"  // ended without delivery, or waiting after a failed attempt
	ReplayMissing Which = "missing" // never due at the endpoint: it was disabled, or did not subscribe yet
	ReplayAll     Which = "all"     // whatever became of them
)

// Span is the events of a replay: created at Since or later and before Until.
type Span struct {
	Since, Until time.Time
	Which        Which
	After        string // event id behind which the replay goes on; "": from the first on
}

// Resend makes the delivery of an event to an endpoint due now, whatever became
// of it, with the whole schedule before it: the id stays the same, attempts
// are numbered on. The caller starts its workflow. Asking twice before the
// attempt is made asks once. Errors: ErrEndpointDisabled, store.ErrNotFound.
func Resend(ctx context.Context, st *store.Store, r EndpointRef, eventID string) (DeliveryRef, error) {
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := lockEnabled(ctx, tx, r); err != nil {
			return err
		}
		if _, err := tx.GetMerchantEvent(ctx, db.GetMerchantEventParams{ID: eventID, MerchantID: r.MerchantID, Mode: string(r.Mode)}); err != nil {
			return err
		}
		return tx.ResendDelivery(ctx, db.ResendDeliveryParams{EventID: eventID, EndpointID: r.ID})
	})
	if err != nil {
		return DeliveryRef{}, fmt.Errorf("resend %s to %s: %w", eventID, r.ID, err)
	}
	return DeliveryRef{EventID: eventID, EndpointID: r.ID}, nil
}

// Replay resends at most MaxReplay events of a time span that an endpoint
// subscribes to, oldest first. If that many came back there may be more, behind
// the last of them. Errors as of Resend.
func Replay(ctx context.Context, st *store.Store, r EndpointRef, s Span) ([]DeliveryRef, error) {
	var ids []string
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := lockEnabled(ctx, tx, r); err != nil {
			return err
		}
		var err error
		ids, err = tx.ReplayDeliveries(ctx, db.ReplayDeliveriesParams{
			EndpointID: r.ID, Since: s.Since, Until: s.Until, Which: string(s.Which), AfterEventID: s.After, MaxRows: MaxReplay,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("replay to %s: %w", r.ID, err)
	}
	refs := make([]DeliveryRef, len(ids))
	for i, id := range ids {
		refs[i] = DeliveryRef{EventID: id, EndpointID: r.ID}
	}
	return refs, nil
}

// Test writes an event of type EndpointTest that is due at this endpoint only,
// whatever it subscribes to. Errors as of Resend.
func Test(ctx context.Context, st *store.Store, r EndpointRef) (DeliveryRef, error) {
	var event db.InsertEventParams
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		e, err := lockEnabled(ctx, tx, r)
		if err != nil {
			return err
		}
		at, err := tx.ReadClock(ctx)
		if err != nil {
			return err
		}
		if event, err = (about{e.MerchantID, e.Mode, EndpointTest, e, at}).render(); err != nil {
			return err
		}
		if err := tx.InsertEvent(ctx, event); err != nil {
			return err
		}
		return tx.InsertDelivery(ctx, db.InsertDeliveryParams{EventID: event.ID, EndpointID: r.ID})
	})
	if err != nil {
		return DeliveryRef{}, fmt.Errorf("test webhook endpoint %s: %w", r.ID, err)
	}
	return DeliveryRef{EventID: event.ID, EndpointID: r.ID}, nil
}

// lockEnabled holds an endpoint in the state enabled until the transaction ends.
func lockEnabled(ctx context.Context, tx *store.Tx, r EndpointRef) (Endpoint, error) {
	row, err := tx.LockMerchantWebhookEndpoint(ctx, db.LockMerchantWebhookEndpointParams{ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode)})
	if err != nil {
		return Endpoint{}, err
	}
	if row.State != string(Enabled) {
		return Endpoint{}, ErrEndpointDisabled
	}
	return endpointOf(row), nil
}

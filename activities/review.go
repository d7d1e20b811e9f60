package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// ReviewInput is a person's decision about an intent in manual review.
type ReviewInput struct {
	IntentID string         `json:"intent_id"`
	Review   payment.Review `json:"review"`
}

// Review applies a decision and writes it to the audit log. Only safe moves
// are possible: a payment that may still land is fenced before it is rejected,
// canceled or rerouted, and stays in review until it has died. A decision that
// would change nothing, as when the step runs again, is not written.
func (s *Steps) Review(ctx context.Context, in ReviewInput) (State, error) {
	return s.change(ctx, "review", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		if !stateOf(i).Waiting() {
			return nil, nil
		}
		if err := in.Review.Validate(); err != nil {
			return remark(i, "last decision was not understood: "+err.Error()), nil //nolint:nilerr // the reviewer's error, told to the reviewer
		}
		next, err := decided(ctx, tx, i, in.Review)
		if err != nil || next == nil {
			return nil, err
		}
		return next, tx.Audit(ctx, store.AuditEntry{Actor: in.Review.Actor, Action: "review." + string(in.Review.Action), ObjectID: i.ID,
			Reason: in.Review.Reason, RequestID: i.RequestID, Detail: map[string]any{"review_reason": i.ReviewReason}})
	})
}

// decided is the intent after a valid decision.
func decided(ctx context.Context, tx *store.Tx, i payment.Intent, r payment.Review) (*payment.Intent, error) {
	live, inFlight, err := liveSlot(ctx, tx.Queries, i.ID)
	if err != nil {
		return nil, err
	}
	if inFlight && live.fence != unfenced {
		return remark(i, fencing(live)), nil
	}
	switch r.Action {
	case payment.Approve, payment.Retry:
		i.Approved = i.Approved || r.Action == payment.Approve
		if i.ReviewReason == payment.ReviewPolicy && !i.Approved {
			return remark(i, "above the review limit: approve or reject, retry does not lift it"), nil
		}
		i.ReviewReason, i.ReviewDetail = "", ""
		return &i, nil
	case payment.Reroute:
		return reroute(ctx, tx, i, live, inFlight)
	case payment.CancelAction:
		if !inFlight {
			return end(ctx, tx, i, payment.Canceled, "canceled_by_reviewer", r.Reason)
		}
		return fenced(ctx, tx, i, live, fenceCancel)
	case payment.Reject:
		if !inFlight {
			return end(ctx, tx, i, payment.Rejected, "rejected_by_reviewer", r.Reason)
		}
		return fenced(ctx, tx, i, live, fenceReject)
	}
	return nil, r.Validate() // which passed before
}

// reroute makes the live slot die so that the payment can go another way.
func reroute(ctx context.Context, tx *store.Tx, i payment.Intent, live slot, inFlight bool) (*payment.Intent, error) {
	if !inFlight {
		return remark(i, "nothing is in flight that would have to be rerouted: retry"), nil
	}
	other, err := elsewhere(ctx, tx, i)
	if err != nil {
		return nil, err
	}
	if !other {
		return remark(i, fmt.Sprintf("reroute refused: there is no destination besides %s", live.chain)), nil
	}
	return fenced(ctx, tx, i, live, fenceReroute)
}

// fenced keeps the intent in review until its live slot has died. It may still
// be paid, which wins.
func fenced(ctx context.Context, tx *store.Tx, i payment.Intent, live slot, f fence) (*payment.Intent, error) {
	if err := f.raise(ctx, tx, live); err != nil {
		return nil, err
	}
	live.fence = f
	i.Substatus, i.ReviewDetail = payment.Fencing, fencing(live)
	return &i, nil
}

func fencing(live slot) string {
	return fmt.Sprintf("%s under way: ends when it is final on %s that the payment cannot land%s; if it lands first, it is paid", live.fence, live.chain, until(live.terms))
}

// remark tells the reviewer why the intent stays in review; nil if it was said.
func remark(i payment.Intent, detail string) *payment.Intent {
	if i.ReviewDetail == detail {
		return nil
	}
	i.ReviewDetail = detail
	return &i
}

func until(s chains.Slot) string {
	if s.ExpiresAt == nil {
		return ""
	}
	return ", at the latest after " + s.ExpiresAt.UTC().Format(time.RFC3339)
}

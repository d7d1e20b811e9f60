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
// are possible: a payment that may still land is neither rejected nor
// canceled; the intent then stays in review and says until when.
func (s *Steps) Review(ctx context.Context, in ReviewInput) (State, error) {
	return s.change(ctx, "review", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		if !stateOf(i).Waiting() {
			return nil, nil
		}
		if err := in.Review.Validate(); err != nil {
			i.ReviewDetail = "last decision was not understood: " + err.Error()
			return &i, nil
		}
		if err := tx.Audit(ctx, store.AuditEntry{Actor: in.Review.Actor, Action: "review." + string(in.Review.Action), ObjectID: i.ID,
			Reason: in.Review.Reason, RequestID: i.RequestID, Detail: map[string]any{"review_reason": i.ReviewReason}}); err != nil {
			return nil, err
		}
		switch in.Review.Action {
		case payment.Approve, payment.Retry:
			i.Approved = i.Approved || in.Review.Action == payment.Approve
			if i.ReviewReason == payment.ReviewPolicy && !i.Approved {
				i.ReviewDetail = "above the review limit: approve or reject, retry does not lift it"
				return &i, nil
			}
			i.ReviewReason, i.ReviewDetail = "", ""
			return &i, nil
		}
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		if err != nil {
			return nil, err
		}
		if ok {
			i.ReviewDetail = fmt.Sprintf("%s refused: the payment can still land on %s%s; retry sends the same authorization again", in.Review.Action, live.chain, until(live.terms))
			return &i, nil
		}
		status, code := payment.Rejected, "rejected_by_reviewer"
		if in.Review.Action == payment.CancelAction {
			status, code = payment.Canceled, "canceled_by_reviewer"
		}
		return end(ctx, tx, i, status, code, in.Review.Reason)
	})
}

func until(s chains.Slot) string {
	if s.ExpiresAt == nil {
		return ""
	}
	return " until " + s.ExpiresAt.UTC().Format(time.RFC3339)
}

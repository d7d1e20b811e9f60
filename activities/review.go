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
// canceled; the intent then stays in review and says until when. A decision
// that would change nothing, as when the step runs again, is not written.
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
	if r.Action == payment.Approve || r.Action == payment.Retry {
		i.Approved = i.Approved || r.Action == payment.Approve
		if i.ReviewReason == payment.ReviewPolicy && !i.Approved {
			return remark(i, "above the review limit: approve or reject, retry does not lift it"), nil
		}
		i.ReviewReason, i.ReviewDetail = "", ""
		return &i, nil
	}
	live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
	if err != nil {
		return nil, err
	}
	if ok {
		return remark(i, fmt.Sprintf("%s refused: the payment can still land on %s%s; retry sends the same authorization again", r.Action, live.chain, until(live.terms))), nil
	}
	status, code := payment.Rejected, "rejected_by_reviewer"
	if r.Action == payment.CancelAction {
		status, code = payment.Canceled, "canceled_by_reviewer"
	}
	return end(ctx, tx, i, status, code, r.Reason)
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
	return " until " + s.ExpiresAt.UTC().Format(time.RFC3339)
}

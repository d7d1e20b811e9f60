package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

// CancelRequest says why.
type CancelRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"500" doc:"For the audit log" example:"order returned"`
}

type cancelInput struct {
	IntentPath
	Body *CancelRequest
}

// cancel ends a payment that nothing can pay yet. The intent's row lock keeps
// the workflow from signing meanwhile.
func (s *Server) cancel(ctx context.Context, in *cancelInput) (*rawOutput, error) {
	if _, err := s.mine(ctx, in.ID); err != nil {
		return nil, err
	}
	reason := "canceled by the merchant"
	if in.Body != nil && strings.TrimSpace(in.Body.Reason) != "" {
		if errs := checkText("#/reason", in.Body.Reason); len(errs) > 0 {
			return nil, failFields(errs)
		}
		reason = in.Body.Reason
	}
	canceled, body, err := s.cancelIntent(ctx, in.ID, caller(ctx).actor(), reason)
	if err != nil {
		return nil, err
	}
	s.relay.Offer(canceled)
	return &rawOutput{Status: http.StatusOK, ContentType: "application/json", Body: body}, nil
}

func (s *Server) cancelIntent(ctx context.Context, id, actor, reason string) (canceled payment.Intent, body []byte, err error) {
	err = s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockIntent(ctx, id)
		if err != nil {
			return err
		}
		canceled = before
		if before.Status != payment.Canceled {
			if canceled, err = s.stop(ctx, tx, before, actor, reason); err != nil {
				return err
			}
		}
		balance, err := ledger.BalanceIn(ctx, tx.Queries, ledger.HolderOf(canceled), canceled.Asset)
		if err != nil {
			return err
		}
		body, err = changed(canceled, balance)
		return err
	})
	return canceled, body, err
}

// stop ends a locked intent as canceled and gives its hold back, if no slot
// can pay it. The workflow, which may be waiting for a reviewer, is told by the
// relay; one that hears nothing finds out at its next step.
func (s *Server) stop(ctx context.Context, tx *store.Tx, before payment.Intent, actor, reason string) (payment.Intent, error) {
	if !before.Status.Cancelable() {
		return before, notCancelable(before)
	}
	live, err := tx.HasLiveSlot(ctx, before.ID)
	if err != nil {
		return before, err
	}
	if live {
		return before, notCancelable(before)
	}
	if err := ledger.Void(ctx, tx, before); err != nil {
		return before, err
	}
	after := before
	after.Status, after.Substatus, after.ReviewReason, after.ReviewDetail = payment.Canceled, payment.NoSubstatus, "", ""
	after.Failure = &payment.Failure{Code: "canceled_by_merchant", Message: reason}
	if err := tx.Audit(ctx, store.AuditEntry{
		Actor: actor, Action: "payment_intent.cancel", ObjectID: before.ID, Reason: reason, RequestID: telemetry.RequestID(ctx),
	}); err != nil {
		return before, err
	}
	if err := tx.TellWorkflow(ctx, before.ID); err != nil {
		return before, err
	}
	return tx.SaveIntent(ctx, before, after)
}

func notCancelable(i payment.Intent) *Problem {
	return fail(NotCancelable, fmt.Sprintf("The payment is %s. %s", i.Status, codeByName[NotCancelable].Remedy))
}

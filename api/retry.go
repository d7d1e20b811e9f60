package api

import (
	"context"
	"net/http"
	"time"

	"github.com/settlehq/settle/payment"
)

const (
	retryPath  = intentsPath + "/{id}/retry"
	retryRoute = http.MethodPost + " " + retryPath
)

// RetryRequest orders again what ended unpaid.
type RetryRequest struct {
	Deadline *time.Time `json:"deadline,omitempty" doc:"The new payment expires if it was not sent by then; left out: the deadline of the old one, which then must lie ahead"`
}

type retryInput struct {
	IntentPath
	Idempotent
	Body *RetryRequest
}

// retried is what the fingerprint of a retry is made of.
type retried struct {
	ID string `json:"id"`
	RetryRequest
}

// retry orders again what a payment ordered that ended unpaid. The ended one
// stays as it is: its status is terminal, and every slot that it had is proven
// dead, or it could not have ended.
func (s *Server) retry(ctx context.Context, in *retryInput) (*rawOutput, error) {
	request := retried{ID: in.ID}
	if in.Body != nil {
		request.RetryRequest = *in.Body
	}
	old, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.place(ctx, retryRoute, in.IdempotencyKey, request, func(who principal) (payment.Intent, error) {
		return s.again(ctx, who, old, request.Deadline)
	})
}

// again makes the intent that retries another one.
func (s *Server) again(ctx context.Context, who principal, old payment.Intent, deadline *time.Time) (payment.Intent, error) {
	if !old.Status.Terminal() || old.Status == payment.Settled {
		return payment.Intent{}, fail(NotRetryable, "The payment is "+string(old.Status)+". "+codeByName[NotRetryable].Remedy)
	}
	if old.Sponsored() {
		return payment.Intent{}, fail(NotRetryable, "It would have moved its payer's money, by an authorization that is spent or void: submit a new one.")
	}
	if err := s.unretried(ctx, old.ID); err != nil {
		return payment.Intent{}, err
	}
	if deadline == nil {
		deadline = old.Deadline
	}
	o := order{amount: old.Amount, asset: old.Asset, destinations: old.Destinations, allowed: old.Allowed, maxFee: old.MaxFee}
	i, err := s.draft(ctx, who, CreateIntentRequest{LineRequest: LineRequest{
		OrderRequest: o.request(old.Priority), Deadline: deadline, Reference: old.Reference, Metadata: old.Metadata,
	}})
	i.RetryOf = old.ID
	return i, err
}

// unretried refuses a payment that was retried. That it is retried once is
// guarded when the retry is stored.
func (s *Server) unretried(ctx context.Context, id string) error {
	existing, err := s.store.Retry(ctx, id)
	if err != nil || existing == "" {
		return err
	}
	p := fail(AlreadyRetried, "")
	p.ExistingID = existing
	return p
}

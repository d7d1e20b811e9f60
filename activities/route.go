package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// ErrNotObserved says that a chain that may take the payment has not been seen
// by this worker lately, as right after its start. Nothing was decided; try again.
var ErrNotObserved = errors.New("a chain has not been observed lately")

// observeWithin is how long a payment waits for a chain that cannot be seen
// before a person is asked.
const observeWithin = 2 * time.Minute

// SelectRoute chooses the chain to pay on and records the decision with its
// inputs as a new attempt. If an attempt is open it stays. If no chain
// qualifies the intent waits for a person; as long as a chain is merely out of
// sight, that is not known.
func (s *Steps) SelectRoute(ctx context.Context, in Ref) (State, error) {
	return s.change(ctx, "select_route", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		switch {
		case i.Status == payment.Submitted || i.Status == payment.Confirming || stateOf(i).Waiting():
			return nil, nil
		case i.Status != payment.Created:
			_, err := tx.OpenAttempt(ctx, i.ID)
			if open, err := found(err); open || err != nil {
				return resume(i), err
			}
		}
		if overdue(i) {
			return end(ctx, tx, i, payment.Expired, "deadline_passed", "The deadline passed before the payment could be sent.")
		}
		request, err := requestOf(ctx, tx, i)
		if err != nil {
			return nil, err
		}
		decision := routing.Score(request, s.networks(), time.Now())
		chosen, ok := decision.Chosen()
		if !ok && s.outOfSight(decision) {
			return nil, ErrNotObserved
		}
		if !ok {
			return review(i, payment.ReviewNoRoute, noRoute(decision)), nil
		}
		route, err := json.Marshal(decision)
		if err != nil {
			return nil, err
		}
		if _, err := tx.InsertAttempt(ctx, db.InsertAttemptParams{ID: store.NewID("att"), IntentID: i.ID,
			Chain: string(chosen.Chain), Address: chosen.Address, Route: route}); err != nil {
			return nil, err
		}
		i.Status, i.Substatus, i.Chain, i.Address = payment.Routed, payment.NoSubstatus, chosen.Chain, chosen.Address
		i.ReviewReason, i.ReviewDetail = "", ""
		return &i, nil
	})
}

// requestOf is what the route must serve, in the light of what was quoted and
// of what was tried.
func requestOf(ctx context.Context, tx *store.Tx, i payment.Intent) (routing.Request, error) {
	r := routing.Request{Amount: i.Amount, Asset: i.Asset.Code, Priority: i.Priority, MaxFee: i.MaxFee, Allowed: i.Allowed, Destinations: i.Destinations}
	if i.Sponsored() { // takes nothing of a treasury, and waits for the fee to fall until the payer's authorization ends
		r.Amount, r.MaxFee = payment.Amount{}, nil
	}
	if err := asQuoted(ctx, tx, i.Quote, &r); err != nil {
		return routing.Request{}, err
	}
	if i.Status == payment.Created {
		return r, nil
	}
	barred, failed, err := tried(ctx, tx, i.ID)
	if err != nil {
		return routing.Request{}, err
	}
	r.Destinations = nil
	for _, d := range i.Destinations {
		if barred[d.Chain] {
			continue
		}
		r.Destinations = append(r.Destinations, d)
		if failed[d.Chain] {
			r.Avoid = append(r.Avoid, d.Chain)
		}
	}
	return r, nil
}

// asQuoted makes the request keep what a quote promised: the quoted chain comes
// first as long as it qualifies, and no chain does whose fee is beyond the quote.
func asQuoted(ctx context.Context, tx *store.Tx, quoteID string, r *routing.Request) error {
	if quoteID == "" {
		return nil
	}
	quote, err := tx.GetQuote(ctx, quoteID)
	if err != nil {
		return err
	}
	bound := routing.QuotedMax(quote.Fee)
	if r.Prefer = payment.Chain(quote.Chain); r.MaxFee == nil || bound.Cmp(*r.MaxFee) < 0 {
		r.MaxFee = &bound
	}
	return nil
}

// resume takes a reviewed intent back to the route it was on.
func resume(i payment.Intent) *payment.Intent {
	if i.Status == payment.Routed {
		return nil
	}
	i.Status, i.Substatus = payment.Routed, payment.NoSubstatus
	return &i
}

func (s *Steps) networks() map[payment.Chain]routing.Network {
	out := make(map[payment.Chain]routing.Network, len(s.Desks))
	for name, d := range s.Desks {
		if n, ok := d.Network(); ok {
			out[name] = n
		}
	}
	return out
}

// outOfSight reports whether a chain of the decision that the order allows was
// left out for want of a look at it that may yet come.
func (s *Steps) outOfSight(d routing.Decision) bool {
	return slices.ContainsFunc(d.Candidates, func(c routing.Candidate) bool {
		desk, ok := s.Desks[c.Chain]
		return ok && slices.Contains(c.Disqualified, routing.NotObserved) && !slices.Contains(c.Disqualified, routing.ChainNotAllowed) &&
			d.DecidedAt.Sub(desk.unseenSince()) < observeWithin
	})
}

func noRoute(d routing.Decision) string {
	text := "no chain can take this payment now:"
	for _, c := range d.Candidates {
		text += fmt.Sprintf(" %s %v;", c.Chain, c.Disqualified)
	}
	return text + " retry or cancel"
}

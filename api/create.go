package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const (
	intentsPath = "/v1/payment_intents"
	createRoute = http.MethodPost + " " + intentsPath
)

// CreateIntentRequest orders a payment. New optional fields must be left out
// of JSON when they are empty, or stored fingerprints would no longer match.
type CreateIntentRequest struct {
	Quote string `json:"quote,omitempty" maxLength:"64" doc:"Order what was quoted: amount, asset, destinations, allowed_chains, priority and max_fee are the quote's and must be left out. A quote makes one payment." example:"qt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	LineRequest
}

// LineRequest is an order that says everything itself, as a line of a batch does.
type LineRequest struct {
	OrderRequest
	Deadline  *time.Time        `json:"deadline,omitempty" doc:"The payment expires if it was not sent by then"`
	Reference string            `json:"reference,omitempty" maxLength:"200" doc:"Your own reference; the list filters by it" example:"invoice-4711"`
	Metadata  map[string]string `json:"metadata,omitempty" doc:"Up to 20 keys of 1 to 40 characters with values of up to 500"`
}

// TransformSchema makes what a quote can say optional; understand asks for it
// where there is no quote. The example is an order without one.
func (CreateIntentRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	s.Required = nil
	s.Examples = []any{map[string]any{"amount": "12.50", "asset": "USDC", "reference": "invoice-4711",
		"destinations": []any{map[string]any{"chain": "ethereum", "address": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}}}}
	return s
}

// missing lists what an order without a quote must say.
func (r CreateIntentRequest) missing() (errs []FieldError) {
	for _, f := range []struct {
		name  string
		given bool
	}{{"amount", r.Amount != ""}, {"asset", r.Asset != ""}, {"destinations", r.Destinations != nil}} {
		if !f.given {
			errs = append(errs, FieldError{"#/" + f.name, FieldMissing, "The field is required, or a quote."})
		}
	}
	return errs
}

// Balance is what a merchant has of an asset, as decimal strings in units of
// the asset.
type Balance struct {
	Asset     string `json:"asset" example:"USDC"`
	Available string `json:"available" doc:"May be spent on new payments" example:"1000.000000"`
	Held      string `json:"held" doc:"Reserved for payments under way" example:"12.500000"`
}

// ChangedIntent is an intent with the balance that the change left behind.
type ChangedIntent struct {
	payment.Resource
	BalancesAfter Balance `json:"balances_after"`
}

type createInput struct {
	Idempotent
	Body CreateIntentRequest
}

// create orders a payment.
func (s *Server) create(ctx context.Context, in *createInput) (*rawOutput, error) {
	if in.Body.Quote == "" {
		in.Body.fill()
	}
	return s.place(ctx, createRoute, in.IdempotencyKey, in.Body, func(who principal) (payment.Intent, error) {
		return s.draft(ctx, who, in.Body)
	})
}

// place accepts the payment that draft makes of a request.
func (s *Server) place(ctx context.Context, route, idempotencyKey string, request any, draft func(principal) (payment.Intent, error)) (*rawOutput, error) {
	return s.once(ctx, route, idempotencyKey, request, func(who principal, key store.IdempotencyKey) ([]byte, error) {
		if err := s.backlog.check(ctx); err != nil {
			return nil, err
		}
		intent, err := draft(who)
		if err != nil {
			return nil, err
		}
		body, err := s.accept(ctx, &intent, key)
		if err != nil {
			return nil, s.refused(ctx, intent, err)
		}
		s.relay.Offer(intent)
		return body, nil
	})
}

// refused explains why a payment was not accepted: perhaps its quote was used, or
// the payment that it retries was retried, since it was drafted.
func (s *Server) refused(ctx context.Context, i payment.Intent, cause error) error {
	if !errors.Is(cause, store.ErrConflict) && !errors.Is(cause, store.ErrInsufficientFunds) {
		return cause
	}
	if i.Quote != "" {
		if _, err := s.unusedQuote(ctx, i.Quote); err != nil {
			return err
		}
	}
	if i.RetryOf != "" {
		if err := s.unretried(ctx, i.RetryOf); err != nil {
			return err
		}
	}
	return cause
}

// draft checks a request and makes the intent that it orders. What was quoted is
// checked like any other order.
func (s *Server) draft(ctx context.Context, who principal, r CreateIntentRequest) (payment.Intent, error) {
	if r.Quote != "" {
		quoted, err := s.quotedOrder(ctx, r)
		if err != nil {
			return payment.Intent{}, err
		}
		r.OrderRequest = quoted
	}
	errs := r.missing()
	if len(errs) > 0 {
		return payment.Intent{}, failFields(errs)
	}
	o, errs := s.understandLine(r.LineRequest, who.MaxAmount)
	if len(errs) > 0 {
		return payment.Intent{}, failFields(errs)
	}
	if err := s.verify(ctx, &o); err != nil {
		return payment.Intent{}, err
	}
	return payment.Intent{
		MerchantID: who.ID, Mode: who.Key.Mode, Asset: o.asset, Amount: o.amount, Destinations: o.destinations, Allowed: o.allowed,
		Priority: r.Priority, MaxFee: o.maxFee, Deadline: r.Deadline, Reference: r.Reference, Metadata: r.Metadata, Quote: r.Quote,
		RequestID: telemetry.RequestID(ctx),
	}, nil
}

// understandLine checks everything about a request that needs no asking, and
// collects all that is wrong.
func (s *Server) understandLine(r LineRequest, limit *payment.Amount) (order, []FieldError) {
	o, errs := s.understand(r.OrderRequest, limit)
	if r.Deadline != nil && !r.Deadline.After(s.now()) {
		errs = append(errs, FieldError{"#/deadline", DeadlinePast, codeByName[DeadlinePast].Remedy})
	}
	errs = append(errs, checkText("#/reference", r.Reference)...)
	return o, append(errs, checkMetadata(r.Metadata)...)
}

// accept stores the payment: funds hold, intent, first event and the answer
// commit together. It fills in *intent and returns the answer's bytes. The hold
// and everything else are one statement each, since the merchant's balance is
// locked from the first on.
//
// A concurrent request with the same key waits inside for this one, at the
// merchant's balance or at the key, and then fails with ErrConflict or
// ErrInsufficientFunds.
func (s *Server) accept(ctx context.Context, intent *payment.Intent, key store.IdempotencyKey) (body []byte, err error) {
	order := *intent
	err = s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		i := order
		i.ID = store.NewID("pi")
		reserved, err := ledger.Reserve(ctx, tx, i)
		if err != nil {
			return err
		}
		i.HoldID, i.CreatedAt = reserved.HoldID, reserved.At
		*intent, err = tx.AcceptIntent(ctx, i, key, func(stored payment.Intent) (int, []byte, error) {
			body, err = changed(stored, reserved.Balance)
			return http.StatusCreated, body, err
		})
		return err
	})
	if err == nil {
		telemetry.Add(ctx, zap.String("intent_id", intent.ID))
	}
	return body, err
}

// changed renders an intent with the balance that the change leaves behind.
func changed(i payment.Intent, b ledger.Balance) ([]byte, error) {
	return json.Marshal(ChangedIntent{Resource: i.Resource(), BalancesAfter: balanceOf(i.Asset, b.Available, b.Held)})
}

func balanceOf(a payment.Asset, available, held payment.Amount) Balance {
	return Balance{Asset: a.Code, Available: available.Decimal(a.Decimals), Held: held.Decimal(a.Decimals)}
}

package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const (
	idempotencyHeader = "Idempotency-Key"
	intentsPath       = "/v1/payment_intents"
	createRoute       = http.MethodPost + " " + intentsPath
)

// CreateIntentRequest orders a payment. New optional fields must be left out
// of JSON when they are empty, or stored fingerprints would no longer match.
type CreateIntentRequest struct {
	OrderRequest
	Deadline  *time.Time        `json:"deadline,omitempty" doc:"The payment expires if it was not sent by then"`
	Reference string            `json:"reference,omitempty" maxLength:"200" doc:"Your own reference; the list filters by it" example:"invoice-4711"`
	Metadata  map[string]string `json:"metadata,omitempty" doc:"Up to 20 keys of 1 to 40 characters with values of up to 500"`
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
	IdempotencyKey string `header:"Idempotency-Key" required:"true" minLength:"1" maxLength:"255" pattern:"^[ -~]+$" patternDescription:"printable ASCII" doc:"A key of your own making. The same key with the same body gets the same answer, however often it is sent; keys are kept for 24 hours or longer, and one payment per key for ever." example:"f3a1c0de-7b1e-4a53-9d0c-5a1f2e3d4c5b"`
	Body           CreateIntentRequest
}

// rawOutput is an answer in stored bytes.
type rawOutput struct {
	Status      int
	ContentType string `header:"Content-Type" hidden:"true"`
	Replayed    string `header:"Idempotent-Replayed" doc:"true if this is the stored answer to an earlier request"`
	Body        []byte
}

// create accepts a payment. What is known already is answered from its record
// before anything else is looked at, since a repetition must get its answer
// even if by now the deadline passed, the balance is spent or a chain is down.
func (s *Server) create(ctx context.Context, in *createInput) (*rawOutput, error) {
	who := caller(ctx)
	key := store.IdempotencyKey{MerchantID: who.ID, Mode: who.Key.Mode, Route: createRoute, Key: in.IdempotencyKey}
	var err error
	if key.RequestHash, err = fingerprint(createRoute, in.Body); err != nil {
		return nil, err
	}
	if out, err := s.replay(ctx, key); out != nil || err != nil {
		return out, err
	}
	if err := s.backlog.check(ctx); err != nil {
		return nil, err
	}
	intent, err := s.draft(ctx, who, in.Body)
	if err != nil {
		return nil, err
	}
	body, err := s.accept(ctx, &intent, key)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrInsufficientFunds) {
		// Perhaps a request with the same key was faster: it has our answer.
		if out, rerr := s.replay(ctx, key); out != nil || rerr != nil {
			return out, rerr
		}
		if errors.Is(err, store.ErrConflict) {
			err = fail(IdempotencyKeyUsed, "").because(err)
		}
	}
	if err != nil {
		return nil, err
	}
	s.relay.Offer(intent)
	return &rawOutput{Status: http.StatusCreated, ContentType: "application/json", Body: body}, nil
}

// fingerprint tells a repetition from another request: SHA-256 over the route
// and the request in one canonical form (fields in a fixed order, defaults
// filled in, keys sorted).
func fingerprint(route string, request any) ([]byte, error) {
	canonical, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	h := sha256.New()
	h.Write([]byte(route + "\n"))
	h.Write(canonical)
	return h.Sum(nil), nil
}

// replay returns the stored answer to the key, or nil if there is none.
func (s *Server) replay(ctx context.Context, key store.IdempotencyKey) (*rawOutput, error) {
	record, err := s.store.FindIdempotency(ctx, key)
	if err != nil || record == nil {
		return nil, err
	}
	telemetry.Add(ctx, zap.String("intent_id", record.ResourceID), zap.Bool("replayed", true))
	if !record.Matches(key.RequestHash) {
		p := fail(IdempotencyMismatch, "The key was used for another request, which made "+record.ResourceID+". Use a new key for a new payment.")
		p.ExistingID = record.ResourceID
		return nil, p
	}
	return &rawOutput{Status: record.Status, ContentType: "application/json", Replayed: "true", Body: record.Body}, nil
}

// draft checks a request and makes the intent that it orders.
func (s *Server) draft(ctx context.Context, who principal, r CreateIntentRequest) (payment.Intent, error) {
	o, errs := s.understandIntent(r, who.MaxAmount)
	if len(errs) > 0 {
		return payment.Intent{}, failFields(errs)
	}
	if err := s.verify(ctx, &o); err != nil {
		return payment.Intent{}, err
	}
	return payment.Intent{
		MerchantID: who.ID, Mode: who.Key.Mode, Asset: o.asset, Amount: o.amount, Destinations: o.destinations,
		Priority: r.Priority, MaxFee: o.maxFee, Deadline: r.Deadline, Reference: r.Reference, Metadata: r.Metadata,
		RequestID: telemetry.RequestID(ctx),
	}, nil
}

// understandIntent checks everything about a request that needs no asking, and
// collects all that is wrong.
func (s *Server) understandIntent(r CreateIntentRequest, limit *payment.Amount) (order, []FieldError) {
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

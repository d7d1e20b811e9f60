package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const (
	sponsoredPath  = "/v1/sponsored_payments"
	sponsoredRoute = http.MethodPost + " " + sponsoredPath
)

// Sponsor checks payers' authorizations on the configured chains.
type Sponsor interface {
	// Admit returns an authorization to pay an amount (base units of the asset) to
	// a payee in canonical form, also with payment.AuthorizationSpent. Its submission may cost up to maxFee, base units
	// of the asset, at worst. A definite no is a *payment.AuthorizationError, or a
	// *payment.AddressError about the payer; any other error means that it could
	// not be found out.
	Admit(ctx context.Context, chain payment.Chain, a payment.Authorization, to string, amount, maxFee payment.Amount) (payment.Authorization, error)
}

// SponsoredPaymentRequest brings a payer's signed authorization. New optional
// fields must be left out of JSON when they are empty, or stored fingerprints
// would no longer match.
type SponsoredPaymentRequest struct {
	Chain       string            `json:"chain" minLength:"1" maxLength:"80" doc:"Name or CAIP-2 id of a configured chain that sponsors" example:"ethereum"`
	From        string            `json:"from" minLength:"1" maxLength:"100" doc:"Payer, who signed" example:"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`
	To          string            `json:"to" minLength:"1" maxLength:"100" doc:"Payee, as signed" example:"0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"`
	Amount      string            `json:"amount" maxLength:"80" doc:"Decimal string in units of the asset; what was signed as value" example:"12.50"`
	Asset       string            `json:"asset" maxLength:"20" doc:"Asset to pay in" example:"USDC"`
	ValidAfter  int64             `json:"valid_after" minimum:"0" doc:"As signed, Unix time in seconds; must have passed" example:"0"`
	ValidBefore int64             `json:"valid_before" minimum:"0" doc:"As signed, Unix time in seconds" example:"1795363200"`
	Nonce       string            `json:"nonce" minLength:"1" maxLength:"80" doc:"As signed: 32 bytes, 0x and 64 hex digits" example:"0x7f0f1b6f3a0f4e2ab0f5a8d1c2b3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5"`
	Signature   string            `json:"signature" minLength:"1" maxLength:"200" doc:"Of TransferWithAuthorization (EIP-3009), by the payer's key: 65 bytes r, s, v, 0x and 130 hex digits. Contract wallets (ERC-1271) are not supported" example:"0x5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a1b"`
	Reference   string            `json:"reference,omitempty" maxLength:"200" doc:"Your own reference; the list filters by it" example:"invoice-4711"`
	Metadata    map[string]string `json:"metadata,omitempty" doc:"Up to 20 keys of 1 to 40 characters with values of up to 500"`
}

type sponsoredInput struct {
	Idempotent
	Body SponsoredPaymentRequest
}

func (s *Server) registerSponsored() {
	register(s.api, operation{
		method: http.MethodPost, path: sponsoredPath, id: "create-sponsored-payment", tag: "Sponsored payments", scope: IntentsWrite, status: http.StatusCreated,
		summary: "Submit a payer's signed authorization",
		description: "The payer has signed a transfer of their own money (EIP-3009); Settle submits it and pays the gas, and your balance is not touched. " +
			"What it makes is a payment intent with `authorization`, to be followed like every other. " +
			"It settles when the chain has made just this transfer, whoever submitted it, and fails when it is proven that it never will.",
		errors: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge},
	}, s.sponsor)
	answers[payment.Resource](s.api, sponsoredPath, "201")
}

// sponsor accepts a sponsored payment.
func (s *Server) sponsor(ctx context.Context, in *sponsoredInput) (*rawOutput, error) {
	return s.once(ctx, sponsoredRoute, in.IdempotencyKey, in.Body, func(who principal, key store.IdempotencyKey) ([]byte, error) {
		if err := s.backlog.check(ctx); err != nil {
			return nil, err
		}
		terms, err := s.store.Sponsorship(ctx, who.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && s.sponsors == nil {
			return nil, fail(SponsorshipOff, "")
		}
		if err != nil {
			return nil, err
		}
		intent, token, err := s.draftSponsored(ctx, who, in.Body, terms)
		var body []byte
		if err == nil {
			body, err = s.acceptSponsored(ctx, &intent, token, key)
		}
		if err != nil {
			return nil, taken(who, err)
		}
		s.relay.Offer(intent)
		return body, nil
	})
}

// taken explains that an authorization makes another payment, which only its own
// merchant is told.
func taken(who principal, err error) error {
	var by *store.TakenError
	if !errors.As(err, &by) {
		return err
	}
	p := fail(AuthorizationTaken, "").because(err)
	if by.MerchantID == who.ID && by.Mode == who.Key.Mode {
		p.ExistingID = by.IntentID
	}
	return p
}

// draftSponsored checks a request and makes the intent that it orders.
func (s *Server) draftSponsored(ctx context.Context, who principal, r SponsoredPaymentRequest, terms store.Sponsorship) (i payment.Intent, token string, err error) {
	o, errs := s.understand(OrderRequest{Amount: r.Amount, Asset: r.Asset}, who.MaxAmount)
	chain, ok := s.chains[r.Chain]
	if !ok {
		errs = append(errs, FieldError{"#/chain", ChainNotConfigured, s.chainNames()})
	}
	errs = append(errs, checkText("#/reference", r.Reference)...)
	errs = append(errs, checkMetadata(r.Metadata)...)
	if len(errs) > 0 {
		return i, "", failFields(errs)
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	to, err := s.destinations.CheckDestination(ctx, chain.Name, r.To)
	if err != nil {
		return i, "", notAdmitted("#/to", err)
	}
	a, err := s.sponsors.Admit(ctx, chain.Name, payment.Authorization{
		AuthorizationTerms: payment.AuthorizationTerms{From: r.From, ValidAfter: r.ValidAfter, ValidBefore: r.ValidBefore, Nonce: r.Nonce}, Signature: r.Signature,
	}, to, o.amount, terms.MaxFee)
	if err != nil {
		if taken := s.takenIfSpent(ctx, chain, a, err); taken != nil {
			return i, "", taken
		}
		return i, "", notAdmitted("#/from", err)
	}
	return payment.Intent{
		MerchantID: who.ID, Mode: who.Key.Mode, Asset: o.asset, Amount: o.amount, Authorization: &a,
		Destinations: []payment.Destination{{Chain: chain.Name, Address: to}}, Priority: payment.Cheap, MaxFee: &terms.MaxFee,
		Reference: r.Reference, Metadata: r.Metadata, RequestID: telemetry.RequestID(ctx),
	}, chain.Token, nil
}

// takenIfSpent is a *store.TakenError if the chain says that an authorization is
// spent, and a payment of ours is why, or may be.
func (s *Server) takenIfSpent(ctx context.Context, chain ChainInfo, a payment.Authorization, err error) error {
	var refused *payment.AuthorizationError
	if !errors.As(err, &refused) || refused.Code != payment.AuthorizationSpent {
		return nil
	}
	return s.store.Taken(ctx, chain.Name, chain.Token, a)
}

// notAdmitted is a chain's verdict on an authorization, or on the address at a
// pointer; anything but a definite no concludes nothing.
func notAdmitted(at string, err error) *Problem {
	var address *payment.AddressError
	var refused *payment.AuthorizationError
	switch {
	case errors.As(err, &address):
		return failFields([]FieldError{addressError(at, address)})
	case errors.As(err, &refused):
		p := fail(Code(refused.Code), sentence(refused.Detail))
		if p.Status == http.StatusUnprocessableEntity {
			p.Errors = []FieldError{{"#/" + refused.Field, Code(refused.Code), p.Detail}}
		}
		return p
	}
	return fail(DestinationUnverified, "").because(fmt.Errorf("sponsored payment: %w", err))
}

// acceptSponsored stores the payment: authorization, share of the day's limit,
// intent, first event and the answer commit together. It fills in *intent and
// returns the answer's bytes.
func (s *Server) acceptSponsored(ctx context.Context, intent *payment.Intent, token string, key store.IdempotencyKey) (body []byte, err error) {
	order := *intent
	err = s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		i := order
		i.ID = store.NewID("pi")
		if err := tx.TakeSponsored(ctx, i, token); err != nil {
			return err
		}
		*intent, err = tx.AcceptIntent(ctx, i, key, func(stored payment.Intent) (int, []byte, error) {
			body, err = json.Marshal(stored.Resource())
			return http.StatusCreated, body, err
		})
		return err
	})
	if err == nil {
		telemetry.Add(ctx, zap.String("intent_id", intent.ID))
	}
	return body, err
}

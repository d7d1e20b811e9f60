package api

import (
	"context"
	"net/http"
	"time"

	"github.com/settlehq/settle/payment"
)

const (
	validatePath  = "/v1/addresses/validate"
	maxLookAlikes = 10
)

func (s *Server) registerAddresses() {
	register(s.api, operation{
		method: http.MethodPost, path: validatePath, id: "validate-address", tag: "Routing", scope: IntentsRead,
		summary: "Check an address before paying it",
		description: "What ordering a payment checks, and more: what lives at the address, whether its token account must be opened, whether the token's " +
			"issuer has frozen it, and whether it merely resembles somebody you have paid. It changes nothing.",
		errors: []int{http.StatusBadRequest},
	}, s.validate)
}

// ValidateRequest names an address, in either way that destinations do.
type ValidateRequest struct{ DestinationRequest }

// AddressReport is what is known about an address.
type AddressReport struct {
	Object   string              `json:"object" enum:"address_report"`
	Chain    payment.Chain       `json:"chain" example:"ethereum"`
	Family   string              `json:"family" enum:"evm,solana"`
	Address  string              `json:"address,omitempty" doc:"In the form in which payments name it; absent if it is no address of the chain"`
	Account  string              `json:"account,omitempty" doc:"CAIP-10 account id" example:"eip155:1:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`
	Payable  payment.Answer      `json:"payable" enum:"yes,no,unknown" doc:"Whether a payment to it would be accepted and could be made; warnings do not count"`
	Problems []AddressProblem    `json:"problems" doc:"Why it is not payable, or not known to be, with the codes of ordering a payment"`
	Checksum payment.Checksum    `json:"checksum" enum:"valid,invalid,absent" doc:"Of the spelling as sent (EIP-55)"`
	Kind     payment.AddressKind `json:"kind" enum:"unknown,wallet,contract,token_account,mint,program"`
	Opens    payment.Answer      `json:"opens_token_account" enum:"yes,no,unknown" doc:"A payment opens a token account for it"`
	Frozen   payment.Answer      `json:"frozen" enum:"yes,no,unknown" doc:"The token's issuer has frozen or blacklisted it"`
	Own      bool                `json:"own" doc:"It is a treasury or another account of ours"`
	Blocked  bool                `json:"blocked" doc:"The operator forbids payments to it"`
	Alike    []LookAlike         `json:"look_alikes" doc:"Warnings: recipients of yours that begin and end with the same four characters and are not this address. Somebody may want you to mistake it for them."`
}

// AddressProblem is why an address may not be payable.
type AddressProblem struct {
	Code   Code   `json:"code" example:"address_bad_checksum"`
	Detail string `json:"detail"`
}

// LookAlike is an earlier recipient that an address resembles.
type LookAlike struct {
	Address string        `json:"address"`
	Chain   payment.Chain `json:"chain"`
	PaidAt  time.Time     `json:"paid_at" doc:"When it was paid first"`
	Payment string        `json:"payment_intent" doc:"The payment that did"`
}

type validateInput struct{ Body ValidateRequest }
type validateOutput struct{ Body AddressReport }

func (s *Server) validate(ctx context.Context, in *validateInput) (*validateOutput, error) {
	d, _, bad := s.payee("#", in.Body.DestinationRequest)
	if bad != nil {
		return nil, failFields([]FieldError{*bad})
	}
	asking, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	f := s.destinations.InspectAddress(asking, d.Chain, d.Address)
	out := AddressReport{Object: "address_report", Chain: d.Chain, Family: f.Family, Problems: []AddressProblem{}, Checksum: f.Checksum,
		Kind: f.Kind, Opens: f.OpensAccount, Frozen: f.Frozen, Own: f.Own, Alike: []LookAlike{}}
	if f.Canonical != "" {
		if err := s.known(ctx, f.Canonical, &out); err != nil {
			return nil, err
		}
	}
	out.judge(f)
	return &validateOutput{out}, nil
}

// known fills in what our own records say of an address.
func (s *Server) known(ctx context.Context, address string, out *AddressReport) error {
	who := caller(ctx)
	out.Address, out.Account = address, s.chains[string(out.Chain)].CAIP2+":"+address
	reason, blocked, err := s.store.IsBlocked(ctx, out.Chain, address)
	if err != nil {
		return err
	}
	if out.Blocked = blocked; blocked {
		out.Problems = append(out.Problems, AddressProblem{AddressBlocked, sentence(reason)})
	}
	alike, err := s.store.LookAlikes(ctx, who.ID, who.Key.Mode, address, maxLookAlikes)
	for _, r := range alike {
		out.Alike = append(out.Alike, LookAlike{Address: r.Address, Chain: r.Chain, PaidAt: r.PaidAt.UTC(), Payment: r.IntentID})
	}
	return err
}

// judge adds what the chain says, and concludes.
func (r *AddressReport) judge(f payment.AddressFacts) {
	switch {
	case f.Refusal != nil:
		e := addressError("", f.Refusal)
		r.Problems = append(r.Problems, AddressProblem{e.Code, e.Detail})
	case f.Frozen == payment.Yes:
		r.Problems = append(r.Problems, AddressProblem{AddressFrozen, codeByName[AddressFrozen].Remedy})
	}
	switch {
	case len(r.Problems) > 0:
		r.Payable = payment.No
	case f.Unchecked:
		r.Payable = payment.Unknown
		r.Problems = append(r.Problems, AddressProblem{DestinationUnverified, "The chain does not answer just now: ask again."})
	default:
		r.Payable = payment.Yes
	}
}

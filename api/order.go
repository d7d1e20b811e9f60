package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/settlehq/settle/payment"
)

// Bounds of an order. OpenAPI documents them.
const (
	maxMetadataKeys  = 20
	maxMetadataKey   = 40
	maxMetadataValue = 500
	checkTimeout     = 8 * time.Second // of all destinations together
)

// DestinationRequest is where the payee takes money on one chain.
type DestinationRequest struct {
	Chain   string `json:"chain" minLength:"1" maxLength:"80" doc:"Name or CAIP-2 id of a configured chain" example:"ethereum"`
	Address string `json:"address" minLength:"1" maxLength:"100" doc:"Payee: EIP-55 address, or a Solana wallet (never a token account)" example:"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`
}

// OrderRequest is what creating and quoting have in common.
type OrderRequest struct {
	Amount       string               `json:"amount" maxLength:"80" doc:"Decimal string in units of the asset; never rounded" example:"12.50"`
	Asset        string               `json:"asset" maxLength:"20" doc:"Asset to pay out" example:"USDC"`
	Destinations []DestinationRequest `json:"destinations" minItems:"1" maxItems:"16" doc:"Where the payee takes money, at most once per chain; Settle chooses one"`
	Priority     payment.Priority     `json:"priority,omitempty" enum:"cheap,fast,reliable" default:"cheap" doc:"What the choice of the chain weighs most"`
	MaxFee       string               `json:"max_fee,omitempty" maxLength:"80" doc:"Most that the network fee may be, as a decimal string in units of the asset" example:"0.50"`
}

// order is an OrderRequest that was understood.
type order struct {
	amount       payment.Amount
	asset        payment.Asset
	maxFee       *payment.Amount
	destinations []payment.Destination
}

// understand checks everything about an order that needs no asking, and
// collects all that is wrong.
func (s *Server) understand(r OrderRequest, limit *payment.Amount) (order, []FieldError) {
	var o order
	var errs []FieldError
	var known bool
	if o.asset, known = payment.AssetByCode(r.Asset); !known {
		errs = append(errs, FieldError{"#/asset", AssetUnknown, "Use one of " + strings.Join(payment.AssetCodes(), ", ") + "."})
	} else {
		amount, e := readAmount("#/amount", r.Amount, o.asset)
		if e == nil && limit != nil && amount.Cmp(*limit) > 0 {
			e = &FieldError{"#/amount", AmountAboveLimit, "The limit for one payment is " + limit.Decimal(o.asset.Decimals) + " " + o.asset.Code + "."}
		}
		if e != nil {
			errs = append(errs, *e)
		}
		o.amount = amount
		if r.MaxFee != "" {
			fee, e := readAmount("#/max_fee", r.MaxFee, o.asset)
			if e != nil {
				errs = append(errs, *e)
			}
			o.maxFee = &fee
		}
	}
	for i, d := range r.Destinations {
		at := fmt.Sprintf("#/destinations/%d", i)
		chain, ok := s.chains[d.Chain]
		switch {
		case !ok:
			errs = append(errs, FieldError{at + "/chain", ChainNotConfigured, s.chainNames()})
			continue
		case slices.ContainsFunc(o.destinations, func(x payment.Destination) bool { return x.Chain == chain.Name }):
			errs = append(errs, FieldError{at + "/chain", DestinationDuplicate, codeByName[DestinationDuplicate].Remedy})
		}
		o.destinations = append(o.destinations, payment.Destination{Chain: chain.Name, Address: d.Address})
	}
	return o, errs
}

func (s *Server) chainNames() string {
	var names []string
	for _, c := range s.destinations.Chains() {
		names = append(names, string(c.Name))
	}
	slices.Sort(names)
	return "Configured chains: " + strings.Join(names, ", ") + "."
}

// readAmount reads a payable amount: positive, and below 2^64 base units,
// which is as much as every chain can express.
func readAmount(at, text string, asset payment.Asset) (payment.Amount, *FieldError) {
	negative := strings.HasPrefix(text, "-")
	a, err := payment.ParseDecimal(strings.TrimPrefix(text, "-"), asset.Decimals)
	switch _, fits := a.Uint64(); {
	case err != nil:
		e := amountError(at, err)
		return a, &e
	case negative || a.IsZero():
		return a, &FieldError{at, AmountNotPositive, codeByName[AmountNotPositive].Remedy}
	case !fits:
		return a, &FieldError{at, AmountTooLarge, codeByName[AmountTooLarge].Remedy}
	}
	return a, nil
}

// verify asks the chains for the canonical form of every destination. It
// collects every definite no; if a chain does not know, nothing is concluded.
func (s *Server) verify(ctx context.Context, o *order) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var errs []FieldError
	var unknown error
	for i := range o.destinations {
		d := &o.destinations[i]
		canonical, err := s.destinations.CheckDestination(ctx, d.Chain, d.Address)
		var no *payment.AddressError
		switch {
		case err == nil:
			d.Address = canonical
		case errors.As(err, &no):
			errs = append(errs, addressError(fmt.Sprintf("#/destinations/%d/address", i), no))
		default:
			unknown = fmt.Errorf("check destination on %s: %w", d.Chain, err)
		}
	}
	if len(errs) > 0 {
		return failFields(errs)
	}
	if unknown != nil {
		return fail(DestinationUnverified, "").because(unknown)
	}
	return nil
}

// checkText refuses what Postgres cannot store: NUL characters. JSON decoding
// has made the rest valid UTF-8.
func checkText(at, s string) []FieldError {
	if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
		return []FieldError{{at, FieldInvalid, "Remove the NUL character."}}
	}
	return nil
}

func checkMetadata(m map[string]string) []FieldError {
	bad := func(at string) []FieldError {
		return []FieldError{{at, MetadataInvalid, codeByName[MetadataInvalid].Remedy}}
	}
	if len(m) > maxMetadataKeys {
		return bad("#/metadata")
	}
	for k, v := range m {
		if n := utf8.RuneCountInString(k); n == 0 || n > maxMetadataKey || strings.ContainsRune(k, 0) {
			return bad("#/metadata")
		}
		if utf8.RuneCountInString(v) > maxMetadataValue || strings.ContainsRune(v, 0) {
			return bad("#/metadata/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k))
		}
	}
	return nil
}

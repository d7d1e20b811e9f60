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
	Chain   string `json:"chain,omitempty" minLength:"1" maxLength:"80" doc:"Name or CAIP-2 id of a configured chain; with address" example:"ethereum"`
	Address string `json:"address,omitempty" minLength:"1" maxLength:"100" doc:"Payee: EIP-55 address, or a Solana wallet (never a token account)" example:"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`
	Account string `json:"account,omitempty" minLength:"1" maxLength:"180" doc:"The payee's CAIP-10 account id, instead of chain and address"`
}

// OrderRequest is what creating and quoting have in common. Its priority is
// cheap if it is left out, see fill.
type OrderRequest struct {
	Amount       string               `json:"amount,omitempty" required:"true" minLength:"1" maxLength:"80" doc:"Decimal string in units of the asset; never rounded" example:"12.50"`
	Asset        string               `json:"asset,omitempty" required:"true" minLength:"1" maxLength:"20" doc:"Asset to pay out" example:"USDC"`
	Destinations []DestinationRequest `json:"destinations,omitempty" required:"true" minItems:"1" maxItems:"16" doc:"Where the payee takes money, at most once per chain; Settle chooses one"`
	Allowed      []string             `json:"allowed_chains,omitempty" minItems:"1" maxItems:"16" doc:"Names or CAIP-2 ids of the chains that may pay it, also after a failure on one; left out: those of all destinations"`
	Priority     payment.Priority     `json:"priority,omitempty" enum:"cheap,fast,reliable" doc:"What the choice of the chain weighs most; cheap if left out"`
	MaxFee       string               `json:"max_fee,omitempty" maxLength:"80" doc:"Most that the network fee may be, as a decimal string in units of the asset" example:"0.50"`
}

// fill spells out what was left out, so that a request which does so too is the same.
func (r *OrderRequest) fill() {
	if r.Priority == "" {
		r.Priority = payment.Cheap
	}
}

// request is an order that was understood before, to be understood again.
func (o order) request(priority payment.Priority) OrderRequest {
	r := OrderRequest{Amount: o.amount.Decimal(o.asset.Decimals), Asset: o.asset.Code, Priority: priority, MaxFee: decimal(o.maxFee, o.asset)}
	for _, d := range o.destinations {
		r.Destinations = append(r.Destinations, DestinationRequest{Chain: string(d.Chain), Address: d.Address})
	}
	for _, c := range o.allowed {
		r.Allowed = append(r.Allowed, string(c))
	}
	return r
}

// order is an OrderRequest that was understood.
type order struct {
	amount       payment.Amount
	asset        payment.Asset
	maxFee       *payment.Amount
	destinations []payment.Destination
	fields       []string // which fields of the request give the destinations' addresses
	allowed      []payment.Chain
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
		p, field, bad := s.payee(at, d)
		switch {
		case bad != nil:
			errs = append(errs, *bad)
			continue
		case slices.ContainsFunc(o.destinations, func(x payment.Destination) bool { return x.Chain == p.Chain }):
			errs = append(errs, FieldError{at + "/chain", DestinationDuplicate, codeByName[DestinationDuplicate].Remedy})
		}
		o.destinations, o.fields = append(o.destinations, p), append(o.fields, field)
	}
	allowed, bad := s.allow(r.Allowed, o.destinations)
	o.allowed = allowed
	return o, append(errs, bad...)
}

// payee reads whom to pay on which chain, given in either way; field is the one
// that has the address.
func (s *Server) payee(at string, d DestinationRequest) (p payment.Destination, field string, bad *FieldError) {
	name, address := d.Chain, d.Address
	chainAt, field := at+"/chain", at+"/address"
	switch {
	case d.Account != "" && (name != "" || address != ""):
		return p, "", &FieldError{at + "/account", FieldInvalid, "Give either account, or chain and address."}
	case d.Account != "":
		chainAt, field = at+"/account", at+"/account"
		end := strings.LastIndexByte(d.Account, ':')
		if end < 0 {
			return p, "", &FieldError{field, FieldInvalid, "An account id is a CAIP-2 chain id, a colon and an address, e.g. eip155:1:0x5aAe..."}
		}
		name, address = d.Account[:end], d.Account[end+1:]
	case name == "":
		return p, "", &FieldError{chainAt, FieldMissing, "The field is required."}
	case address == "":
		return p, "", &FieldError{field, FieldMissing, "The field is required."}
	}
	chain, ok := s.chains[name]
	if !ok {
		return p, "", &FieldError{chainAt, ChainNotConfigured, s.chainNames()}
	}
	return payment.Destination{Chain: chain.Name, Address: address}, field, nil
}

// allow reads the chains that may pay, one of which must have a destination.
func (s *Server) allow(names []string, destinations []payment.Destination) (allowed []payment.Chain, errs []FieldError) {
	for i, name := range names {
		chain, ok := s.chains[name]
		if !ok {
			errs = append(errs, FieldError{fmt.Sprintf("#/allowed_chains/%d", i), ChainNotConfigured, s.chainNames()})
		} else if !slices.Contains(allowed, chain.Name) {
			allowed = append(allowed, chain.Name)
		}
	}
	possible := func(d payment.Destination) bool { return slices.Contains(allowed, d.Chain) }
	if len(errs) == 0 && len(allowed) > 0 && len(destinations) > 0 && !slices.ContainsFunc(destinations, possible) {
		errs = append(errs, FieldError{"#/allowed_chains", ChainNotAllowed, codeByName[ChainNotAllowed].Remedy})
	}
	return allowed, errs
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
			errs = append(errs, addressError(o.fields[i], no))
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

// checkLength is checkText for a text of least to most characters.
func checkLength(at, s string, least, most int) []FieldError {
	if n := utf8.RuneCountInString(s); n < least || n > most {
		return []FieldError{{at, FieldInvalid, fmt.Sprintf("Use %d to %d characters.", least, most)}}
	}
	return checkText(at, s)
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

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// Merchant is a merchant as operators see it. Amounts are in USDC.
type Merchant struct {
	ID          string    `json:"id" example:"mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object      string    `json:"object" enum:"merchant"`
	Name        string    `json:"name"`
	ReviewAbove *string   `json:"review_above" doc:"Larger payments wait for a person; null: none does for its amount" example:"10000.000000"`
	MaxAmount   *string   `json:"max_amount" doc:"Larger payments are refused; null: none is" example:"50000.000000"`
	CreatedAt   time.Time `json:"created_at"`
}

// MerchantDetails is a merchant with what it has and what is paid for it.
type MerchantDetails struct {
	Merchant
	Balances    ModeBalances `json:"balances"`
	Sponsorship *Sponsorship `json:"sponsorship,omitempty" doc:"Absent: the merchant's payments are not sponsored"`
}

// ModeBalances is what a merchant has in each mode.
type ModeBalances struct {
	Live Balance `json:"live"`
	Test Balance `json:"test"`
}

// Sponsorship is what may be spent on gas for a merchant's sponsored payments,
// in USDC.
type Sponsorship struct {
	MaxFee       string `json:"max_fee" minLength:"1" maxLength:"80" doc:"Most that the gas of one payment may cost" example:"0.50"`
	MaxFeePerDay string `json:"max_fee_per_day" minLength:"1" maxLength:"80" doc:"Most that the payments accepted on one day (UTC) may cost, each counted with max_fee" example:"100.00"`
}

// SponsorshipRequest sets a sponsorship.
type SponsorshipRequest Sponsorship

// MerchantRequest describes a merchant to make.
type MerchantRequest struct {
	Name string `json:"name" minLength:"1" maxLength:"200" doc:"For you; several merchants may have the same" example:"Example Ltd"`
	LimitsRequest
}

// UpdateMerchantRequest changes a merchant; what is left out stays.
type UpdateMerchantRequest struct {
	Name *string `json:"name,omitempty" minLength:"1" maxLength:"200"`
	LimitsRequest
}

// LimitsRequest is what operators say of a merchant's limits.
type LimitsRequest struct {
	ReviewAbove Limit `json:"review_above,omitempty" doc:"Payments above this many USDC wait for a person; null: none does for its amount" example:"10000.00"`
	MaxAmount   Limit `json:"max_amount,omitempty" doc:"Payments above this many USDC are refused; null: none is" example:"50000.00"`
}

// Limit is an amount in USDC, or null for no limit, or not given.
type Limit struct {
	Given bool
	Text  *string // nil: no limit
}

// UnmarshalJSON implements json.Unmarshaler.
func (l *Limit) UnmarshalJSON(text []byte) error {
	*l = Limit{Given: true}
	if bytes.Equal(text, []byte("null")) {
		return nil
	}
	return json.Unmarshal(text, &l.Text)
}

// Schema implements huma.SchemaProvider.
func (Limit) Schema(huma.Registry) *huma.Schema {
	least, most := 1, 80
	return &huma.Schema{Type: huma.TypeString, Nullable: true, MinLength: &least, MaxLength: &most}
}

// read returns the limit, nil for none, or what is wrong with it.
func (l Limit) read(at string) (*payment.Amount, []FieldError) {
	if l.Text == nil {
		return nil, nil
	}
	a, err := payment.ParseDecimal(*l.Text, payment.USDC.Decimals)
	if err != nil {
		return nil, []FieldError{amountError(at, err)}
	}
	return &a, nil
}

// read returns what the request does to a merchant, or a *Problem that lists all
// that is wrong.
func (r UpdateMerchantRequest) read() (func(*store.Merchant), error) {
	var errs []FieldError
	if r.Name != nil {
		errs = checkLength("#/name", *r.Name, 1, maxName)
	}
	review, bad := r.ReviewAbove.read("#/review_above")
	errs = append(errs, bad...)
	most, bad := r.MaxAmount.read("#/max_amount")
	if errs = append(errs, bad...); len(errs) > 0 {
		return nil, failFields(errs)
	}
	return func(m *store.Merchant) {
		if r.Name != nil {
			m.Name = *r.Name
		}
		if r.ReviewAbove.Given {
			m.ReviewAbove = review
		}
		if r.MaxAmount.Given {
			m.MaxAmount = most
		}
	}, nil
}

func showMerchant(m store.Merchant) Merchant {
	limit := func(a *payment.Amount) *string {
		if a == nil {
			return nil
		}
		text := a.Decimal(payment.USDC.Decimals)
		return &text
	}
	return Merchant{m.ID, "merchant", m.Name, limit(m.ReviewAbove), limit(m.MaxAmount), m.CreatedAt.UTC()}
}

// CreateMerchant makes a merchant. Errors: a *Problem if the request is not usable.
func CreateMerchant(ctx context.Context, st *store.Store, r MerchantRequest, actor string) (Merchant, error) {
	change, err := UpdateMerchantRequest{&r.Name, r.LimitsRequest}.read()
	if err != nil {
		return Merchant{}, err
	}
	var made store.Merchant
	change(&made)
	err = st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if made, err = tx.CreateMerchant(ctx, made); err != nil {
			return err
		}
		return audit(ctx, tx, store.AuditEntry{Actor: actor, Action: "merchant.created", ObjectID: made.ID, Detail: showMerchant(made)})
	})
	return showMerchant(made), err
}

// ChangeMerchant changes a merchant's name or limits. Every API process follows
// within a second, workers within 5. Errors: a *Problem if the request is not
// usable, and store.ErrNotFound.
func ChangeMerchant(ctx context.Context, st *store.Store, id string, r UpdateMerchantRequest, actor string) (Merchant, error) {
	change, err := r.read()
	if err != nil {
		return Merchant{}, err
	}
	var after store.Merchant
	err = st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		var before store.Merchant
		if before, after, err = tx.ChangeMerchant(ctx, id, change); err != nil {
			return err
		}
		return audit(ctx, tx, store.AuditEntry{Actor: actor, Action: "merchant.changed", ObjectID: id,
			Detail: map[string]Merchant{"before": showMerchant(before), "after": showMerchant(after)}})
	})
	return showMerchant(after), err
}

// DescribeMerchant reads a merchant as it is now. Errors: store.ErrNotFound.
func DescribeMerchant(ctx context.Context, st *store.Store, id string) (MerchantDetails, error) {
	row, err := st.Queries().GetMerchant(ctx, id)
	if err != nil {
		return MerchantDetails{}, fmt.Errorf("merchant %s: %w", id, err)
	}
	out := MerchantDetails{Merchant: showMerchant(store.Merchant(row))}
	for mode, balance := range map[payment.Mode]*Balance{payment.Live: &out.Balances.Live, payment.Test: &out.Balances.Test} {
		b, err := ledger.MerchantBalance(ctx, st, ledger.Holder{MerchantID: id, Mode: mode}, payment.USDC)
		if err != nil {
			return MerchantDetails{}, err
		}
		*balance = balanceOf(payment.USDC, b.Available, b.Held)
	}
	s, err := st.Sponsorship(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	shown := showSponsorship(s)
	out.Sponsorship = &shown
	return out, err
}

// ListMerchants returns at most limit merchants (0: all), newest first, behind
// the cursor; more reports whether others follow.
func ListMerchants(ctx context.Context, st *store.Store, after *store.Cursor, limit int) (merchants []Merchant, more bool, err error) {
	stored, more, err := st.Merchants(ctx, after, limit)
	merchants = make([]Merchant, len(stored))
	for n, m := range stored {
		merchants[n] = showMerchant(m)
	}
	return merchants, more, err
}

func showSponsorship(s store.Sponsorship) Sponsorship {
	return Sponsorship{s.MaxFee.Decimal(payment.USDC.Decimals), s.MaxFeePerDay.Decimal(payment.USDC.Decimals)}
}

// read returns the limits, or a *Problem that lists all that is wrong.
func (r SponsorshipRequest) read() (store.Sponsorship, error) {
	fee, bad := readAmount("#/max_fee", r.MaxFee, payment.USDC)
	perDay, worse := readAmount("#/max_fee_per_day", r.MaxFeePerDay, payment.USDC)
	var errs []FieldError
	for _, e := range []*FieldError{bad, worse} {
		if e != nil {
			errs = append(errs, *e)
		}
	}
	if len(errs) == 0 && perDay.Cmp(fee) < 0 {
		errs = []FieldError{{"#/max_fee_per_day", FieldInvalid, "It is below max_fee: no payment could be sponsored."}}
	}
	if len(errs) > 0 {
		return store.Sponsorship{}, failFields(errs)
	}
	return store.Sponsorship{MaxFee: fee, MaxFeePerDay: perDay}, nil
}

// SponsorMerchant sets what may be spent on gas for a merchant's sponsored payments, at
// once. Errors: a *Problem if the request is not usable, and store.ErrNotFound.
func SponsorMerchant(ctx context.Context, st *store.Store, id string, r SponsorshipRequest, actor string) (Sponsorship, error) {
	s, err := r.read()
	if err != nil {
		return Sponsorship{}, err
	}
	shown := showSponsorship(s)
	err = st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Sponsor(ctx, id, s); err != nil {
			return err
		}
		return audit(ctx, tx, store.AuditEntry{Actor: actor, Action: "merchant.sponsored", ObjectID: id, Detail: shown})
	})
	return shown, err
}

// UnsponsorMerchant accepts no more sponsored payments of a merchant; what was
// accepted goes on. Errors: store.ErrNotFound if it is not sponsored.
func UnsponsorMerchant(ctx context.Context, st *store.Store, id, actor string) error {
	return st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Unsponsor(ctx, id); err != nil {
			return err
		}
		return audit(ctx, tx, store.AuditEntry{Actor: actor, Action: "merchant.unsponsored", ObjectID: id})
	})
}

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Signed is an amount with a sign, in base units: positive is a debit,
// negative a credit. The zero value is 0.
type Signed struct {
	Amount   payment.Amount
	Negative bool // never set if Amount is 0
}

// ParseSigned reads decimal digits with an optional leading minus.
func ParseSigned(s string) (Signed, error) {
	digits, negative := strings.CutPrefix(s, "-")
	a, err := payment.ParseUnits(digits)
	return Signed{a, negative && !a.IsZero()}, err
}

// String writes decimal digits, with a leading minus if the amount is negative.
func (s Signed) String() string {
	if s.Negative && !s.Amount.IsZero() {
		return "-" + s.Amount.String()
	}
	return s.Amount.String()
}

// MarshalJSON writes String as a JSON string.
func (s Signed) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// Balance is what a holder has, in base units. Available = Posted - Held.
type Balance struct {
	Available payment.Amount // may be spent on new intents
	Held      payment.Amount // reserved for intents that are under way
	Posted    payment.Amount // deposits less settled payments
}

// MerchantBalance reads the holder's balance of an asset; it is zero if nothing
// was ever deposited.
func MerchantBalance(ctx context.Context, s *store.Store, h Holder, asset payment.Asset) (Balance, error) {
	return BalanceIn(ctx, s.Queries(), h, asset)
}

// BalanceIn is MerchantBalance as a running transaction (its Queries) sees it.
func BalanceIn(ctx context.Context, q *db.Queries, h Holder, asset payment.Asset) (Balance, error) {
	row, err := q.FlooredBalance(ctx, db.FlooredBalanceParams{
		Kind: string(MerchantAvailable), Owner: h.String(), Asset: asset.Code,
	})
	if errors.Is(err, store.ErrNotFound) {
		return Balance{}, nil
	}
	if err != nil {
		return Balance{}, fmt.Errorf("balance of %s: %w", h, err)
	}
	return balanceOf(h, row.Posted, row.Held)
}

func balanceOf(h Holder, posted, held payment.Amount) (Balance, error) {
	available, err := posted.Sub(held)
	if err != nil {
		return Balance{}, fmt.Errorf("balance of %s is below its holds: %w", h, err)
	}
	return Balance{Available: available, Held: held, Posted: posted}, nil
}

// PlatformBalance is the debit balance of a platform account, in base units of
// Asset: custody and gas tanks are positive as long as they hold something.
type PlatformBalance struct {
	Kind    Kind
	Owner   string // chain
	Asset   string // "USDC", "USDC.<chain>", "ETH", "SOL"
	Balance Signed
}

// PlatformBalances sums up the entries of every platform account.
func PlatformBalances(ctx context.Context, s *store.Store) ([]PlatformBalance, error) {
	rows, err := s.Queries().PlatformBalances(ctx)
	if err != nil {
		return nil, fmt.Errorf("platform balances: %w", err)
	}
	balances := make([]PlatformBalance, len(rows))
	for n, r := range rows {
		b, err := ParseSigned(r.Balance)
		if err != nil {
			return nil, fmt.Errorf("balance of %s:%s[%s]: %w", r.Kind, r.Owner, r.Asset, err)
		}
		balances[n] = PlatformBalance{Kind(r.Kind), r.Owner, r.Asset, b}
	}
	return balances, nil
}

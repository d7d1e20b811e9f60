package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// Quote is what a merchant was told that a payment would cost. It never changes.
type Quote struct {
	ID         string
	MerchantID string
	Mode       payment.Mode
	Decision   json.RawMessage // the routing decision, with its inputs
	Chain      payment.Chain   // that is promised; "" if none qualified
	Fee        payment.Amount  // expected network fee on Chain, base units of the asset
	CreatedAt  time.Time
	ExpiresAt  time.Time
}

// CreateQuote stores a quote that holds for a time, from now by the database's
// clock, and returns it as stored.
func (s *Store) CreateQuote(ctx context.Context, q Quote, valid time.Duration) (Quote, error) {
	row, err := s.queries.InsertQuote(ctx, db.InsertQuoteParams{ID: NewID("qt"), MerchantID: q.MerchantID, Mode: string(q.Mode),
		Decision: q.Decision, Chain: string(q.Chain), Fee: q.Fee, ValidSeconds: valid.Seconds()})
	if err != nil {
		return Quote{}, fmt.Errorf("create quote: %w", err)
	}
	return quoteOf(row), nil
}

// MerchantQuote reads a quote of the merchant in the mode, and the intent that
// was ordered by it, "" if none was. A quote of anybody else is ErrNotFound.
func (s *Store) MerchantQuote(ctx context.Context, merchantID string, mode payment.Mode, id string) (q Quote, usedBy string, err error) {
	row, err := s.queries.GetMerchantQuote(ctx, db.GetMerchantQuoteParams{ID: id, MerchantID: merchantID, Mode: string(mode)})
	if err != nil {
		return Quote{}, "", fmt.Errorf("quote %s: %w", id, err)
	}
	return quoteOf(row.Quote), row.UsedBy, nil
}

func quoteOf(r db.Quote) Quote {
	return Quote{ID: r.ID, MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode), Decision: r.Decision,
		Chain: payment.Chain(r.Chain), Fee: r.Fee, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt}
}

// Recipient is an address that a merchant has paid, when first, and by which intent.
type Recipient struct {
	Address  string
	Chain    payment.Chain
	IntentID string
	PaidAt   time.Time // block time
}

// LookAlikes returns at most limit addresses that the merchant has paid in the
// mode which begin and end like the given one, and are not it. Capitals and 0x
// do not count.
func (s *Store) LookAlikes(ctx context.Context, merchantID string, mode payment.Mode, address string, limit int) ([]Recipient, error) {
	rows, err := s.queries.ListLookAlikes(ctx, db.ListLookAlikesParams{MerchantID: merchantID, Mode: string(mode), Address: address, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("look-alikes: %w", err)
	}
	out := make([]Recipient, len(rows))
	for n, r := range rows {
		out[n] = Recipient{Address: r.Address, Chain: payment.Chain(r.Chain), IntentID: r.IntentID, PaidAt: r.PaidAt}
	}
	return out, nil
}

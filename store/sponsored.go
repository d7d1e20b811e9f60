package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// ErrSponsorshipSpent says that what a merchant's sponsored payments of the day may cost
// at most is at its limit, or the merchant is not sponsored.
var ErrSponsorshipSpent = errors.New("the sponsorship of the day is spent")

// Sponsorship is what may be spent on gas for a merchant's sponsored payments,
// in base units of USDC.
type Sponsorship struct {
	MaxFee       payment.Amount // of one payment's transaction
	MaxFeePerDay payment.Amount // of all payments accepted on one day, UTC, each counted with its MaxFee
}

// Sponsorship reads a merchant's sponsorship. ErrNotFound if it has none.
func (s *Store) Sponsorship(ctx context.Context, merchantID string) (Sponsorship, error) {
	row, err := s.queries.GetSponsorship(ctx, merchantID)
	if err != nil {
		return Sponsorship{}, fmt.Errorf("sponsorship of merchant %s: %w", merchantID, err)
	}
	return Sponsorship(row), nil
}

// Sponsor sets a merchant's sponsorship. ErrNotFound if there is no such
// merchant, ErrRefused if a day's limit is below that of one payment.
func (tx *Tx) Sponsor(ctx context.Context, merchantID string, p Sponsorship) error {
	_, err := tx.GetMerchant(ctx, merchantID)
	if err == nil {
		err = tx.PutSponsorship(ctx, db.PutSponsorshipParams{MerchantID: merchantID, MaxFee: p.MaxFee, MaxFeePerDay: p.MaxFeePerDay})
	}
	if err != nil {
		return fmt.Errorf("sponsor merchant %s: %w", merchantID, err)
	}
	return nil
}

// Unsponsor ends a merchant's sponsorship: what was accepted goes on. ErrNotFound
// if it has none.
func (tx *Tx) Unsponsor(ctx context.Context, merchantID string) error {
	n, err := tx.DeleteSponsorship(ctx, merchantID)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("end the sponsorship of merchant %s: %w", merchantID, err)
	}
	return nil
}

// TakenError says that an authorization has its payment already.
type TakenError struct {
	IntentID   string
	MerchantID string // whose payment it is; perhaps a stranger's
	Mode       payment.Mode
}

func (e *TakenError) Error() string { return "the authorization is that of intent " + e.IntentID }

// TakeSponsored takes a sponsored intent's authorization, for ever, and commits
// its MaxFee of what may be spent on its merchant today, for the intent that this
// transaction goes on to accept. A transaction that takes the same authorization
// is waited for. *TakenError if it is taken, ErrSponsorshipSpent if the limit is
// reached; the transaction must then be rolled back.
func (tx *Tx) TakeSponsored(ctx context.Context, i payment.Intent, token string) error {
	chain, a := i.Destinations[0].Chain, i.Authorization
	n, err := tx.TakeAuthorization(ctx, db.TakeAuthorizationParams{Chain: string(chain), Token: token, Payer: a.From, Nonce: a.Nonce, IntentID: i.ID})
	if err == nil && n == 0 {
		err = taken(ctx, tx.Queries, chain, token, *a)
	}
	if err != nil {
		return fmt.Errorf("take the authorization of intent %s: %w", i.ID, err)
	}
	if n, err = tx.CommitSponsoredFee(ctx, db.CommitSponsoredFeeParams{MerchantID: i.MerchantID, MaxFee: *i.MaxFee}); err == nil && n == 0 {
		err = ErrSponsorshipSpent
	}
	if err != nil {
		return fmt.Errorf("commit the fee of intent %s: %w", i.ID, err)
	}
	return nil
}

// Taken returns a *TakenError if the authorization, in canonical form, has its
// payment already.
func (s *Store) Taken(ctx context.Context, chain payment.Chain, token string, a payment.Authorization) error {
	err := taken(ctx, s.queries, chain, token, a)
	if isNotFound(err) {
		return nil
	}
	return err
}

// taken is the error that says whose an authorization is; ErrNotFound if it is
// nobody's.
func taken(ctx context.Context, q *db.Queries, chain payment.Chain, token string, a payment.Authorization) error {
	owner, err := q.AuthorizationOwner(ctx, db.AuthorizationOwnerParams{Chain: string(chain), Token: token, Payer: a.From, Nonce: a.Nonce})
	if err != nil {
		return err
	}
	return &TakenError{IntentID: owner.ID, MerchantID: owner.MerchantID, Mode: payment.Mode(owner.Mode)}
}

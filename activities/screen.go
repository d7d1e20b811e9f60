package activities

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Screen applies the merchant's limits, the deadline and the list of blocked
// addresses. It leaves the intent created, parks it for review above the
// merchant's review limit, or ends it.
func (s *Steps) Screen(ctx context.Context, in Ref) (State, error) {
	return s.change(ctx, "screen", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		if i.Status != payment.Created {
			return nil, nil
		}
		if overdue(i) {
			return end(ctx, tx, i, payment.Expired, "deadline_passed", "The deadline passed before the payment could be sent.")
		}
		for _, d := range parties(i) {
			reason, err := tx.GetBlockedAddress(ctx, db.GetBlockedAddressParams{Chain: string(d.Chain), Address: d.Address})
			blocked, err := found(err)
			if err != nil {
				return nil, err
			}
			if blocked {
				return end(ctx, tx, i, payment.Rejected, "address_blocked", fmt.Sprintf("%s on %s may not be paid: %s", d.Address, d.Chain, reason))
			}
		}
		// Through the transaction: a step that holds one connection and waits for
		// a second one can starve itself.
		m, err := tx.GetMerchant(ctx, i.MerchantID)
		if err != nil {
			return nil, err
		}
		if !i.Approved && m.ReviewAbove != nil && i.Amount.Cmp(*m.ReviewAbove) > 0 {
			return review(i, payment.ReviewPolicy, fmt.Sprintf("%s %s is above the review limit of %s; approve or reject",
				i.Amount.Decimal(i.Asset.Decimals), i.Asset.Code, m.ReviewAbove.Decimal(i.Asset.Decimals))), nil
		}
		return nil, nil
	})
}

// parties are the addresses that money may go to, and that a sponsored payment
// takes it from.
func parties(i payment.Intent) []payment.Destination {
	all := i.Destinations
	if i.Sponsored() {
		all = append(all[:len(all):len(all)], payment.Destination{Chain: all[0].Chain, Address: i.Authorization.From})
	}
	return all
}

package ledger

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// Open books what the chains hold beyond what the ledger knows as our own
// money, so that the books start equal to the chains. It works once per chain
// (references "opening:<chain>:custody" and ":gas"): money that comes later is
// a Deposit or has its own reference. ErrReferenceConflict if the chain was
// opened before with other figures.
func Open(ctx context.Context, s *store.Store, chains []ChainBalance) error {
	balances, err := PlatformBalances(ctx, s)
	if err != nil {
		return fmt.Errorf("open the books: %w", err)
	}
	booked := map[account]payment.Amount{}
	for _, b := range balances {
		if !b.Balance.Negative {
			booked[account{b.Kind, b.Owner, b.Asset}] = b.Balance.Amount
		}
	}
	return s.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, c := range chains {
			tokens, err := c.OnChain.Sub(booked[account{Custody, string(c.Chain), Held(c.Asset, c.Chain)}])
			if err != nil {
				return fmt.Errorf("open the books of %s: the treasury holds less than the ledger says: %w", c.Chain, err)
			}
			coins, err := c.NativeOnChain.Sub(booked[account{GasTank, string(c.Chain), c.NativeAsset}])
			if err != nil {
				return fmt.Errorf("open the books of %s: the lanes hold less than the ledger says: %w", c.Chain, err)
			}
			if !tokens.IsZero() {
				if err := FundTreasury(ctx, tx, fmt.Sprintf("opening:%s:custody", c.Chain), c.Chain, c.Asset, tokens); err != nil {
					return err
				}
			}
			if !coins.IsZero() {
				if err := FundGas(ctx, tx, fmt.Sprintf("opening:%s:gas", c.Chain), c.Chain, c.NativeAsset, coins); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

package ledger

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// ChainBalance is what a chain says, at a finalized block: the treasury's
// tokens and the native coins of all lanes together.
type ChainBalance struct {
	Chain         payment.Chain
	Asset         payment.Asset
	OnChain       payment.Amount // base units of Asset
	NativeAsset   string         // "ETH", "SOL"
	NativeOnChain payment.Amount // wei, lamports
}

// Reconcile compares the ledger's custody and gas tank accounts with the
// chains and lists every difference, exact to the base unit. A payment that is
// final on chain and not yet settled in the books is a difference until it is.
func Reconcile(ctx context.Context, s *store.Store, chains []ChainBalance) ([]Difference, error) {
	balances, err := PlatformBalances(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("reconcile: %w", err)
	}
	booked := map[account]Signed{}
	for _, b := range balances {
		booked[account{b.Kind, b.Owner, b.Asset}] = b.Balance
	}
	differences := []Difference{}
	compare := func(code Code, a account, onChain payment.Amount) {
		if found := (Signed{Amount: onChain}); booked[a] != found {
			differences = append(differences, Difference{
				Code: code, Object: fmt.Sprintf("%s:%s[%s]", a.kind, a.owner, a.asset),
				Expected: booked[a].String(), Found: found.String(),
			})
		}
	}
	for _, c := range chains {
		compare(CustodyDiffers, account{Custody, string(c.Chain), Held(c.Asset, c.Chain)}, c.OnChain)
		compare(GasTankDiffers, account{GasTank, string(c.Chain), c.NativeAsset}, c.NativeOnChain)
	}
	return differences, nil
}

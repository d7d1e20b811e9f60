package solana

import (
	"context"
	"fmt"
	"slices"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

// Balances reads the tokens in the associated token accounts of the addresses,
// and their lamports, at a finalized slot. With more than 50 addresses several
// calls are needed and Height is the oldest of their slots.
func (c *Chain) Balances(ctx context.Context, addresses []string) (chains.Balances, error) {
	owners := make([]sol.PublicKey, len(addresses))
	list := make([]sol.PublicKey, 0, 2*len(addresses))
	for i, a := range addresses {
		key, err := sol.PublicKeyFromBase58(a)
		if err != nil {
			return chains.Balances{}, fmt.Errorf("balances: address %q: %w", a, err)
		}
		ata, err := tokenAccount(key, c.keys.mint)
		if err != nil {
			return chains.Balances{}, fmt.Errorf("balances: %w", err)
		}
		owners[i] = key
		list = append(list, ata, key)
	}
	var out chains.Balances
	err := c.any(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		var calls []*rpcpool.Call
		for part := range slices.Chunk(list, maxAccounts) {
			calls = append(calls, accountsCall(finalized, part...))
		}
		if len(calls) == 0 {
			calls = append(calls, accountsCall(finalized))
		}
		if err := n.Do(ctx, calls...); err != nil {
			return err
		}
		var accounts []*account
		height := ^uint64(0)
		for _, r := range calls {
			part, slot, err := decodeAccounts(r)
			if err != nil {
				return err
			}
			accounts = append(accounts, part...)
			height = min(height, slot)
		}
		out = chains.Balances{Height: height, Token: map[string]payment.Amount{}, Native: map[string]payment.Amount{}}
		for i, a := range addresses {
			units, err := tokenAmount(accounts[2*i], owners[i], c.keys.mint)
			if err != nil {
				return err
			}
			out.Token[a] = payment.Units(units)
			out.Native[a] = payment.Units(0)
			if account := accounts[2*i+1]; account != nil {
				out.Native[a] = payment.Units(account.Lamports)
			}
		}
		return nil
	})
	if err != nil {
		return chains.Balances{}, fmt.Errorf("balances: %w", err)
	}
	return out, nil
}

package solana

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
)

// finalBlock reads a finalized block through one node, for the watch over
// finality: the newest, or the one of a slot.
func (c *Chain) finalBlock(ctx context.Context, n *rpcpool.Node, slot *uint64) (witness.Block, error) {
	if slot == nil {
		newest := newCall("getSlot", at(finalized))
		if err := n.Do(ctx, newest); err != nil {
			return witness.Block{}, err
		}
		slot = new(uint64)
		if err := decode(newest, slot); err != nil {
			return witness.Block{}, err
		}
	}
	call := blockCall(*slot, finalized)
	if err := n.Do(ctx, call); err != nil {
		return witness.Block{}, err
	}
	var block *blockResult
	if err := decode(call, &block); err != nil {
		return witness.Block{}, err
	}
	if block == nil || block.Blockhash == "" {
		return witness.Block{}, fmt.Errorf("%s: no block in slot %d", n.Name(), *slot)
	}
	return witness.Block{Height: *slot, Hash: block.Blockhash}, nil
}

// blockCall asks for the name of a block of at least a commitment.
func blockCall(slot uint64, commitment string) *rpcpool.Call {
	return newCall("getBlock", slot, options{"commitment": commitment, "transactionDetails": "none", "rewards": false, "maxSupportedTransactionVersion": 0})
}

package evm

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
)

// finalBlock reads a final block through one node, for the watch over
// finality: the newest, or the one at a number.
func (c *Chain) finalBlock(ctx context.Context, n *rpcpool.Node, at *uint64) (witness.Block, error) {
	var b batch
	var asked *header
	if at != nil {
		b.add(&asked, "eth_getBlockByNumber", hexutil.Uint64(*at), false)
	}
	h, err := c.readHeads(ctx, n, b)
	if err != nil {
		return witness.Block{}, err
	}
	if at == nil {
		asked = &h.final
	}
	if asked == nil || asked.Number > h.final.Number {
		return witness.Block{}, fmt.Errorf("%s: block %d is not final there", n.Name(), *at)
	}
	return witness.Block{Height: uint64(asked.Number), Hash: asked.Hash.Hex()}, nil
}

package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains/rpcpool"
)

// header is the part of a block that Settle reads.
type header struct {
	Number    hexutil.Uint64 `json:"number"`
	Hash      common.Hash    `json:"hash"`
	Timestamp hexutil.Uint64 `json:"timestamp"` // seconds
	BaseFee   *hexutil.Big   `json:"baseFeePerGas"`
}

func (h header) time() time.Time { return time.Unix(int64(h.Timestamp), 0).UTC() }

// heads are the two ends of what may still change.
type heads struct{ latest, final header }

// readHeads makes the calls of b, and those for the heads, in one request.
// Where finality is a depth, a second one reads that block.
func (c *Chain) readHeads(ctx context.Context, n *rpcpool.Node, b batch, tolerate ...int) (heads, error) {
	var latest, final *header
	b.add(&latest, "eth_getBlockByNumber", "latest", false)
	if tag := c.set.Finality.Tag; tag != "" {
		b.add(&final, "eth_getBlockByNumber", tag, false)
	}
	if err := b.do(ctx, n, tolerate...); err != nil {
		return heads{}, err
	}
	if latest == nil {
		return heads{}, fmt.Errorf("the node has no newest block")
	}
	if depth := c.set.Finality.Depth; depth > 0 {
		number := latest.Number - min(latest.Number, hexutil.Uint64(depth))
		if err := ask(ctx, n, &final, "eth_getBlockByNumber", number, false); err != nil {
			return heads{}, err
		}
	}
	if final == nil {
		return heads{}, fmt.Errorf("the node has no final block")
	}
	if final.Number > latest.Number {
		return heads{}, fmt.Errorf("the node's final block %d is above its newest %d", final.Number, latest.Number)
	}
	return heads{latest: *latest, final: *final}, nil
}

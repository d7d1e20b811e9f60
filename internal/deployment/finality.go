package deployment

import (
	"context"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/settlehq/settle/internal/sandbox"
)

// finalityTimeout is ample for the slowest sandbox.
const finalityTimeout = 2 * time.Minute

// AwaitFinality waits until everything that is in a block now is final on both
// chains.
func (d *Deployment) AwaitFinality(t sandbox.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), finalityTimeout)
	defer cancel()
	reach(ctx, t, d.Sandbox.Descriptor.Ethereum.HTTPURL, func(c *rpc.Client, final bool) (uint64, error) {
		tag := map[bool]string{false: "latest", true: "finalized"}[final]
		var block struct {
			Number hexutil.Uint64 `json:"number"`
		}
		err := c.CallContext(ctx, &block, "eth_getBlockByNumber", tag, false)
		return uint64(block.Number), err
	})
	reach(ctx, t, d.Sandbox.Descriptor.Solana.HTTPURL, func(c *rpc.Client, final bool) (slot uint64, err error) {
		level := map[bool]string{false: "processed", true: "finalized"}[final]
		err = c.CallContext(ctx, &slot, "getSlot", map[string]string{"commitment": level})
		return slot, err
	})
}

// reach waits until the finalized height is what the head is now.
func reach(ctx context.Context, t sandbox.T, url string, height func(c *rpc.Client, final bool) (uint64, error)) {
	t.Helper()
	c, err := rpc.DialContext(ctx, url)
	must(t, err)
	defer c.Close()
	head, err := height(c, false)
	must(t, err)
	for {
		final, err := height(c, true)
		must(t, err)
		if final >= head {
			return
		}
		pause(ctx, 50*time.Millisecond)
	}
}

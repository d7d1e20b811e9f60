package solana

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

const (
	maxSignatures = 256 // per getSignatureStatuses
	maxAccounts   = 100 // per getMultipleAccounts
)

// pooled is the pool of a network's nodes: how they name it, and their height,
// which is the block height, since the life of a blockhash is counted in it.
func pooled(cfg Config, poll time.Duration) (*rpcpool.Pool, error) {
	return rpcpool.New(rpcpool.Config{
		URLs: cfg.RPCURLs,
		Identity: rpcpool.Identity{Method: "getGenesisHash", Check: func(c *rpcpool.Call) error {
			var got string
			if err := decode(c, &got); err != nil {
				return err
			}
			if got != cfg.GenesisHash {
				return fmt.Errorf("%w: its genesis hash is %s, configured is %s", rpcpool.ErrWrongChain, got, cfg.GenesisHash)
			}
			return nil
		}},
		Height: rpcpool.Height{Method: "getBlockHeight", Params: []any{at(confirmed)}, Parse: func(c *rpcpool.Call) (uint64, error) {
			var height uint64
			err := decode(c, &height)
			return height, err
		}},
		Client: rpcpool.Client{Method: "getVersion", Parse: func(c *rpcpool.Call) string {
			var v struct {
				Core string `json:"solana-core"`
			}
			if decode(c, &v) != nil {
				return ""
			}
			return "agave/" + v.Core
		}},
		LagBlocks: lagBlocks, OutOfSyncBlocks: outOfSyncBlocks, CallsPerSecond: cfg.RPCCallsPerSecond, ProbeEvery: poll,
		Rest: time.Duration(cfg.RPCRestMS) * time.Millisecond,
	})
}

// Blocks come every 400 ms: a node three seconds behind is late, one a minute
// behind is of no use.
const (
	lagBlocks       = 8
	outOfSyncBlocks = validBlocks
)

func newCall(method string, params ...any) *rpcpool.Call { return rpcpool.NewCall(method, params...) }

// decode reads an answer. Every error of a node means that nothing was
// learned, so it wraps chains.ErrUnknown.
func decode(c *rpcpool.Call, into any) error {
	if err := c.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", chains.ErrUnknown, err)
	}
	return nil
}

// any asks one node, and the others in turn if it fails. The error wraps
// chains.ErrUnknown.
func (c *Chain) any(ctx context.Context, ask func(context.Context, *rpcpool.Node) error) error {
	if err := c.pool.Read(ctx, 0, ask); err != nil {
		return fmt.Errorf("%w: %w", chains.ErrUnknown, err)
	}
	return nil
}

// Parameters that many calls share.
type options map[string]any

func at(commitment string) options { return options{"commitment": commitment} }

const (
	confirmed = "confirmed"
	// finalized is the level at which an outcome counts (S12: should the
	// network ever make confirmed irreversible, this is the only place).
	finalized = "finalized"
)

// withContext is the shape of answers that say which slot they are from.
type withContext[T any] struct {
	Context struct {
		Slot uint64 `json:"slot"`
	} `json:"context"`
	Value T `json:"value"`
}

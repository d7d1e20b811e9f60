package main

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/treasury"
)

// registerLanes makes the configured accounts known to the database. A lane
// whose nonce the chain has moved past ours is frozen: somebody else uses its
// key. The worker starts all the same: nothing is reserved on a frozen lane.
func registerLanes(ctx context.Context, p *process, c chains.Chain) error {
	info := c.Info()
	seeds := make([]treasury.LaneSeed, len(info.Lanes))
	for i, lane := range info.Lanes {
		start, err := c.LaneStart(ctx, lane)
		if err != nil {
			return fmt.Errorf("lane %s on %s: %w", lane, info.Name, err)
		}
		seeds[i] = treasury.LaneSeed{Address: lane, StartNonce: start, MaxInFlight: info.LaneInFlight}
	}
	err := treasury.RegisterWallets(ctx, p.store, info.Name, info.Treasury, seeds)
	var foreign *treasury.ForeignTransactionError
	if errors.As(err, &foreign) {
		p.log.Error("a lane is frozen; the others go on without it", zap.Error(err))
		return nil
	}
	return err
}

package main

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/treasury"
)

// registerLanes makes the configured accounts known to the database. A lane
// whose nonce the chain has moved past ours is frozen: somebody else uses its
// key.
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
	return treasury.RegisterWallets(ctx, p.store, info.Name, info.Treasury, seeds)
}

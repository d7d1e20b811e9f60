package solana

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

// A blockhash is valid for this many blocks. A node that names a much earlier
// or later end is not believed: the end is half of the proof that a payment
// is dead.
const (
	validBlocks   = 150
	validTolerate = 50
)

// network is what Sign needs from the last Refresh. It never changes.
type network struct {
	chains.Conditions
	blockhash   sol.Hash
	contextSlot uint64 // of the blockhash
	lastValid   uint64 // block height, not slot
	price       uint64 // micro-lamports per compute unit
}

// Conditions returns what the last successful Refresh read.
func (c *Chain) Conditions() (chains.Conditions, bool) {
	n := c.network.Load()
	if n == nil {
		return chains.Conditions{}, false
	}
	return n.Conditions, true
}

// Refresh reads blockhash, heights, fees and balances from one node, in one
// batch. The blockhash is of commitment confirmed: finalized would waste a
// fifth of its life, processed may be of a fork that dies (S1). In the
// background the other nodes are asked how they are, and from time to time
// whether a finalized block is still there: chains.ErrFrozen once it is not.
func (c *Chain) Refresh(ctx context.Context) error {
	if err := c.anchor.Err(); err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	defer c.anchor.Watch(ctx)
	defer c.pool.Watch(ctx)
	return c.any(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		fresh, err := c.read(ctx, n)
		if err != nil {
			return fmt.Errorf("refresh: %w", err)
		}
		c.network.Store(fresh)
		return nil
	})
}

func (c *Chain) read(ctx context.Context, n *rpcpool.Node) (*network, error) {
	start := time.Now()
	treasuryATA := c.keys.treasuryATA.String()
	var (
		genesis  = n.Identity()
		hash     = newCall("getLatestBlockhash", at(confirmed))
		height   = newCall("getBlockHeight", at(confirmed))
		final    = newCall("getSlot", at(finalized))
		accounts = newCall("getMultipleAccounts", append([]string{sol.SysVarClockPubkey.String(), treasuryATA}, c.cfg.Lanes[:min(len(c.cfg.Lanes), maxAccounts-2)]...), accountOptions(confirmed))
		fees     = newCall("getRecentPrioritizationFees", []string{treasuryATA})
	)
	if err := n.Do(ctx, genesis, hash, height, final, accounts, fees); err != nil {
		return nil, err
	}
	if err := n.Identified(genesis); err != nil {
		return nil, err
	}
	var latest withContext[struct {
		Blockhash            string `json:"blockhash"`
		LastValidBlockHeight uint64 `json:"lastValidBlockHeight"`
	}]
	var blockHeight, finalSlot uint64
	var state withContext[[]*account]
	var recent []struct {
		Fee uint64 `json:"prioritizationFee"`
	}
	for _, d := range []struct {
		call *rpcpool.Call
		into any
	}{{hash, &latest}, {height, &blockHeight}, {final, &finalSlot}, {accounts, &state}, {fees, &recent}} {
		if err := decode(d.call, d.into); err != nil {
			return nil, err
		}
	}
	if err := c.pool.Reached(n, blockHeight); err != nil {
		return nil, err
	}
	blockhash, err := sol.HashFromBase58(latest.Value.Blockhash)
	if err != nil {
		return nil, fmt.Errorf("%w: getLatestBlockhash: %w", chains.ErrUnknown, err)
	}
	if err := plausible(latest.Value.LastValidBlockHeight, blockHeight); err != nil {
		return nil, err
	}
	if len(state.Value) < 2 {
		return nil, fmt.Errorf("%w: getMultipleAccounts: %d accounts", chains.ErrUnknown, len(state.Value))
	}
	chainTime, err := clockTime(state.Value[0])
	if err != nil {
		return nil, err
	}
	balance, err := tokenAmount(state.Value[1], c.keys.treasury, c.keys.mint)
	if err != nil {
		return nil, err
	}
	paid := make([]uint64, len(recent))
	for i, r := range recent {
		paid[i] = r.Fee
	}
	price := unitPrice(paid, c.cfg.ComputeUnitPricePercentile, c.cfg.ComputeUnitPriceFloor, c.cfg.ComputeUnitPriceCap)
	detail := map[string]any{
		"blockhash": latest.Value.Blockhash, "last_valid_block_height": latest.Value.LastValidBlockHeight, "block_height": blockHeight,
		"compute_unit_price_micro_lamports": price, "new_token_account_lamports": c.rent, "node": n.Name(),
	}
	for i, a := range state.Value[2:] {
		lamports := uint64(0)
		if a != nil {
			lamports = a.Lamports
		}
		detail["lane_lamports_"+c.cfg.Lanes[i]] = lamports
	}
	return &network{
		Conditions: chains.Conditions{
			Chain:           c.cfg.Name,
			ObservedAt:      start, // not later: the blockhash may be as old as the request
			Head:            state.Context.Slot,
			Finalized:       finalSlot,
			HeadTime:        chainTime,
			FeePerPayment:   payment.Units(feeLamports(c.signatures(c.keys.lanes[0]), price, c.cfg.ComputeUnitLimit)),
			TreasuryBalance: payment.Units(balance),
			LatencyMillis:   time.Since(start).Milliseconds(),
			Nodes:           c.pool.Stats(),
			Detail:          detail,
		},
		blockhash:   blockhash,
		contextSlot: latest.Context.Slot,
		lastValid:   latest.Value.LastValidBlockHeight,
		price:       price,
	}, nil
}

// plausible checks the end of a blockhash's life against the block height of
// the same moment. Wrappers have answered 0, or a slot.
func plausible(lastValid, height uint64) error {
	if lastValid < height+validBlocks-validTolerate || lastValid > height+validBlocks+validTolerate {
		return fmt.Errorf("%w: getLatestBlockhash: last valid block height %d at height %d", chains.ErrUnknown, lastValid, height)
	}
	return nil
}

// clockTime reads the clock sysvar: slot, epoch start, epoch, leader epoch,
// and at byte 32 the Unix time.
func clockTime(a *account) (time.Time, error) {
	if a == nil || len(a.Data.bytes) < 40 {
		return time.Time{}, fmt.Errorf("%w: clock sysvar is missing", chains.ErrUnknown)
	}
	return time.Unix(int64(binary.LittleEndian.Uint64(a.Data.bytes[32:40])), 0).UTC(), nil
}

// tokenAmount reads an associated token account; without one the owner has 0.
func tokenAmount(a *account, owner, mint sol.PublicKey) (uint64, error) {
	if a == nil || !isToken(a.Owner) {
		return 0, nil
	}
	b := a.Data.bytes
	if len(b) < tokenAccountSize || sol.PublicKeyFromBytes(b[:32]) != mint || sol.PublicKeyFromBytes(b[32:64]) != owner {
		return 0, fmt.Errorf("%w: the token account of %s holds something else", chains.ErrUnknown, owner)
	}
	return binary.LittleEndian.Uint64(b[64:72]), nil
}

// unitPrice is the percentile (1 to 100, nearest rank) of recently paid
// prices, held between floor and cap; all in micro-lamports per compute unit.
func unitPrice(recent []uint64, percentile int, floor, limit uint64) uint64 {
	price := floor
	if len(recent) > 0 {
		sorted := slices.Sorted(slices.Values(recent))
		rank := (percentile*len(sorted) + 99) / 100
		price = sorted[max(rank, 1)-1]
	}
	return min(max(price, floor), limit)
}

// feeLamports is what the network charges: 5000 lamports per signature and
// the priority fee, which is for the limit, not for what was used.
func feeLamports(signatures int, price uint64, limit uint32) uint64 {
	return uint64(signatures)*signatureLamports + (price*uint64(limit)+999_999)/1_000_000
}

// signatures a payment over this lane carries.
func (c *Chain) signatures(lane sol.PublicKey) int {
	if lane == c.keys.treasury {
		return 1
	}
	return 2
}

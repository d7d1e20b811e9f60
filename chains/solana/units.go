package solana

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// The network charges for the compute units that a transaction may use, and
// includes the smaller ones more readily. What a payment takes is measured (S11):
// nodes simulate a sample now and then. It is the dearest kind, with a guard and
// a new token account, since nobody is asked about the payee at signing.

const (
	// sampleMemo is as long as an intent's id. Longer memos get the configured
	// limit.
	sampleMemo = "pi_00000000000000000000000000000000"
	// firstBump is tried first when the token account's address is derived; every
	// further try takes bumpUnits, on chain too.
	firstBump = 255
	bumpUnits = 1500
)

// simulateTimeout bounds a measurement: it comes before each tenth refresh.
const simulateTimeout = 2 * time.Second

// measureUnits asks what a payment takes, if it is time to.
func (c *Chain) measureUnits(ctx context.Context) {
	now, last := time.Now().UnixNano(), c.measuredAt.Load()
	if now-last < int64(watchEvery*c.info.PollInterval) || !c.measuredAt.CompareAndSwap(last, now) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, simulateTimeout)
	defer cancel()
	c.units.Store(c.measured(ctx))
}

// measured is the most that the nodes of a quorum say; 0 if not all of them
// answer, or the sample fails. One node alone could make payments fail.
func (c *Chain) measured(ctx context.Context) uint32 {
	sample, err := c.sample()
	if err != nil {
		return 0
	}
	votes := rpcpool.Ask(ctx, c.pool, c.pool.Quorum(), nil, func(ctx context.Context, n *rpcpool.Node) (uint32, error) {
		return simulate(ctx, n, sample)
	})
	answers, most := 0, uint32(0)
	for _, v := range votes {
		if v.Err == nil {
			answers++
			most = max(most, v.Said)
		}
	}
	if answers < c.pool.Quorum() {
		return 0
	}
	return most
}

// sample is an unsigned payment of one base unit to a payee that nobody can
// know beforehand, whose token account has the first bump.
func (c *Chain) sample() ([]byte, error) {
	p := plan{
		lane: c.keys.lanes[0], treasury: c.keys.treasury, source: c.keys.treasuryATA, mint: c.keys.mint,
		units: 1, decimals: uint8(c.cfg.Decimals), memo: sampleMemo, unitLimit: c.cfg.ComputeUnitLimit, dataLimit: c.cfg.LoadedAccountsDataLimit,
		guard: &guard{seed: guardSeed([]byte(rand.Text()), sampleMemo, 1), rent: c.guardRent},
	}
	var err error
	if p.guard.address, err = sol.CreateWithSeed(p.treasury, p.guard.seed, sol.SystemProgramID); err != nil {
		return nil, err
	}
	for bump := uint8(0); bump != firstBump; {
		_, _ = rand.Read(p.payee[:]) // never fails
		if p.payeeATA, bump, err = sol.FindAssociatedTokenAddress(p.payee, p.mint); err != nil {
			return nil, err
		}
	}
	tx, err := sol.NewTransaction(instructions(p), sol.Hash{}, sol.TransactionPayer(p.lane))
	if err != nil {
		return nil, err
	}
	tx.Signatures = make([]sol.Signature, tx.Message.Header.NumRequiredSignatures)
	return tx.MarshalBinary()
}

// simulate has a node run unsigned bytes, and returns the units they took.
func simulate(ctx context.Context, n *rpcpool.Node, raw []byte) (uint32, error) {
	call := newCall("simulateTransaction", base64.StdEncoding.EncodeToString(raw),
		options{"commitment": confirmed, "encoding": "base64", "sigVerify": false, "replaceRecentBlockhash": true})
	if err := n.Do(ctx, call); err != nil {
		return 0, err
	}
	var ran withContext[struct {
		Err           json.RawMessage `json:"err"`
		UnitsConsumed uint32          `json:"unitsConsumed"`
	}]
	if err := decode(call, &ran); err != nil {
		return 0, err
	}
	if !isNull(ran.Value.Err) || ran.Value.UnitsConsumed == 0 {
		return 0, fmt.Errorf("%w: the sample payment failed: %s", chains.ErrUnknown, ran.Value.Err)
	}
	return ran.Value.UnitsConsumed, nil
}

// unitLimit is what a payment may use: what the sample took and a tenth, and
// the tries by which its token account's address differs. The configured limit
// is the most, and holds while nothing is known.
func (c *Chain) unitLimit(memo string, bump uint8) uint32 {
	units := c.units.Load()
	if units == 0 || len(memo) > len(sampleMemo) {
		return c.cfg.ComputeUnitLimit
	}
	return min(units+units/10+bumpUnits*uint32(firstBump-bump), c.cfg.ComputeUnitLimit)
}

package evm

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
	"github.com/settlehq/settle/payment"
)

// Chain is one EVM network. It is safe for concurrent use.
type Chain struct {
	set     settings
	chainID *big.Int
	signer  chains.Signer
	pool    *rpcpool.Pool
	anchor  *witness.Anchor
	scanner *witness.Scanner
	domain  common.Hash // EIP-712 separator of the token; zero with MethodTransfer

	mu       sync.Mutex
	last     *observation
	progress progress
}

var _ chains.Laner = (*Chain)(nil)

// observation is what Refresh read.
type observation struct {
	chains.Conditions
	market market
	from   uint64 // nothing that is signed now can be in a block below
}

// Open checks the configuration and asks the nodes: all that answer must
// serve the configured chain id, and one must answer. The token must exist,
// have 6 decimals and, with EIP-3009, the EIP-712 domain that signatures are
// going to be made for.
func Open(ctx context.Context, cfg Config, signer chains.Signer) (*Chain, error) {
	set, err := cfg.check()
	if err != nil {
		return nil, fmt.Errorf("evm chain %q: %w", cfg.Name, err)
	}
	c := &Chain{set: set, chainID: new(big.Int).SetUint64(set.ChainID), signer: signer}
	if c.pool, err = pooled(set); err != nil {
		return nil, fmt.Errorf("evm chain %q: %w", cfg.Name, err)
	}
	if err := c.pool.Connect(ctx); err != nil {
		return nil, fmt.Errorf("evm chain %q: %w", cfg.Name, err)
	}
	c.anchor = witness.NewAnchor(c.pool, watchEvery*set.poll, c.finalBlock)
	c.scanner = witness.NewScanner(c.pool, c.anchor, watchEvery*set.poll, c.look)
	if err := c.read(ctx, c.checkToken); err != nil {
		return nil, fmt.Errorf("evm chain %q: %w", cfg.Name, err)
	}
	return c, nil
}

// checkToken reads the token's decimals and EIP-712 domain.
func (c *Chain) checkToken(ctx context.Context, n *rpcpool.Node) error {
	abi := fiattoken.NewFiatToken()
	var b batch
	var decimals, name, version, separator hexutil.Bytes
	b.add(&decimals, "eth_call", call(c.set.token, abi.PackDecimals()), "latest")
	if c.set.Method == MethodEIP3009 {
		b.add(&name, "eth_call", call(c.set.token, abi.PackName()), "latest")
		b.add(&version, "eth_call", call(c.set.token, abi.PackVersion()), "latest")
		b.add(&separator, "eth_call", call(c.set.token, abi.PackDOMAINSEPARATOR()), "latest")
	}
	if err := b.do(ctx, n); err != nil {
		return fmt.Errorf("token %s: %w", c.set.token, err)
	}
	got, err := abi.UnpackDecimals(decimals)
	if err != nil {
		return fmt.Errorf("token %s: decimals: %w: is the address right?", c.set.token, err)
	}
	if int(got) != payment.USDC.Decimals {
		return fmt.Errorf("token %s: decimals %d, want %d: is the address right?", c.set.token, got, payment.USDC.Decimals)
	}
	if c.set.Method == MethodTransfer {
		return nil
	}

	if c.set.TokenName == "" {
		if c.set.TokenName, err = abi.UnpackName(name); err != nil {
			return fmt.Errorf("token %s: name: %w", c.set.token, err)
		}
	}
	if c.set.TokenVersion == "" {
		if c.set.TokenVersion, err = abi.UnpackVersion(version); err != nil {
			return fmt.Errorf("token %s: version: %w", c.set.token, err)
		}
	}
	want, err := abi.UnpackDOMAINSEPARATOR(separator)
	if err != nil {
		return fmt.Errorf("token %s: domain: %w", c.set.token, err)
	}
	c.domain = domainSeparator(c.set.TokenName, c.set.TokenVersion, c.set.ChainID, c.set.token)
	if c.domain != want {
		return fmt.Errorf("token %s: its EIP-712 domain is not name %q, version %q: correct token_name and token_version", c.set.token, c.set.TokenName, c.set.TokenVersion)
	}
	return nil
}

// Info describes the chain.
func (c *Chain) Info() chains.Info {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	return chains.Info{
		Name: c.set.Name, CAIP2: fmt.Sprintf("eip155:%d", c.set.ChainID), Token: c.set.token.Hex(), Treasury: c.set.treasury.Hex(),
		NativeAsset: c.set.NativeAsset, NativeDecimals: 18, LaneNonces: true,
		PollInterval: ms(c.set.PollIntervalMS), ResendAfter: ms(c.set.ResendAfterMS), BumpAfter: ms(c.set.BumpAfterMS), FinalityETA: ms(c.set.FinalityETAMS),
		ExplorerTxURL: c.set.ExplorerTx, Lanes: texts(c.set.lanes), LaneInFlight: c.set.LaneInFlight,
	}
}

func texts(as []common.Address) []string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = a.Hex()
	}
	return out
}

// Conditions returns what the last successful Refresh read.
func (c *Chain) Conditions() (chains.Conditions, bool) {
	o, ok := c.observed()
	return o.Conditions, ok
}

func (c *Chain) observed() (observation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		return observation{}, false
	}
	return *c.last, true
}

// watchEvery is how many poll intervals pass between two looks at whether
// finality still holds and whether nodes agree.
const watchEvery = 10

// Refresh reads heads, fees and the treasury's tokens, and asks the node for
// its chain id again, since an endpoint may change behind its name. In the
// background the other nodes are asked how they are, and from time to time
// whether a finalized block is still there: chains.ErrFrozen once it is not.
func (c *Chain) Refresh(ctx context.Context) error {
	if err := c.anchor.Err(); err != nil {
		return err
	}
	defer c.anchor.Watch(ctx)
	defer c.pool.Watch(ctx)
	return c.read(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		start := time.Now()
		var b batch
		id := n.Identity()
		var tip *hexutil.Big
		b.append(id, nil)
		suggestion := b.add(&tip, "eth_maxPriorityFeePerGas")
		funds := c.addFunds(&b)
		h, err := c.readHeads(ctx, n, b, suggestion)
		if err != nil {
			return err
		}
		if err := n.Identified(id); err != nil {
			return err
		}
		if err := c.pool.Reached(n, uint64(h.latest.Number)); err != nil {
			return err
		}
		if h.latest.BaseFee == nil {
			return errors.New("the newest block has no base fee (EIP-1559)")
		}
		m := market{base: h.latest.BaseFee.ToInt(), tip: c.set.minTip}
		if tip != nil { // the method is no part of the standard
			m.tip = maxBig(m.tip, tip.ToInt())
		}
		balance := new(big.Int)
		for _, f := range funds {
			units, err := fiattoken.NewFiatToken().UnpackBalanceOf(*f)
			if err != nil {
				return fmt.Errorf("treasury balance: %w", err)
			}
			balance.Add(balance, units)
		}
		f, err := m.quote(outbidding(nil, c.set.minTip), c.set.maxFee)
		if err != nil {
			return err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last = &observation{market: m, from: min(uint64(h.final.Number), c.pool.Agreed()), Conditions: chains.Conditions{
			Chain: c.set.Name, ObservedAt: start, Head: uint64(h.latest.Number), Finalized: uint64(h.final.Number), HeadTime: h.latest.time(),
			FeePerPayment: amount(m.expected(f, c.set.GasExpected)), PricePerGas: amount(new(big.Int).Add(m.base, m.tip)), TreasuryBalance: amount(balance), LatencyMillis: time.Since(start).Milliseconds(),
			Nodes:  c.pool.Stats(),
			Detail: map[string]any{"base_fee_wei": m.base.String(), "tip_wei": f.tip.String(), "fee_cap_wei": f.cap.String(), "fee_capped": f.capped, "node": n.Name()},
		}}
		return nil
	})
}

// addFunds asks for the tokens that can be paid out: the treasury's, or those
// of all lanes where the lanes hold them.
func (c *Chain) addFunds(b *batch) []*hexutil.Bytes {
	holders := []common.Address{c.set.treasury}
	if c.set.Method == MethodTransfer {
		holders = c.set.lanes
	}
	out := make([]*hexutil.Bytes, len(holders))
	for i, h := range holders {
		out[i] = new(hexutil.Bytes)
		b.add(out[i], "eth_call", call(c.set.token, fiattoken.NewFiatToken().PackBalanceOf(h)), "latest")
	}
	return out
}

// LaneStart is the lane's account nonce in the newest block. Pending
// transactions do not count: nodes disagree about them. Where nodes differ it
// is the lower one, as in LaneHeads; but one answer is enough to start with.
func (c *Chain) LaneStart(ctx context.Context, lane string) (uint64, error) {
	address, err := parseAddress(lane)
	if err != nil {
		return 0, fmt.Errorf("lane: %w", err)
	}
	votes := rpcpool.Ask(ctx, c.pool, c.pool.Quorum(), nil, func(ctx context.Context, n *rpcpool.Node) (nonce hexutil.Uint64, err error) {
		return nonce, ask(ctx, n, &nonce, "eth_getTransactionCount", address, "latest")
	})
	var failed []error
	lowest := hexutil.Uint64(math.MaxUint64)
	for _, v := range votes {
		if v.Err != nil {
			failed = append(failed, v.Err)
			continue
		}
		lowest = min(lowest, v.Said)
	}
	if len(failed) == len(votes) {
		return 0, fmt.Errorf("%w: nonce of lane %s: %w", chains.ErrUnknown, lane, errors.Join(failed...))
	}
	return uint64(lowest), nil
}

// call is the first argument of eth_call.
func call(to common.Address, data []byte) map[string]any {
	return map[string]any{"to": to, "data": hexutil.Bytes(data)}
}

package model

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/gagliardetto/solana-go"
	"pgregory.net/rapid"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	sol "github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/simchain"
	ethsim "github.com/settlehq/settle/internal/simchain/ethereum"
	solsim "github.com/settlehq/settle/internal/simchain/solana"
	"github.com/settlehq/settle/payment"
)

// funds of a treasury, base units of USDC.
const treasuryFunds = 500_000_000

// gas of a lane, wei and lamports.
const (
	laneWei      = 100_000_000_000_000_000
	laneLamports = 10_000_000_000
)

// network is one simulated chain with its nodes, as actions deal with it.
type network struct {
	name    payment.Chain
	price   payment.Amount // asset base units per native coin
	nodes   []*node
	open    func(context.Context) (chains.Chain, error)
	payee   func(intent int) string // an address that nobody else has
	foreign bool                    // somebody else has spent a lane's gas

	mine   func(blocks int) // with what is pooled
	empty  func(blocks int) // without
	settle func()           // all that is pooled is included, and final
	expire func()           // no authorization or blockhash of today is valid any more
	reorg  func(depth int, keep bool)
	drop   func()
	submit func(raw []byte) // past all nodes
	freeze func(payee string, frozen bool)
	paid   func() []transfer
}

// transfer is what a chain's own records say was paid out of the treasury.
type transfer struct {
	to     string
	amount uint64
	final  bool
}

// node is one node of a network, and how it goes wrong.
type node struct {
	setLag func(uint64)
	forget func()
	truth  simchain.Handler
	lies   map[string]simchain.Handler // of what must not decide alone
	sends  map[string]bool             // methods that hand over transactions

	fault   atomic.Pointer[fault]
	asked   atomic.Int64
	handled atomic.Int64 // transactions handed over
}

// fault is how a node goes wrong until it is healed.
type fault struct {
	name   string
	strike simchain.Fault
	every  int64            // only each so many requests; 0: all
	sends  bool             // only requests that hand over transactions
	lie    simchain.Handler // nil: the truth
}

// strike decides about one request.
func (n *node) strike(calls []simchain.Call) simchain.Fault {
	f, asked := n.fault.Load(), n.asked.Add(1)
	handing := slices.ContainsFunc(calls, func(c simchain.Call) bool { return n.sends[c.Method] })
	out := simchain.Fault{Lie: n.answer}
	if f == nil || f.every > 0 && asked%f.every != 0 || f.sends && !handing {
		return out
	}
	out.Status, out.HangUp, out.Late = f.strike.Status, f.strike.HangUp, f.strike.Late
	if handing && !out.Late && (out.Status != 0 || out.HangUp) {
		n.handled.Add(1)
	}
	return out
}

// answer counts the transactions that the node has dealt with.
func (n *node) answer(c simchain.Call) (any, error) {
	handle := n.truth
	if f := n.fault.Load(); f != nil && f.lie != nil {
		handle = f.lie
	}
	result, err := handle(c)
	if n.sends[c.Method] {
		n.handled.Add(1)
	}
	return result, err
}

func (n *node) heal() {
	n.fault.Store(nil)
	n.setLag(0)
}

// faults that nodes may have in any number: they tell no lies about what is
// final.
func (n *node) faults() []fault {
	return []fault{
		{name: "hangs up", strike: simchain.Fault{HangUp: true}},
		{name: "fails", strike: simchain.Fault{Status: 503}},
		{name: "limits", strike: simchain.Fault{Status: 429}, every: 2},
		{name: "loses answers", strike: simchain.Fault{HangUp: true, Late: true}, sends: true},
		{name: "is flaky", strike: simchain.Fault{HangUp: true, Late: true}, every: 3},
		{name: "swallows", lie: n.lies["swallows"]},
	}
}

// misbehave gives one node a drawn fault, or a lag, and heals the others.
func (nw *network) misbehave(t *rapid.T) {
	nw.heal()
	n := nw.nodes[rapid.IntRange(0, len(nw.nodes)-1).Draw(t, "node")]
	all := n.faults()
	if len(nw.nodes) > 2 {
		for _, name := range slices.Sorted(maps.Keys(n.lies)) {
			all = append(all, fault{name: name, lie: n.lies[name]})
		}
	}
	i := rapid.IntRange(0, len(all)).Draw(t, "fault")
	if i == len(all) {
		n.setLag(rapid.Uint64Range(1, 40).Draw(t, "lag"))
		return
	}
	n.fault.Store(&all[i])
}

func (nw *network) heal() {
	for _, n := range nw.nodes {
		n.heal()
	}
}

// start adds so many nodes and returns their URLs.
func (nw *network) start(count int, add func() (*simchain.Server, *node)) (urls []string) {
	for range count {
		server, n := add()
		n.truth = server.Truth
		server.Strike(n.strike)
		nw.nodes = append(nw.nodes, n)
		urls = append(urls, server.URL)
	}
	return urls
}

// ethereum is a chain of the world with its hooks for the actions that others
// do not have.
type ethereum struct {
	network
	chain *ethsim.Chain
	keys  *ethsim.Keys
	lanes []common.Address
	other common.Address // a stranger with gas

	drained map[common.Address]*big.Int // wei
}

// skews are how far the chains' clocks are from ours.
var skews = []time.Duration{0, -10 * time.Hour, 10 * time.Hour, -time.Minute}

func newEthereum(t *rapid.T, seq int64, closing *[]func()) *ethereum {
	seed := fmt.Sprint("run ", seq)
	e := &ethereum{keys: ethsim.NewKeys(seed), drained: map[common.Address]*big.Int{}}
	treasury := e.keys.Add("treasury")
	e.lanes = []common.Address{e.keys.Add("lane 0"), e.keys.Add("lane 1")}
	e.other = e.keys.Add("stranger")
	gas := ethsim.Account{Wei: big.NewInt(laneWei)}
	finality := rapid.Uint64Range(2, 4).Draw(t, "eth finality")
	e.chain = ethsim.New(ethsim.Genesis{
		Time: time.Now().Add(rapid.SampledFrom(skews).Draw(t, "eth clock")), Finality: finality,
		Accounts: map[common.Address]ethsim.Account{
			treasury: {USDC: big.NewInt(treasuryFunds)}, e.lanes[0]: gas, e.lanes[1]: gas, e.other: {Wei: big.NewInt(1e18)},
		},
	})
	e.chain.Mine(int(finality) + 1)
	e.name, e.price = payment.Chain(fmt.Sprint("eth-", seq)), payment.Units(3_000_000_000)
	urls := e.start(rapid.IntRange(1, 3).Draw(t, "eth nodes"), func() (*simchain.Server, *node) {
		n := e.chain.Node()
		*closing = append(*closing, n.Close)
		return n.Server, &node{setLag: n.SetLag, forget: n.Drop, sends: map[string]bool{"eth_sendRawTransaction": true},
			lies: map[string]simchain.Handler{"swallows": n.Swallows, "hides": n.Hides, "flips": n.Flips, "counts": n.Counts(1)}}
	})
	cfg := evm.Config{
		Name: e.name, ChainID: 1, RPCURLs: urls, Token: e.chain.Token().Hex(), Treasury: treasury.Hex(),
		Lanes: []string{e.lanes[0].Hex(), e.lanes[1].Hex()}, LaneInFlight: 2, MaxFeeGwei: 10,
		PollIntervalMS: 60_000, ResendAfterMS: 1, RPCRestMS: 1, FinalityETAMS: 30_000,
	}
	e.open = func(ctx context.Context) (chains.Chain, error) { return evm.Open(ctx, cfg, e.keys) }
	e.payee = func(i int) string { return e.keys.Add(fmt.Sprint("payee ", i)).Hex() }
	e.mine = e.chain.Mine
	e.empty = func(blocks int) { // replacing nothing makes an empty block
		for range blocks {
			e.chain.Reorg(0, false)
		}
	}
	e.settle = func() { e.chain.Mine(int(finality) + 1) }
	e.expire = func() {
		_, at := e.chain.Head()
		e.chain.SetTime(later(at, time.Now()).Add(2 * validity))
		e.chain.Reorg(0, false)
	}
	e.reorg = func(depth int, keep bool) {
		head, _ := e.chain.Head()
		final, _ := e.chain.Final()
		e.chain.Reorg(min(depth, int(head-final)), keep)
	}
	e.drop = e.chain.Drop
	e.submit = func(raw []byte) { _ = e.chain.Submit(raw) } // refused like everybody's
	e.freeze = func(payee string, frozen bool) { e.chain.Blacklist(common.HexToAddress(payee), frozen) }
	e.paid = func() (out []transfer) {
		for _, x := range e.chain.Transfers() {
			units, _ := x.Amount.Uint64()
			out = append(out, transfer{x.To.Hex(), units, x.Final})
		}
		return out
	}
	return e
}

// steal has a stranger submit the call of one of our transactions as his own,
// with gas of his.
func (e *ethereum) steal(raw []byte) {
	var ours types.Transaction
	if ours.UnmarshalBinary(raw) != nil || ours.To() == nil {
		return
	}
	tip := big.NewInt(2_000_000_000)
	unsigned := types.NewTx(&types.DynamicFeeTx{
		ChainID: ours.ChainId(), Nonce: e.chain.Account(e.other).Nonce, GasTipCap: tip, GasFeeCap: big.NewInt(100_000_000_000),
		Gas: ours.Gas(), To: ours.To(), Data: ours.Data(),
	})
	signer := types.LatestSignerForChainID(ours.ChainId())
	sig, err := e.keys.Sign(context.Background(), e.other.Hex(), signer.Hash(unsigned).Bytes())
	if err != nil {
		panic(err)
	}
	tx, err := unsigned.WithSignature(signer, sig)
	if err != nil {
		panic(err)
	}
	theirs, err := tx.MarshalBinary()
	if err != nil {
		panic(err)
	}
	e.submit(theirs)
}

// drain takes all wei from a lane, with the next block.
func (e *ethereum) drain(lane int) {
	e.refill()
	have := e.chain.Account(e.lanes[lane]).Wei
	e.chain.Fund(e.lanes[lane], new(big.Int).Neg(have), new(big.Int))
	e.drained[e.lanes[lane]] = have
	e.empty(1)
}

// refill gives back what was drained: the books know nothing of either.
func (e *ethereum) refill() {
	for lane, wei := range e.drained {
		e.chain.Fund(lane, wei, new(big.Int))
	}
	clear(e.drained)
	e.empty(1)
}

func newSolana(t *rapid.T, seq int64, closing *[]func()) *network {
	seed := fmt.Sprint("run ", seq)
	nw, ring := &network{}, solsim.NewKeys(seed)
	treasury, lane := ring.Add("treasury"), ring.Add("lane")
	chain := solsim.New(solsim.Genesis{
		Time: time.Now().Add(rapid.SampledFrom(skews).Draw(t, "sol clock")),
		Accounts: map[solana.PublicKey]solsim.Account{
			treasury: {Lamports: 1_000_000_000, Tokens: treasuryFunds}, lane: {Lamports: laneLamports},
		},
	})
	nw.name, nw.price = payment.Chain(fmt.Sprint("sol-", seq)), payment.Units(150_000_000)
	urls := nw.start(rapid.IntRange(1, 3).Draw(t, "sol nodes"), func() (*simchain.Server, *node) {
		n := chain.Node()
		*closing = append(*closing, n.Close)
		return n.Server, &node{setLag: n.SetLag, forget: func() {}, sends: map[string]bool{"sendTransaction": true},
			lies: map[string]simchain.Handler{"swallows": n.Swallows, "hides": n.Hides, "invents": n.Invents,
				"lacks history": n.LacksHistory, "is unhealthy": n.IsUnhealthy}}
	})
	cfg := sol.Config{
		Name: nw.name, GenesisHash: chain.GenesisHash(), RPCURLs: urls, Mint: chain.Mint(), Decimals: payment.USDC.Decimals,
		Treasury: treasury.String(), Lanes: []string{lane.String()}, PollIntervalMS: 60_000, ResendAfterMS: 100, RPCRestMS: 1,
		Exclusive: rapid.SampledFrom([]string{sol.ExclusiveBlockhash, sol.ExclusiveGuard}).Draw(t, "sol exclusive"),
	}
	nw.open = func(ctx context.Context) (chains.Chain, error) { return sol.Open(ctx, cfg, ring) }
	nw.payee = func(i int) string { return ring.Add(fmt.Sprint("payee ", i)).String() }
	nw.mine, nw.empty = chain.Advance, chain.AdvanceEmpty
	nw.settle = func() { chain.Advance(34) }
	nw.expire = func() { chain.AdvanceEmpty(200) }
	nw.reorg = func(depth int, keep bool) {
		chain.Reorg(depth, keep)
		chain.AdvanceEmpty(1)
	}
	nw.drop = chain.Drop
	nw.submit = func(raw []byte) { _ = chain.Submit(raw) }
	nw.freeze = func(payee string, frozen bool) { chain.Freeze(solana.MustPublicKeyFromBase58(payee), frozen) }
	nw.paid = func() (out []transfer) {
		for _, x := range chain.Transfers() {
			units, _ := x.Amount.Uint64()
			out = append(out, transfer{x.To.String(), units, x.Final})
		}
		return out
	}
	return nw
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

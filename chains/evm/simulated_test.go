package evm_test

import (
	"context"
	"fmt"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/simchain"
	"github.com/settlehq/settle/internal/simchain/ethereum"
	"github.com/settlehq/settle/payment"
)

// TestConformanceSimulated holds the simulated node against the same suite as
// the real one: what passes there may be tested on it.
func TestConformanceSimulated(t *testing.T) {
	for _, method := range []string{evm.MethodEIP3009, evm.MethodTransfer} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			chaintest.Run(t, simulated(t, method))
		})
	}
}

// TestOneSimulatedNodeGoesWrong runs the fault cases on the simulated node.
func TestOneSimulatedNodeGoesWrong(t *testing.T) {
	t.Parallel()
	chaintest.RunFaults(t, simulated(t, evm.MethodEIP3009))
}

func simulated(t *testing.T, method string) chaintest.Harness {
	t.Helper()
	chain := ethereum.New(ethereum.Genesis{Time: time.Now(), Step: time.Second})
	node := chain.Node()
	t.Cleanup(node.Close)
	keys := ethereum.NewKeys(t.Name())
	var made atomic.Int64
	key := func(*testing.T) common.Address { return keys.Add(fmt.Sprint(made.Add(1))) }
	var paused sync.Map // by test
	h := chaintest.Harness{
		RPCURL: node.URL,
		NewWallets: func(t *testing.T, lanes int) chaintest.Wallets {
			ether, usdc := big.NewInt(1e18), big.NewInt(chaintest.MinFunding)
			treasury := key(t)
			w := chaintest.Wallets{Treasury: treasury.Hex(), Signer: keys}
			for range lanes {
				lane := key(t)
				w.Lanes = append(w.Lanes, lane.Hex())
				chain.Fund(lane, ether, new(big.Int))
				if method == evm.MethodTransfer {
					chain.Fund(lane, new(big.Int), usdc)
				}
			}
			if method == evm.MethodTransfer {
				w.Treasury = w.Lanes[0]
			}
			chain.Fund(treasury, new(big.Int), usdc)
			chain.Mine(1)
			return w
		},
		Open: func(ctx context.Context, o chaintest.Opening) (chains.Chain, error) {
			cfg := evm.Config{
				Name: "ethereum", ChainID: 1, RPCURLs: o.RPCURLs, Token: chain.Token().Hex(), Treasury: o.Wallets.Treasury, Lanes: o.Wallets.Lanes,
				Method: method, PollIntervalMS: 100, FinalityETAMS: 3000,
			}
			if o.WrongNetwork {
				cfg.ChainID++
			}
			cfg.PaidEarlier = paidBelow(o.PaidBelow)
			return open(ctx, cfg, o.Wallets.Signer)
		},
		NewPayee: func(t *testing.T) string { return key(t).Hex() },
		TokenBalance: func(t *testing.T, address string) payment.Amount {
			return units(t, chain.Account(common.HexToAddress(address)).USDC)
		},
		Advance: func(t *testing.T) {
			if _, is := paused.Load(t); !is {
				chain.Mine(1)
			}
		},
		DropPending: func(*testing.T) { chain.Drop() },
		Pause: func(t *testing.T, is bool) {
			if is {
				paused.Store(t, true)
			} else {
				paused.Delete(t)
			}
		},
		Reorg:        func(_ *testing.T, depth int) { chain.Reorg(depth, false) },
		CanReuse:     method == evm.MethodEIP3009,
		Lies:         lies(chain.Token().Hex()),
		Destinations: destinations,
	}
	if method == evm.MethodEIP3009 {
		h.Expire = func(_ *testing.T, s chains.Slot) {
			chain.SetTime(*s.ExpiresAt)
			chain.Mine(3)
		}
	}
	return h
}

func units(t *testing.T, n *big.Int) payment.Amount {
	t.Helper()
	a, err := payment.ParseUnits(n.String())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestOneNodeCannotMakeALaneLookForeign: a node that has seen more transactions
// of a lane than there are convinces nobody, whichever of three it is. Whoever
// believed it would freeze the lane.
func TestOneNodeCannotMakeALaneLookForeign(t *testing.T) {
	t.Parallel()
	chain := ethereum.New(ethereum.Genesis{Time: time.Now(), Step: time.Second})
	keys := ethereum.NewKeys(t.Name())
	treasury, lane := keys.Add("treasury").Hex(), keys.Add("lane").Hex()
	nodes := make([]*ethereum.Node, 3)
	cfg := evm.Config{Name: "ethereum", ChainID: 1, Token: chain.Token().Hex(), Treasury: treasury, Lanes: []string{lane}}
	for i := range nodes {
		nodes[i] = chain.Node()
		t.Cleanup(nodes[i].Close)
		cfg.RPCURLs = append(cfg.RPCURLs, nodes[i].URL)
	}
	c, err := evm.Open(t.Context(), cfg, keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, liar := range nodes {
		liar.Strike(simchain.Always(simchain.Fault{Lie: liar.Counts(1)}))
		if start, err := c.LaneStart(t.Context(), lane); err != nil || start != 0 {
			t.Errorf("lane starts at %d (%v), want 0", start, err)
		}
		if heads, err := c.LaneHeads(t.Context(), []string{lane}); err != nil || heads[0].Latest != 0 || heads[0].Final != 0 {
			t.Errorf("lane is at %+v (%v), want 0", heads, err)
		}
		liar.Strike(nil)
	}
}

package solana_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	simulated "github.com/settlehq/settle/internal/simchain/solana"
	"github.com/settlehq/settle/payment"
)

// simulatedNetwork is how clients are pointed at a simulated chain.
func simulatedNetwork(t testing.TB, c *simulated.Chain) sandbox.Solana {
	t.Helper()
	node := c.Node()
	t.Cleanup(node.Close)
	return sandbox.Solana{HTTPURL: node.URL, GenesisHash: c.GenesisHash(), USDCMint: c.Mint()}
}

// simulatedWallets are funded accounts that no other test uses.
func simulatedWallets(c *simulated.Chain, lanes int) chaintest.Wallets {
	keys := simulated.NewKeys(rand.Text())
	treasury := keys.Add("treasury")
	c.Fund(treasury, sol.LAMPORTS_PER_SOL, chaintest.MinFunding)
	w := chaintest.Wallets{Treasury: treasury.String(), Signer: keys}
	for i := range lanes {
		lane := keys.Add(fmt.Sprint("lane ", i))
		c.Fund(lane, 100*sol.LAMPORTS_PER_SOL, 0)
		w.Lanes = append(w.Lanes, lane.String())
	}
	return w
}

// simulatedHarness works a simulated chain for the suites that the real virtual
// machine passes.
func simulatedHarness(t *testing.T, c *simulated.Chain) chaintest.Harness {
	h := harness(simulatedNetwork(t, c))
	h.NewWallets = func(_ *testing.T, lanes int) chaintest.Wallets { return simulatedWallets(c, lanes) }
	h.TokenBalance = func(_ *testing.T, address string) payment.Amount {
		return payment.Units(c.Account(sol.MustPublicKeyFromBase58(address)).Tokens)
	}
	h.Advance = func(*testing.T) { c.Advance(4) }
	h.Expire = func(*testing.T, chains.Slot) { c.Advance(expired) }
	h.DropPending = func(*testing.T) { c.Drop() }
	h.Pause = func(*testing.T, bool) {} // it makes blocks when told to, and only then
	h.Reorg = func(_ *testing.T, depth int) {
		c.Reorg(depth+1, false) // and the block above the confirmed one
		c.Advance(depth + 2)
	}
	return h
}

func TestSimulatedChainConforms(t *testing.T) {
	c := simulated.New(simulated.Genesis{})
	owner := sol.MustPublicKeyFromBase58(newPayee(t))
	c.Fund(owner, 0, 1)
	h := simulatedHarness(t, c)
	h.Destinations = destinations(t, owner, sol.MustPublicKeyFromBase58(c.Mint()))
	chaintest.Run(t, h)
}

func TestOneSimulatedNodeGoesWrong(t *testing.T) {
	t.Parallel()
	c := simulated.New(simulated.Genesis{})
	h := simulatedHarness(t, c)
	h.Advance = nil // parallel cases share the chain: it has a clock
	clock := time.NewTicker(25 * time.Millisecond)
	done := make(chan struct{})
	t.Cleanup(func() { clock.Stop(); close(done) })
	go func() {
		for {
			select {
			case <-clock.C:
				c.Advance(1)
			case <-done:
				return
			}
		}
	}()
	chaintest.RunFaults(t, h)
}

// BenchmarkPayment is one payment on a simulated chain, alone: refreshed,
// signed, sent, included, finalized and seen as paid.
func BenchmarkPayment(b *testing.B) {
	net := simulated.New(simulated.Genesis{})
	w := simulatedWallets(net, 1)
	s := simulatedNetwork(b, net)
	c, err := solana.Open(b.Context(), config(s, s.HTTPURL, w.Treasury, w.Lanes), w.Signer)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := c.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
		to := newPayee(b)
		o := chains.Order{IntentID: "pi_" + to, Seq: 1, To: to, Amount: payment.Units(1), Lane: chains.Lane{Address: w.Lanes[0]}}
		signed, err := c.Sign(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		if v := c.Send(b.Context(), stored(signed)); v.Acceptance != chains.Accepted {
			b.Fatalf("send: %+v", v)
		}
		net.Advance(33)
		p := chains.Watched{IntentID: o.IntentID, SlotID: o.IntentID, Slot: signed.Slot, To: o.To, Amount: o.Amount, Txs: []chains.StoredTx{stored(signed)}}
		if got, err := c.Scan(b.Context(), []chains.Watched{p}); err != nil || got[0].Kind != chains.Paid {
			b.Fatalf("%+v (%v)", got, err)
		}
	}
}

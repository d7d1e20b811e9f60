package solana_test

import (
	"encoding/json"
	"testing"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// measured is the limit of a payment to the cheapest of new payees.
func (b *bundle) measured() uint64 {
	b.Helper()
	if err := b.chain.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	c, _ := b.chain.Conditions()
	return uint64(c.Detail["compute_unit_limit"].(uint32))
}

// A payment may use what a simulated one took and a tenth, however many tries
// the payee's token account takes.
func TestUnitsAreMeasured(t *testing.T) {
	for _, exclusive := range []string{solana.ExclusiveBlockhash, solana.ExclusiveGuard} {
		t.Run(exclusive, func(t *testing.T) {
			b := setup(t, func(c *solana.Config, _ sandbox.Solana) { c.Exclusive = exclusive })
			limit := b.measured()
			if limit > 100_000 {
				t.Errorf("limit %d, nothing was measured", limit)
			}
			bumps := map[uint8]bool{}
			for len(bumps) < 5 {
				payee := newPayee(t)
				_, bump, err := sol.FindAssociatedTokenAddress(sol.MustPublicKeyFromBase58(payee), sol.MustPublicKeyFromBase58(b.net.USDCMint))
				if err != nil {
					t.Fatal(err)
				}
				if bumps[bump] {
					continue
				}
				bumps[bump] = true
				w, s := b.signTo(payee, 1_000_000)
				if want := limit + 1500*uint64(255-bump); s.Tx.GasLimit != want {
					t.Errorf("bump %d: limit %d, want %d", bump, s.Tx.GasLimit, want)
				}
				b.send(s)
				b.finalize()
				b.wantKind(w, chains.Paid)
			}
		})
	}
}

// Without an answer of two nodes, or if the sample fails, the configured limit
// holds.
func TestUnitsNeedTwoNodes(t *testing.T) {
	low := &liar{rewrite: func(method string, result json.RawMessage) any {
		if method == "simulateTransaction" {
			return map[string]any{"context": map[string]any{"slot": 1}, "value": map[string]any{"err": nil, "unitsConsumed": 10}}
		}
		return result
	}}
	low.on.Store(true)
	b := setup(t, func(c *solana.Config, s sandbox.Solana) { c.RPCURLs = []string{low.serve(t, s.HTTPURL), s.HTTPURL} })
	if limit := b.measured(); limit < 10_000 {
		t.Errorf("one node brought the limit down to %d", limit)
	}
	w, s := b.sign(1_000_000)
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Paid)
}

func TestLongMemoKeepsTheConfiguredLimit(t *testing.T) {
	b := setup(t, nil)
	b.measured()
	o := chains.Order{IntentID: "pi_" + newPayee(t) + newPayee(t), Seq: 1, To: newPayee(t), Amount: payment.Units(1), Lane: chains.Lane{Address: b.wallets.Lanes[0]}, Now: time.Now()}
	s, err := b.chain.Sign(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Tx.GasLimit != 120_000 {
		t.Errorf("limit %d", s.Tx.GasLimit)
	}
}

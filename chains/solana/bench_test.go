package solana_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// benchmarked is a chain with so many configured nodes, and 200 payments: half
// of them paid, half never sent.
func benchmarked(b *testing.B, nodes int) (c *solana.Chain, watched []chains.Watched) {
	b.Helper()
	s := sandbox.StartSolana(b, time.Second)
	w := s.NewWallets(b, 4)
	cfg := config(s, s.HTTPURL, w.Treasury, w.Lanes)
	for len(cfg.RPCURLs) < nodes {
		cfg.RPCURLs = append(cfg.RPCURLs, s.HTTPURL+"/?again")
	}
	c, err := solana.Open(b.Context(), cfg, w)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		o := chains.Order{IntentID: fmt.Sprintf("pi_%032d", i), Seq: 1, To: newPayee(b), Amount: payment.Units(1), Lane: chains.Lane{Address: w.Lanes[i%4]}}
		signed, err := c.Sign(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		if i%2 == 0 {
			if v := c.Send(b.Context(), stored(signed)); v.Acceptance != chains.Accepted {
				b.Fatalf("send: %+v", v)
			}
		}
		watched = append(watched, chains.Watched{IntentID: o.IntentID, SlotID: o.IntentID, Slot: signed.Slot, To: o.To, Amount: o.Amount, Txs: []chains.StoredTx{stored(signed)}})
	}
	s.AdvanceSlots(b, 34)
	return c, watched
}

// BenchmarkScan looks at 200 payments, half of them paid.
func BenchmarkScan(b *testing.B) {
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c, watched := benchmarked(b, nodes)
			for b.Loop() {
				got, err := c.Scan(b.Context(), watched)
				if err != nil {
					b.Fatal(err)
				}
				if got[0].Kind != chains.Paid || got[1].Kind != chains.Unseen {
					b.Fatalf("seen as %+v and %+v", got[0], got[1])
				}
			}
		})
	}
}

// BenchmarkSend hands over bytes that the node has already.
func BenchmarkSend(b *testing.B) {
	for _, nodes := range []int{1, 2} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			c, watched := benchmarked(b, nodes)
			for b.Loop() {
				c.Send(b.Context(), watched[0].Txs[0])
			}
		})
	}
}

// BenchmarkRefresh reads the network's conditions.
func BenchmarkRefresh(b *testing.B) {
	c, _ := benchmarked(b, 1)
	for b.Loop() {
		if err := c.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

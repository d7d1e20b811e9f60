package evm_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// benchmarked is a chain with so many configured nodes, and 200 payments: half
// of them paid, half never sent.
func benchmarked(b *testing.B, nodes int) (c *evm.Chain, watched []chains.Watched) {
	b.Helper()
	node := sandbox.StartEthereum(b, -1)
	w := node.NewWallets(b, 10)
	cfg := config(node, node.HTTPURL, chaintest.Wallets{Treasury: w.Treasury, Lanes: w.Lanes}, evm.MethodEIP3009)
	for len(cfg.RPCURLs) < nodes {
		cfg.RPCURLs = append(cfg.RPCURLs, node.HTTPURL+"/?again")
	}
	c, err := evm.Open(b.Context(), cfg, w)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	var payees sandbox.EthereumKeys
	for i := range 200 {
		o := chains.Order{IntentID: fmt.Sprintf("pi_%032d", i), Seq: 1, To: payees.New(b), Amount: payment.Units(1),
			Lane: chains.Lane{Address: w.Lanes[i/2%10], Nonce: uint64(i / 20)}, ValidFor: time.Hour, Now: time.Now()}
		s, err := c.Sign(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}
		if i%2 == 0 {
			if v := c.Send(b.Context(), chains.StoredTx{Hash: s.Tx.Hash, Raw: s.Tx.Raw}); v.Acceptance != chains.Accepted {
				b.Fatalf("send: %+v", v)
			}
		}
		watched = append(watched, watch(o, s))
	}
	node.Mine(b, 5)
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

package ethereum_test

import (
	"fmt"
	"testing"

	"github.com/settlehq/settle/chains"
)

// BenchmarkPayment is one payment from its order to its finality: signed, sent,
// mined and seen as paid by two nodes.
func BenchmarkPayment(b *testing.B) {
	for _, nodes := range []int{1, 2, 3} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			s := setup(b, nodes, nil)
			for i := 0; b.Loop(); i++ {
				s.refresh()
				o := s.order(uint64(i))
				signed := s.sign(o)
				s.send(signed)
				s.chain.Mine(3)
				if got := s.scan(o, signed); got.Kind != chains.Paid {
					b.Fatalf("seen as %s (%s)", got.Kind, got.Reason)
				}
			}
		})
	}
}

// BenchmarkOpen is what every new case of a property test begins with: a chain
// with a node, and Settle's view of it.
func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s := setup(b, 1, nil)
		s.nodes[0].Close()
	}
}

// BenchmarkMine is an empty block.
func BenchmarkMine(b *testing.B) {
	s := setup(b, 1, nil)
	for b.Loop() {
		s.chain.Mine(1)
	}
}

// BenchmarkRefresh reads the network's conditions.
func BenchmarkRefresh(b *testing.B) {
	s := setup(b, 1, nil)
	for b.Loop() {
		s.refresh()
	}
}

package routing_test

import (
	"slices"
	"testing"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func network(chain payment.Chain, feeUSDC uint64, eta int64) routing.Network {
	return routing.Network{
		Chain: chain, NativeDecimals: 0, NativePrice: payment.Units(1), FeePerPayment: payment.Units(feeUSDC),
		Liquidity: payment.Units(1_000_000_000), ETASeconds: eta, ObservedAt: now, HeadTime: now,
	}
}

func request(p payment.Priority) routing.Request {
	return routing.Request{Amount: payment.Units(5_000_000), Asset: "USDC", Priority: p, Destinations: []payment.Destination{
		{Chain: "ethereum", Address: "0xE"}, {Chain: "solana", Address: "S"}}}
}

func TestScore(t *testing.T) {
	t.Parallel()
	cheapSlow, dearFast := network("ethereum", 10, 900), network("solana", 400, 13)
	bound := payment.Units(100)
	tests := []struct {
		name         string
		change       func(*routing.Request, map[payment.Chain]routing.Network)
		priority     payment.Priority
		chosen       payment.Chain // "" for none
		disqualified routing.Disqualifier
	}{
		{name: "cheap prefers the low fee", priority: payment.Cheap, chosen: "ethereum"},
		{name: "fast prefers the short wait", priority: payment.Fast, chosen: "solana"},
		{name: "reliable, all else equal, prefers the short wait", priority: payment.Reliable, chosen: "solana"},
		{name: "reliable prefers the healthy chain", priority: payment.Reliable, chosen: "ethereum", change: func(_ *routing.Request, n map[payment.Chain]routing.Network) {
			e := n["solana"]
			e.ObservedAt = now.Add(-20 * time.Second)
			n["solana"] = e
		}},
		{name: "reliable prefers nodes that answer", priority: payment.Reliable, chosen: "ethereum", change: func(_ *routing.Request, n map[payment.Chain]routing.Network) {
			e := n["solana"]
			e.ErrorRate = 7_000
			n["solana"] = e
		}},
		{name: "reliable prefers a chain that makes blocks", priority: payment.Reliable, chosen: "ethereum", change: func(_ *routing.Request, n map[payment.Chain]routing.Network) {
			e := n["solana"]
			e.HeadTime = now.Add(-10 * time.Second)
			n["solana"] = e
		}},
		{name: "a chain that nobody watches is out", priority: payment.Cheap, chosen: "solana", disqualified: routing.NotObserved,
			change: func(_ *routing.Request, n map[payment.Chain]routing.Network) { delete(n, "ethereum") }},
		{name: "an old observation is out", priority: payment.Cheap, chosen: "solana", disqualified: routing.NotObserved, change: func(_ *routing.Request, n map[payment.Chain]routing.Network) {
			e := n["ethereum"]
			e.ObservedAt = now.Add(-routing.MaxAge - time.Second)
			n["ethereum"] = e
		}},
		{name: "an empty treasury is out", priority: payment.Cheap, chosen: "solana", disqualified: routing.InsufficientLiquidity, change: func(_ *routing.Request, n map[payment.Chain]routing.Network) {
			e := n["ethereum"]
			e.Liquidity = payment.Units(4_999_999)
			n["ethereum"] = e
		}},
		{name: "the fee bound holds", priority: payment.Fast, chosen: "ethereum", disqualified: routing.FeeAboveMax,
			change: func(r *routing.Request, _ map[payment.Chain]routing.Network) { r.MaxFee = &bound }},
		{name: "a chain where an attempt died is avoided", priority: payment.Cheap, chosen: "solana", disqualified: routing.FailedBefore,
			change: func(r *routing.Request, _ map[payment.Chain]routing.Network) { r.Avoid = []payment.Chain{"ethereum"} }},
		{name: "and taken if there is no other", priority: payment.Cheap, chosen: "ethereum", disqualified: routing.NotObserved,
			change: func(r *routing.Request, n map[payment.Chain]routing.Network) {
				r.Avoid = []payment.Chain{"ethereum"}
				delete(n, "solana")
			}},
		{name: "nothing qualifies", priority: payment.Fast, chosen: "", disqualified: routing.NotObserved,
			change: func(_ *routing.Request, n map[payment.Chain]routing.Network) { clear(n) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, networks := request(tt.priority), map[payment.Chain]routing.Network{"ethereum": cheapSlow, "solana": dearFast}
			if tt.change != nil {
				tt.change(&req, networks)
			}
			d := routing.Score(req, networks, now)
			got, ok := d.Chosen()
			if ok != (tt.chosen != "") || got.Chain != tt.chosen {
				t.Fatalf("chosen %q (%v), want %q; %+v", got.Chain, ok, tt.chosen, d.Candidates)
			}
			if tt.disqualified != "" && !slices.ContainsFunc(d.Candidates, func(c routing.Candidate) bool { return slices.Contains(c.Disqualified, tt.disqualified) }) {
				t.Fatalf("no candidate is %s: %+v", tt.disqualified, d.Candidates)
			}
		})
	}
}

func TestFeeIsRoundedUp(t *testing.T) {
	t.Parallel()
	n := routing.Network{NativeDecimals: 18, NativePrice: payment.Units(3_000_000_000), FeePerPayment: payment.Units(1)}
	if got := n.Fee(); got.Cmp(payment.Units(1)) != 0 {
		t.Fatalf("fee of 1 wei = %s base units, want 1", got)
	}
	n.FeePerPayment = payment.Units(1_000_000_000_000_000) // 0.001 ETH at $3000
	if got := n.Fee(); got.Cmp(payment.Units(3_000_000)) != 0 {
		t.Fatalf("fee = %s base units, want 3000000", got)
	}
}

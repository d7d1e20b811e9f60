package e2e_test

import (
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/faultproxy"
	"github.com/settlehq/settle/payment"
)

// TestTroublesWithNodes pays over three nodes of each chain while the way to them
// fails, or one of them lies.
func TestTroublesWithNodes(t *testing.T) {
	t.Parallel()
	n := &behindNodes{troubledOn(t, deployment.Options{Proxies: 3}, nil)}
	for _, kind := range []faultproxy.Kind{faultproxy.LostResponse, faultproxy.LostHangUp, faultproxy.Swallowed} {
		t.Run("LostResponse/"+string(kind), func(t *testing.T) { n.lost(t, kind) })
	}
	for liar, lie := range []faultproxy.Kind{faultproxy.Forgetful, faultproxy.FalseFailure} {
		t.Run("LyingNode/"+string(lie), func(t *testing.T) { n.lied(t, liar, lie) })
	}
	t.Run("LyingNode/while another is gone", n.outnumbered)
}

type behindNodes struct{ *troubled }

func (n *behindNodes) chains() map[string][]*faultproxy.Proxy {
	return map[string][]*faultproxy.Proxy{"Ethereum": n.EthereumProxies, "Solana": n.SolanaProxies}
}

// both orders a payment on each chain.
func (n *behindNodes) both(t *testing.T) (ids []string) {
	t.Helper()
	return []string{n.order(t, "ethereum", payeeOn(t, "ethereum")), n.order(t, "solana", payeeOn(t, "solana"))}
}

// Every node takes the bytes, and no answer comes back; or the answer comes, and
// the bytes went nowhere. Either way what was signed is sent again, and nothing
// else is signed.
func (n *behindNodes) lost(t *testing.T, kind faultproxy.Kind) {
	before := map[*faultproxy.Proxy]int{}
	for _, proxies := range n.chains() {
		for _, p := range proxies {
			before[p] = p.Struck()[kind]
			p.Add(faultproxy.Fault{Kind: kind, Method: faultproxy.EthereumSend, Times: 1})
			p.Add(faultproxy.Fault{Kind: kind, Method: faultproxy.SolanaSend, Times: 1})
		}
	}
	ids := n.both(t)
	n.overcome(t)
	for _, id := range ids {
		n.signedOnce(t, id)
	}
	for chain, proxies := range n.chains() {
		for i, p := range proxies {
			if p.Struck()[kind] != before[p]+1 {
				t.Errorf("node %d of %s did not lose the first sending", i+1, chain)
			}
			p.Clear()
		}
	}
}

// One of three nodes lies about every transaction. It is the quickest, so it is
// asked first; the other two overrule it.
func (n *behindNodes) lied(t *testing.T, liar int, lie faultproxy.Kind) {
	for _, proxies := range n.chains() {
		for i, p := range proxies {
			p.Add(faultproxy.Fault{Kind: faultproxy.Slow, Delay: 40 * time.Millisecond})
			if i == liar {
				p.Clear()
				p.Add(faultproxy.Fault{Kind: lie})
			}
		}
	}
	ids := n.both(t)
	n.overcome(t)
	for _, id := range ids {
		n.signedOnce(t, id)
	}
	for chain, proxies := range n.chains() {
		if proxies[liar].Struck()[lie] == 0 {
			t.Errorf("nobody asked the node of %s that lies", chain)
		}
		for _, p := range proxies {
			p.Clear()
		}
	}
}

// Of three nodes one is gone and one says that every transaction has failed. One
// node's word is not enough, so the payments wait, and nothing else is signed.
func (n *behindNodes) outnumbered(t *testing.T) {
	const honest, liar, gone = 0, 1, 2
	for _, proxies := range n.chains() {
		proxies[honest].Add(faultproxy.Fault{Kind: faultproxy.Slow, Delay: 40 * time.Millisecond})
		proxies[liar].Add(faultproxy.Fault{Kind: faultproxy.FalseFailure})
		proxies[gone].Add(faultproxy.Fault{Kind: faultproxy.BadGateway})
	}
	ids := n.both(t)
	n.Await(t, within, ids, payment.Submitted, payment.Confirming)
	for chain, proxies := range n.chains() {
		lies := func() int { return proxies[liar].Struck()[faultproxy.FalseFailure] }
		since := lies()
		eventually(t, func() bool { return lies() > since+20 }, "nobody asks the node of %s that lies", chain)
	}
	for _, r := range n.Await(t, within, ids, payment.Submitted, payment.Confirming, payment.ManualReview, payment.Settled) {
		if r.Status != payment.Submitted && r.Status != payment.Confirming {
			t.Errorf("%s is %s by the word of one node", r.ID, r.Status)
		}
	}
	for _, proxies := range n.chains() {
		for _, p := range proxies {
			p.Clear()
		}
	}
	n.overcome(t)
	for _, id := range ids {
		n.signedOnce(t, id)
	}
}

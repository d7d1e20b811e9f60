package chaintest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
)

// Lies are a family's ways for a node to say what is not so, about a payment
// (Rewrite) that is its treasury's.
type Lies struct {
	Hides     func(chains.Watched) Rewrite // has never heard of the payment
	Invents   func(chains.Watched) Rewrite // shows it as paid and final
	Kills     func(chains.Watched) Rewrite // shows it as expired and unused
	Lags      func(chains.Watched) Rewrite // is at the chain's beginning
	Network   func(chains.Watched) Rewrite // is of another network
	Finalized func(chains.Watched) Rewrite // shows another block for each past one
}

// fault is one way in which a node goes wrong.
type fault struct {
	name    string
	begin   func(f *faulty, paid, ghost chains.Watched)
	endless bool // the node does not come back
	honest  bool // what it says of the paid payment is so
}

func faults(l Lies) []fault {
	about := func(lie func(chains.Watched) Rewrite, ghost bool) func(*faulty, chains.Watched, chains.Watched) {
		return func(f *faulty, paid, unpaid chains.Watched) {
			if ghost {
				paid = unpaid
			}
			f.lie(lie(paid))
		}
	}
	return []fault{
		{name: "Hangs", begin: func(f *faulty, _, _ chains.Watched) { f.hang() }},
		{name: "Answers429", begin: func(f *faulty, _, _ chains.Watched) { f.refuse(429) }},
		{name: "Dies", begin: func(f *faulty, _, _ chains.Watched) { f.close() }, endless: true},
		{name: "HidesThePayment", begin: about(l.Hides, false)},
		{name: "InventsAPayment", begin: about(l.Invents, true), honest: true},
		{name: "DeclaresThePaymentDead", begin: about(l.Kills, false)},
		{name: "Lags", begin: about(l.Lags, false)},
		{name: "IsOfAnotherNetwork", begin: about(l.Network, false)},
	}
}

// RunFaults runs the cases in which one node of several goes wrong. What holds
// for all of them: no payment that was never sent is called paid, or dead before
// it is; none that was paid is called anything but paid in the end; and
//   - with one honest node and one that goes wrong, payments wait;
//   - with two honest nodes of three, they finish.
//
// The nodes are proxies in front of the real one.
func RunFaults(t *testing.T, h Harness) {
	t.Helper()
	for _, f := range faults(h.Lies) {
		t.Run(f.name, func(t *testing.T) {
			t.Run("OneOfTwo", func(t *testing.T) { t.Parallel(); oneOfTwo(t, h, f) })
			t.Run("OneOfThree", func(t *testing.T) { t.Parallel(); oneOfThree(t, h, f) })
		})
	}
	t.Run("FinalizedBlockReplaced", func(t *testing.T) { t.Parallel(); finalityFails(t, h) })
	t.Run("FinalizedBlockReplacedOnOneNodeOnly", func(t *testing.T) { t.Parallel(); finalityDoubted(t, h) })
}

// several opens a chain on proxies, the first of which will go wrong, and signs
// a payment that is going to be sent and one that never is.
func several(t *testing.T, h Harness, nodes int) (b *bench, all []*faulty, paid, ghost chains.Watched, s chains.Signed) {
	t.Helper()
	b = &bench{T: t, h: h, nonces: map[string]uint64{}, wallets: h.NewWallets(t, 2)}
	var urls []string
	for range nodes {
		f := newFaulty(t, h.RPCURL)
		all = append(all, f)
		urls = append(urls, f.url())
	}
	c, err := h.Open(t.Context(), Opening{Wallets: b.wallets, RPCURLs: urls})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	b.chain = c
	b.refresh()
	o, never := b.order(0, 1_500_000), b.order(1, 1_500_001)
	s = b.sign(o)
	b.ghost = watched(never, b.sign(never))
	return b, all, watched(o, s), b.ghost, s
}

// look scans and refreshes once, as the watcher does. That nothing is learned
// is no failure here.
func (b *bench) look(w ...chains.Watched) []chains.Sighting {
	b.Helper()
	_ = b.chain.Refresh(b.Context())
	start := time.Now()
	got, err := b.chain.Scan(b.Context(), w)
	if took := time.Since(start); took > bound {
		b.Errorf("a scan took %s", took)
	}
	if err != nil {
		if !errors.Is(err, chains.ErrUnknown) {
			b.Fatalf("scan: %v", err)
		}
		return make([]chains.Sighting, len(w))
	}
	return got
}

func (b *bench) neverWrong(paid, ghost chains.Sighting) {
	b.Helper()
	if paid.Kind == chains.Dead || paid.Kind == chains.Reverted {
		b.Fatalf("a payment that was made is seen as %+v", paid)
	}
	switch ghost.Kind {
	case chains.Paid, chains.Reverted:
		b.Fatalf("a payment that was never sent is seen as %+v", ghost)
	case chains.Dead:
		if got := b.onlooker().scan(b.ghost); got.Kind != chains.Dead {
			b.Fatalf("a payment that is %s is seen as %+v", got.Kind, ghost)
		}
	default:
	}
}

// onlooker is a bench with a chain of its own on the node itself.
func (b *bench) onlooker() *bench {
	b.Helper()
	c, err := b.h.Open(b.Context(), Opening{Wallets: b.wallets, RPCURLs: []string{b.h.RPCURL}})
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	return &bench{T: b.T, h: b.h, nonces: b.nonces, wallets: b.wallets, chain: c}
}

func oneOfTwo(t *testing.T, h Harness, f fault) {
	b, nodes, paid, ghost, s := several(t, h, 2)
	b.send(s)
	f.begin(nodes[0], paid, ghost)
	truth := b.onlooker()
	truth.await(paid, chains.Paid)
	// Long enough for a comparison of both nodes, and for a breaker to open.
	for range 15 {
		got := b.look(paid, ghost)
		b.neverWrong(got[0], got[1])
		if got[0].Kind == chains.Paid && !f.honest {
			b.Fatalf("one node's word was enough: %+v", got[0])
		}
		if got[1].Kind.Final() {
			b.Fatalf("one node's word was enough: %+v", got[1])
		}
		if b.laneKnown(paid, ghost) && b.chain.Info().LaneNonces && !f.honest {
			b.Fatal("one node's word was enough for a result and a final nonce")
		}
		if h.Advance != nil {
			h.Advance(t)
		}
	}
	if f.endless {
		return
	}
	nodes[0].heal()
	b.until(func() bool {
		got := b.look(paid, ghost)
		b.neverWrong(got[0], got[1])
		if got[0].Kind == chains.Paid && !strings.Contains(string(got[0].Proof), `"witnesses"`) {
			t.Fatalf("the proof does not name its witnesses: %s", got[0].Proof)
		}
		return got[0].Kind == chains.Paid && b.laneKnown(paid, ghost)
	})
	b.wantBalance(paid.To, 1_500_000)
	b.wantBalance(ghost.To, 0)
}

func oneOfThree(t *testing.T, h Harness, f fault) {
	b, nodes, paid, ghost, s := several(t, h, 3)
	f.begin(nodes[0], paid, ghost)
	b.send(s)
	b.until(func() bool {
		got := b.look(paid, ghost)
		b.neverWrong(got[0], got[1])
		return got[0].Kind == chains.Paid && b.laneKnown(paid, ghost)
	})
	b.wantBalance(paid.To, 1_500_000)
	b.wantBalance(ghost.To, 0)
}

// finalityFails has both nodes show another chain below the finalized block.
func finalityFails(t *testing.T, h Harness) {
	b, nodes, paid, _, s := several(t, h, 2)
	b.send(s)
	b.onlooker().await(paid, chains.Paid)
	// The finalized blocks are now these and now others, for longer than the
	// chain takes to look.
	replaced, since := false, time.Now()
	b.until(func() bool {
		b.look(paid)
		if time.Since(since) > 3*time.Second {
			replaced, since = !replaced, time.Now()
			for _, n := range nodes {
				n.heal()
				if replaced {
					n.lie(h.Lies.Finalized(paid))
				}
			}
		}
		_, err := b.chain.Sign(b.Context(), b.order(1, 1))
		return errors.Is(err, chains.ErrFrozen)
	})
	for _, n := range nodes {
		n.heal()
	}
	if err := b.chain.Refresh(b.Context()); !errors.Is(err, chains.ErrFrozen) {
		t.Errorf("refresh of a frozen chain: %v", err)
	}
	if b.laneKnown(paid, b.ghost) && b.chain.Info().LaneNonces {
		t.Error("a frozen chain has results")
	}
	if got := b.scan(paid); got.Kind.Final() || !strings.Contains(got.Reason, "frozen") {
		t.Errorf("a frozen chain says %+v", got)
	}
}

// finalityDoubted has one of two nodes do it: that stops nothing.
func finalityDoubted(t *testing.T, h Harness) {
	b, nodes, paid, _, s := several(t, h, 2)
	b.send(s)
	b.onlooker().await(paid, chains.Paid)
	nodes[0].lie(h.Lies.Finalized(paid))
	since := nodes[0].count()
	b.until(func() bool {
		b.look(paid)
		return nodes[0].count() > since+60
	})
	b.sign(b.order(1, 1))
}

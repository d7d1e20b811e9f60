package chaintest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// bench is what one case works with: wallets of its own, a gate, and an open
// chain.
type bench struct {
	*testing.T
	h       Harness
	gate    *gate
	wallets Wallets
	chain   chains.Chain
	nonces  map[string]uint64
	ghost   chains.Watched // of the fault cases: is never sent
}

func newBench(t *testing.T, h Harness) *bench {
	t.Helper()
	b := &bench{T: t, h: h, nonces: map[string]uint64{}}
	b.gate = newGate(t, h.RPCURL)
	b.wallets = h.NewWallets(t, 2)
	b.chain = b.open()
	b.refresh()
	return b
}

// open returns a new Chain with no memory of earlier ones.
func (b *bench) open() chains.Chain {
	b.Helper()
	return b.openWith(Opening{})
}

func (b *bench) openWith(o Opening) chains.Chain {
	b.Helper()
	o.Wallets, o.RPCURLs = b.wallets, []string{b.gate.url()}
	c, err := b.h.Open(b.Context(), o)
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	return c
}

// refresh asks until the node has an answer, as scan does.
func (b *bench) refresh() {
	b.Helper()
	var err error
	b.until(func() bool {
		err = b.chain.Refresh(b.Context())
		return !errors.Is(err, chains.ErrUnknown)
	})
	if err != nil {
		b.Fatalf("refresh: %v", err)
	}
}

// order makes an order to a fresh payee on the given lane, with the lane's
// next nonce.
func (b *bench) order(lane int, units uint64) chains.Order {
	b.Helper()
	return chains.Order{
		IntentID: newIntentID(), Seq: 1, To: b.h.NewPayee(b.T), Amount: payment.Units(units),
		Lane: b.lane(lane), ValidFor: time.Hour, Now: time.Now(),
	}
}

func (b *bench) lane(i int) chains.Lane {
	b.Helper()
	l := chains.Lane{Address: b.wallets.Lanes[i]}
	if !b.chain.Info().LaneNonces {
		return l
	}
	next, known := b.nonces[l.Address]
	if !known {
		start, err := b.chain.LaneStart(b.Context(), l.Address)
		if err != nil {
			b.Fatalf("lane start: %v", err)
		}
		next = start
	}
	b.nonces[l.Address] = next + 1
	l.Nonce = next
	return l
}

func (b *bench) sign(o chains.Order) chains.Signed {
	b.Helper()
	s, err := b.chain.Sign(b.Context(), o)
	if err != nil {
		b.Fatalf("sign: %v", err)
	}
	return s
}

// send expects the node to take the bytes.
func (b *bench) send(s chains.Signed) {
	b.Helper()
	if v := b.chain.Send(b.Context(), stored(s)); v.Acceptance != chains.Accepted {
		b.Fatalf("send: %+v, want accepted", v)
	}
}

// scan looks at one payment until the node has an answer: a node that is just
// replacing blocks may have none, and unknown is then what a chain must say.
func (b *bench) scan(w chains.Watched) chains.Sighting {
	b.Helper()
	var got []chains.Sighting
	var err error
	b.until(func() bool {
		got, err = b.chain.Scan(b.Context(), []chains.Watched{w})
		return !errors.Is(err, chains.ErrUnknown)
	})
	if err != nil {
		b.Fatalf("scan: %v", err)
	}
	if len(got) != 1 {
		b.Fatalf("scan: %d sightings for 1 payment", len(got))
	}
	return got[0]
}

// await scans until the payment was seen as one of kinds. It returns that
// sighting, and every kind seen on the way without repetitions.
func (b *bench) await(w chains.Watched, kinds ...chains.SightingKind) (chains.Sighting, []chains.SightingKind) {
	b.Helper()
	var s chains.Sighting
	var trail []chains.SightingKind
	b.until(func() bool {
		s = b.scan(w)
		if len(trail) == 0 || trail[len(trail)-1] != s.Kind {
			trail = append(trail, s.Kind)
		}
		for _, k := range kinds {
			if s.Kind == k {
				return true
			}
		}
		if s.Kind.Final() {
			b.Fatalf("payment ended as %+v, waited for %v", s, kinds)
		}
		return false
	})
	return s, trail
}

// until repeats the condition while the chain gets on.
func (b *bench) until(condition func() bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			b.Fatalf("not reached within %s", patience)
		case <-tick.C:
		}
		if b.h.Advance != nil {
			b.h.Advance(b.T)
		}
	}
}

// finalizeBeyond waits until blocks above the present head are final.
func (b *bench) finalizeBeyond() {
	b.Helper()
	b.refresh()
	c, _ := b.chain.Conditions()
	head := c.Head
	b.until(func() bool {
		b.refresh()
		c, _ = b.chain.Conditions()
		return c.Finalized > head
	})
}

func (b *bench) wantBalance(address string, units uint64) {
	b.Helper()
	if got := b.h.TokenBalance(b.T, address); got.Cmp(payment.Units(units)) != 0 {
		b.Fatalf("payee holds %s base units, want %d", got, units)
	}
}

func stored(s chains.Signed) chains.StoredTx {
	return chains.StoredTx{Hash: s.Tx.Hash, Raw: s.Tx.Raw}
}

func watched(o chains.Order, signed ...chains.Signed) chains.Watched {
	w := chains.Watched{IntentID: o.IntentID, SlotID: "slot_" + o.IntentID, Slot: signed[0].Slot, To: o.To, Amount: o.Amount}
	for _, s := range signed {
		w.Txs = append(w.Txs, stored(s))
	}
	return w
}

func newIntentID() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err)
	}
	return "pi_" + hex.EncodeToString(b[:])
}

package chaintest

import (
	"slices"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// paysOnce follows one payment from signed to paid, and checks every figure
// of the final sighting.
func paysOnce(b *bench) {
	b.finalizeBeyond() // the funding of the wallets
	lane := b.wallets.Lanes[0]
	before := b.balances(lane, b.wallets.Treasury)

	o := b.order(0, 12_345_678)
	s := b.sign(o)
	w := watched(o, s)
	if got := b.scan(w); got.Kind != chains.Unseen {
		b.Fatalf("seen before it was sent: %+v", got)
	}
	b.send(s)
	paid, trail := b.await(w, chains.Paid)
	if !slices.Contains(trail, chains.Included) {
		b.Errorf("went %v, never included", trail)
	}
	b.wantBalance(o.To, 12_345_678)
	if paid.TxHash != s.Tx.Hash || paid.BlockHash == "" || paid.BlockHeight == 0 || paid.BlockTime.IsZero() || len(paid.Proof) == 0 {
		b.Errorf("sighting is incomplete: %+v", paid)
	}
	if paid.Sender != lane {
		b.Errorf("fee payer %q, want %q", paid.Sender, lane)
	}

	after := b.balances(lane, b.wallets.Treasury)
	spent, err := before.Native[lane].Sub(after.Native[lane])
	if err != nil || paid.Fee.IsZero() || spent.Cmp(paid.Fee) < 0 {
		b.Errorf("fee %s, but the lane spent %s (%v)", paid.Fee, spent, err)
	}
	if paid.Fee.Cmp(s.Tx.MaxFee) > 0 {
		b.Errorf("fee %s is above the signed maximum %s", paid.Fee, s.Tx.MaxFee)
	}
	gone, err := before.Token[b.wallets.Treasury].Sub(after.Token[b.wallets.Treasury])
	if err != nil || gone.Cmp(o.Amount) != 0 {
		b.Errorf("treasury is down by %s (%v), want %s", gone, err, o.Amount)
	}
	if again := b.scan(w); again.Kind != chains.Paid || again.TxHash != paid.TxHash {
		b.Errorf("a second scan says %+v", again)
	}
}

func (b *bench) balances(addresses ...string) chains.Balances {
	b.Helper()
	got, err := b.chain.Balances(b.Context(), addresses)
	if err != nil {
		b.Fatalf("balances: %v", err)
	}
	return got
}

// resend hands the same bytes over while they are pending, and again when
// they are final. Neither may be refused as if nothing had been paid.
func resend(b *bench) {
	o := b.order(0, 2_000_000)
	s := b.sign(o)
	b.send(s)
	if v := b.chain.Send(b.Context(), stored(s)); v.Acceptance == chains.Rejected {
		b.Errorf("sent again while pending: %+v", v)
	}
	b.await(watched(o, s), chains.Paid)
	if v := b.chain.Send(b.Context(), stored(s)); v.Acceptance == chains.Rejected {
		b.Errorf("sent again when final: %+v", v)
	}
	b.finalizeBeyond()
	b.wantBalance(o.To, 2_000_000)
}

// reuse submits one live slot over two lanes at once. Where the chain would not
// refuse the second payment, it must not be signed.
func reuse(b *bench) {
	o := b.order(0, 3_000_000)
	first := b.sign(o)
	o2 := o
	o2.Lane = b.lane(1)
	o2.Reuse = &first.Slot
	if !b.h.CanReuse {
		if second, err := b.chain.Sign(b.Context(), o2); err == nil {
			b.Errorf("signed %s beside %s, and both can pay", second.Tx.Hash, first.Tx.Hash)
		}
		return
	}
	second := b.sign(o2)
	if first.Slot.Nonce != second.Slot.Nonce || first.Tx.Hash == second.Tx.Hash {
		b.Fatalf("not another transaction of the same slot: %s %s", first.Slot.Nonce, second.Slot.Nonce)
	}
	b.send(second)
	b.send(first)
	w := watched(o, first, second)
	paid, _ := b.await(w, chains.Paid)
	if paid.TxHash != first.Tx.Hash && paid.TxHash != second.Tx.Hash {
		b.Errorf("paid by %s, which is neither", paid.TxHash)
	}
	b.finalizeBeyond()
	b.wantBalance(o.To, 3_000_000)
	if again := b.scan(w); again.Kind != chains.Paid || again.TxHash != paid.TxHash {
		b.Errorf("after the loser was mined: %+v", again)
	}
}

// neverSent checks that absence alone proves nothing.
func neverSent(b *bench) {
	o := b.order(0, 4_000_000)
	w := watched(o, b.sign(o))
	for range 3 {
		b.finalizeBeyond()
		if got := b.scan(w); got.Kind != chains.Unseen {
			b.Fatalf("never sent, but %+v", got)
		}
	}
	b.wantBalance(o.To, 0)
}

// restart lets a Chain that has seen nothing look for old payments.
func restart(b *bench) {
	o := b.order(0, 5_000_000)
	s := b.sign(o)
	b.send(s)
	w := watched(o, s)
	paid, _ := b.await(w, chains.Paid)
	b.finalizeBeyond()

	b.chain = b.open()
	again, _ := b.await(w, chains.Paid)
	if again.TxHash != paid.TxHash || again.BlockHash != paid.BlockHash || again.Fee.Cmp(paid.Fee) != 0 {
		b.Errorf("found %+v, was %+v", again, paid)
	}
}

// fifty pays 50 at once and expects one Scan to serve them all with few
// requests.
func fifty(b *bench) {
	const n = 50
	var all []chains.Watched
	for i := range n {
		o := b.order(i%2, uint64(1_000_000+i))
		s := b.sign(o)
		b.send(s)
		all = append(all, watched(o, s))
	}
	var got []chains.Sighting
	b.until(func() bool {
		before := b.gate.requests.Load()
		var err error
		if got, err = b.chain.Scan(b.Context(), all); err != nil {
			b.Fatalf("scan: %v", err)
		}
		if len(got) != n {
			b.Fatalf("%d sightings for %d payments", len(got), n)
		}
		if used := b.gate.requests.Load() - before; used > 10 {
			b.Fatalf("one scan of %d payments took %d requests", n, used)
		}
		return !slices.ContainsFunc(got, func(s chains.Sighting) bool { return s.Kind != chains.Paid })
	})
	for i, s := range got {
		if s.TxHash != all[i].Txs[0].Hash {
			b.Errorf("sighting %d is of %s, not of its payment", i, s.TxHash)
		}
		b.wantBalance(all[i].To, uint64(1_000_000+i))
	}
}

// dropped loses the transaction from the pool; the same bytes must still pay.
func dropped(b *bench) {
	o := b.order(0, 6_000_000)
	s := b.sign(o)
	w := watched(o, s)
	b.pause()
	b.send(s)
	b.h.DropPending(b.T)
	b.resume()
	b.finalizeBeyond()
	if got := b.scan(w); got.Kind != chains.Unseen {
		b.Fatalf("dropped, but %+v", got)
	}
	b.send(s)
	b.await(w, chains.Paid)
	b.wantBalance(o.To, 6_000_000)
}

// reorged lets an included payment vanish; the same bytes must pay once.
func reorged(b *bench) {
	o := b.order(0, 7_000_000)
	s := b.sign(o)
	w := watched(o, s)
	b.send(s)
	b.await(w, chains.Included)
	b.pause()
	if got := b.scan(w); got.Kind == chains.Included {
		c := b.head()
		b.h.Reorg(b.T, int(c-got.BlockHeight)+1)
		if after := b.scan(w); after.Kind != chains.Unseen {
			b.Errorf("reorganised away, but %+v", after)
		}
		b.wantBalance(o.To, 0)
		b.send(s)
	} else {
		b.Logf("final before the clock stopped: %s", got.Kind)
	}
	b.resume()
	b.await(w, chains.Paid)
	b.wantBalance(o.To, 7_000_000)
}

func (b *bench) pause() {
	b.Helper()
	b.h.Pause(b.T, true)
	b.Cleanup(b.resume)
}

func (b *bench) resume() { b.h.Pause(b.T, false) }

func (b *bench) head() uint64 {
	b.Helper()
	b.refresh()
	c, _ := b.chain.Conditions()
	return c.Head
}

// expiry lets a slot die unsent, sees the proof, sends its bytes all the
// same, and pays with the next attempt. A slot without end must have none.
func expiry(b *bench) {
	o := b.order(0, 8_000_000)
	o.ValidFor = 2 * time.Second
	s := b.sign(o)
	if b.h.Expire == nil {
		if s.Slot.ExpiresAt != nil || s.Slot.ExpiresHeight != 0 {
			b.Errorf("the slot ends, and the harness cannot bring that about: %+v", s.Slot)
		}
		return
	}
	w := watched(o, s)
	b.h.Expire(b.T, s.Slot)
	dead, _ := b.await(w, chains.Dead)
	if len(dead.Proof) == 0 {
		b.Error("dead without proof")
	}
	b.chain.Send(b.Context(), stored(s))
	b.finalizeBeyond()
	b.wantBalance(o.To, 0)

	b.refresh()
	o.Seq, o.ValidFor, o.Now, o.Lane = 2, time.Hour, time.Now(), b.lane(1)
	o.Amount = payment.Units(8_000_001)
	next := b.sign(o)
	if next.Slot.Nonce == s.Slot.Nonce {
		b.Fatal("the second attempt took the dead slot")
	}
	b.send(next)
	b.await(watched(o, next), chains.Paid)
	b.wantBalance(o.To, 8_000_001)
}

package chaintest

import (
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// early pays one amount that counts as paid before it is final, and one that
// does not. A reorganisation takes the former back.
func early(b *bench) {
	b.chain = b.openWith(Opening{PaidBelow: "1.00"})
	b.refresh()
	small, large := b.order(0, 999_999), b.order(1, 1_000_000)
	first, second := b.sign(small), b.sign(large)
	w, beside := watched(small, first), watched(large, second)
	b.send(first)
	b.send(second)
	paid, _ := b.await(w, chains.Paid)
	if len(paid.Proof) == 0 || paid.TxHash != first.Tx.Hash || paid.Fee.IsZero() {
		b.Errorf("sighting is incomplete: %+v", paid)
	}
	b.pause()
	if got := b.scan(w); got.Early {
		b.h.Reorg(b.T, int(b.head()-got.BlockHeight)+1)
		if after := b.scan(w); after.Kind != chains.Unseen {
			b.Errorf("reorganised away, but %+v", after)
		}
		b.send(first)
		b.send(second)
	} else {
		b.Logf("final before the clock stopped: %s", got.Kind)
	}
	b.resume()
	if got, _ := b.await(beside, chains.Paid); got.Early {
		b.Errorf("paid early: %+v", got)
	}
	b.finalizeBeyond()
	if got := b.scan(w); got.Kind != chains.Paid || got.Early {
		b.Errorf("now that it is final: %+v", got)
	}
	b.wantBalance(small.To, 999_999)
	b.wantBalance(large.To, 1_000_000)
}

// fates asks what became of a payment, of a variant that lost where there may
// be one, and of what was never sent, whose death is known when it has expired.
func fates(b *bench) {
	chain, ok := b.chain.(chains.Expirer)
	if has := b.chain.Info().LaneNonces; has == ok {
		b.Fatalf("the chain says %t about lane nonces, and %t about telling fates without them", has, ok)
	}
	if !ok {
		return
	}
	b.finalizeBeyond() // the funding of the wallets
	lane := b.wallets.Lanes[0]
	before := b.balances(lane)

	o := b.order(0, 3_000_000)
	signed := []chains.Signed{b.sign(o)}
	if b.h.CanReuse {
		o.Reuse, o.Replaces = &signed[0].Slot, []chains.StoredTx{stored(signed[0])}
		dearer := b.sign(o)
		if dearer.Tx.FeeCap.Cmp(signed[0].Tx.FeeCap) <= 0 {
			b.Errorf("offers %s after %s", dearer.Tx.FeeCap, signed[0].Tx.FeeCap)
		}
		signed = append(signed, dearer)
	}
	for _, s := range signed {
		b.send(s)
	}
	w := watched(o, signed...)
	unsent := b.order(1, 4_000_000)
	never := watched(unsent, b.sign(unsent))
	ask := func() [][]chains.TxResult {
		got, err := chain.Fates(b.Context(), []chains.Watched{w, never})
		if err != nil {
			b.Fatalf("fates: %v", err)
		}
		return got
	}
	paid, _ := b.await(w, chains.Paid)
	var got [][]chains.TxResult
	b.until(func() bool {
		got = ask()
		final := 0
		for _, r := range got[0] {
			if r.Final {
				final++
			}
		}
		return final == len(signed)
	})
	var spent payment.Amount
	for i, r := range got[0] {
		if r.Succeeded != (w.Txs[i].Hash == paid.TxHash) || r.Dead || r.BlockHeight == 0 || r.BlockTime.IsZero() || r.Succeeded != (r.Reason == "") {
			b.Errorf("paid by %s, and %s came to %+v", paid.TxHash, w.Txs[i].Hash, r)
		}
		spent, _ = spent.Add(r.Fee)
	}
	b.finalizeBeyond()
	if is, err := before.Native[lane].Sub(b.balances(lane).Native[lane]); err != nil || is.Cmp(spent) != 0 {
		b.Errorf("the lane has spent %s (%v), and the transactions say %s", is, err, spent)
	}
	if r := got[1][0]; r.Final || r.Dead {
		b.Errorf("never sent, and may still land: %+v", r)
	}
	b.h.Expire(b.T, never.Slot)
	b.until(func() bool { return ask()[1][0].Dead })
	if r := ask()[0][0]; r.Dead {
		b.Errorf("landed, and is called dead: %+v", r)
	}
}

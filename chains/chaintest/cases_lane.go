package chaintest

import (
	"errors"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// laneBench is the bench of a chain whose lanes have nonces.
type laneBench struct {
	*bench
	laner chains.Laner
}

// onLanes runs a case on chains with lane nonces. Others must say that they have
// none.
func onLanes(run func(laneBench)) func(*bench) {
	return func(b *bench) {
		laner, ok := b.chain.(chains.Laner)
		if has := b.chain.Info().LaneNonces; has != ok {
			b.Fatalf("the chain says %t about lane nonces, and looks after them: %t", has, ok)
		}
		if ok {
			run(laneBench{b, laner})
		}
	}
}

// outbidding signs the same payment again at a higher price.
func outbidding(o chains.Order, s chains.Signed, more ...chains.Signed) chains.Order {
	o.Reuse, o.Replaces, o.Now = &s.Slot, []chains.StoredTx{stored(s)}, time.Now()
	for _, m := range more {
		o.Replaces = append(o.Replaces, stored(m))
	}
	return o
}

// outbid raises the price of a pooled payment twice; it pays once.
func outbid(b laneBench) {
	b.pause()
	o := b.order(0, 9_000_000)
	first := b.sign(o)
	b.send(first)
	second := b.sign(outbidding(o, first))
	b.send(second)
	third := b.sign(outbidding(o, first, second))
	b.send(third)
	for i, s := range []chains.Signed{second, third} {
		below := []chains.Signed{first, second}[i]
		if s.Slot.Nonce != first.Slot.Nonce || *s.Tx.Nonce != *first.Tx.Nonce {
			b.Fatalf("not the same slot and lane nonce: %+v %+v", first, s)
		}
		if !tenthAbove(s.Tx.FeeCap, below.Tx.FeeCap) || !tenthAbove(s.Tx.TipCap, below.Tx.TipCap) || s.Tx.TipCap.Cmp(s.Tx.FeeCap) > 0 {
			b.Errorf("priced at %s (tip %s) over %s (tip %s)", s.Tx.FeeCap, s.Tx.TipCap, below.Tx.FeeCap, below.Tx.TipCap)
		}
	}
	b.resume()
	w := watched(o, first, second, third)
	paid, _ := b.await(w, chains.Paid)
	if paid.TxHash != third.Tx.Hash {
		b.Errorf("paid by %s, want the dearest, %s", paid.TxHash, third.Tx.Hash)
	}
	for _, s := range []chains.Signed{first, second} {
		b.chain.Send(b.Context(), stored(s))
	}
	b.finalizeBeyond()
	b.wantBalance(o.To, 9_000_000)
	if got := b.results(stored(first), stored(third)); got[0].Final || !got[1].Final || !got[1].Succeeded {
		b.Errorf("results %+v, want the last to be final", got)
	}
}

// tenthAbove reports whether high is at least 1.1 times low.
func tenthAbove(high, low payment.Amount) bool {
	h, okHigh := high.Uint64()
	l, okLow := low.Uint64()
	return okHigh && okLow && 10*h >= 11*l
}

// outbidRefusals: what must not be signed in place of what.
func outbidRefusals(b laneBench) {
	o := b.order(0, 9_100_000)
	s := b.sign(o)
	fill := b.fill(o.Lane, stored(s))
	capped, foreign, lone, canceled := outbidding(o, s), outbidding(o, s), outbidding(o, s), outbidding(o, s)
	capped.MaxFee = s.Tx.MaxFee
	foreign.Lane = b.lane(0)
	lone.Reuse = nil
	canceled.Replaces = append(canceled.Replaces, fill)
	other := b.order(0, 9_200_000)
	other.Lane = o.Lane
	for name, o := range map[string]chains.Order{
		"replaces another lane nonce": foreign, "replaces without its slot": lone, "outbids a cancellation": canceled,
		"outbids another payment": outbidding(other, s),
	} {
		if got, err := b.chain.Sign(b.Context(), o); err == nil || errors.Is(err, chains.ErrFeeCapped) {
			b.Errorf("%s: %+v, %v, want a refusal", name, got.Tx.Hash, err)
		}
	}
	if _, err := b.chain.Sign(b.Context(), capped); !errors.Is(err, chains.ErrFeeCapped) {
		b.Errorf("outbid without more money: %v, want ErrFeeCapped", err)
	}
	o.MaxFee = payment.Units(s.Tx.GasLimit * 1_000_000_000)
	if tight := b.sign(o).Tx; tight.MaxFee.Cmp(o.MaxFee) > 0 {
		b.Errorf("may cost %s, ordered was at most %s", tight.MaxFee, o.MaxFee)
	}
	if _, err := b.laner.Fill(b.Context(), b.lane(0), []chains.StoredTx{stored(s)}); err == nil {
		b.Error("filled one nonce in place of another's transaction")
	}
}

func (b laneBench) fill(lane chains.Lane, replaces ...chains.StoredTx) chains.StoredTx {
	b.Helper()
	tx, err := b.laner.Fill(b.Context(), lane, replaces)
	if err != nil {
		b.Fatalf("fill: %v", err)
	}
	return chains.StoredTx{Hash: tx.Hash, Raw: tx.Raw}
}

func (b laneBench) submit(tx chains.StoredTx) {
	b.Helper()
	if v := b.chain.Send(b.Context(), tx); v.Acceptance != chains.Accepted {
		b.Fatalf("send: %+v, want accepted", v)
	}
}

func (b laneBench) results(txs ...chains.StoredTx) []chains.TxResult {
	b.Helper()
	got, err := b.laner.Results(b.Context(), txs)
	if err != nil || len(got) != len(txs) {
		b.Fatalf("results: %+v, %v", got, err)
	}
	return got
}

// final waits until a transaction is final.
func (b laneBench) final(tx chains.StoredTx) chains.TxResult {
	b.Helper()
	var got chains.TxResult
	b.until(func() bool {
		got = b.results(tx)[0]
		return got.Final
	})
	return got
}

// filled loses the first of two payments on a lane. The second waits behind
// the gap until the nonce is filled; the first can then not be mined any more.
func filled(b laneBench) {
	b.pause()
	lost, behind := b.order(0, 9_300_000), b.order(0, 9_400_000)
	a, c := b.sign(lost), b.sign(behind)
	b.send(a)
	b.h.DropPending(b.T)
	b.resume()
	b.send(c)
	b.finalizeBeyond()
	if got := b.scan(watched(behind, c)); got.Kind != chains.Unseen {
		b.Fatalf("passed a gap: %+v", got)
	}

	fill := b.fill(lost.Lane, stored(a))
	b.submit(fill)
	b.await(watched(behind, c), chains.Paid)
	if got := b.final(fill); !got.Succeeded || got.Fee.IsZero() || got.BlockHeight == 0 || got.BlockHash == "" || got.BlockTime.IsZero() {
		b.Errorf("result of the fill: %+v", got)
	}
	w := watched(lost, a)
	w.Txs = append(w.Txs, fill)
	if a.Slot.Kind == chains.SlotEVMNonce {
		if dead, _ := b.await(w, chains.Dead); dead.TxHash != fill.Hash || len(dead.Proof) == 0 {
			b.Errorf("dead as %+v", dead)
		}
	} else if got := b.scan(w); got.Kind != chains.Unseen {
		b.Errorf("the authorization is open, but %+v", got)
	}
	b.chain.Send(b.Context(), stored(a))
	b.finalizeBeyond()
	b.wantBalance(lost.To, 0)
	b.wantBalance(behind.To, 9_400_000)
}

// fenced kills a slot before its end. The payment is sent afterwards, and pays
// nothing.
func fenced(b laneBench) {
	o := b.order(0, 9_500_000)
	s := b.sign(o)
	lane, replaces := b.lane(1), []chains.StoredTx(nil)
	if s.Slot.Kind == chains.SlotEVMNonce {
		if _, err := b.laner.Fence(b.Context(), s.Slot, lane, nil); err == nil {
			b.Error("an account nonce was fenced under another one")
		}
		lane, replaces = o.Lane, []chains.StoredTx{stored(s)}
	}
	first := b.fence(s.Slot, lane, replaces)
	fence := b.fence(s.Slot, lane, append(replaces, first))
	b.submit(fence)
	w := watched(o, s)
	w.Txs = append(w.Txs, first, fence)
	dead, _ := b.await(w, chains.Dead)
	if dead.TxHash != fence.Hash || len(dead.Proof) == 0 {
		b.Errorf("dead as %+v", dead)
	}
	if got := b.final(fence); !got.Succeeded {
		b.Errorf("result of the fence: %+v", got)
	}

	b.chain.Send(b.Context(), stored(s))
	if s.Slot.Kind != chains.SlotEVMNonce { // whose transaction nobody takes any more
		if got := b.final(stored(s)); got.Succeeded || got.Reason == "" || got.Fee.IsZero() {
			b.Errorf("the fenced payment: %+v", got)
		}
	}
	b.finalizeBeyond()
	b.wantBalance(o.To, 0)
	if got := b.scan(w); got.Kind != chains.Dead {
		b.Errorf("after the payment was sent: %+v", got)
	}
	if _, err := b.laner.Fence(b.Context(), chains.Slot{Kind: chains.SlotBlockhash}, b.lane(1), nil); err == nil {
		b.Error("fenced a slot of another family")
	}
}

func (b laneBench) fence(slot chains.Slot, lane chains.Lane, replaces []chains.StoredTx) chains.StoredTx {
	b.Helper()
	tx, err := b.laner.Fence(b.Context(), slot, lane, replaces)
	if err != nil {
		b.Fatalf("fence: %v", err)
	}
	return chains.StoredTx{Hash: tx.Hash, Raw: tx.Raw}
}

// laneHeads follows a lane through a payment.
func laneHeads(b laneBench) {
	b.finalizeBeyond() // the funding of the wallets
	o := b.order(0, 9_600_000)
	if got := b.heads(); got[0].Latest != o.Lane.Nonce || got[0].Final != o.Lane.Nonce || got[1].Lane != b.wallets.Lanes[1] {
		b.Fatalf("heads %+v before nonce %d", got, o.Lane.Nonce)
	}
	s := b.sign(o)
	if got := b.results(stored(s))[0]; got.Final {
		b.Fatalf("never sent, but %+v", got)
	}
	b.send(s)
	paid, _ := b.await(watched(o, s), chains.Paid)
	b.until(func() bool { return b.heads()[0].Final == o.Lane.Nonce+1 })
	got, is := b.heads(), b.balances(b.wallets.Lanes...)
	for i, h := range got {
		if h.Lane != b.wallets.Lanes[i] || h.Native.Cmp(is.Native[h.Lane]) != 0 {
			b.Errorf("head %+v, balance %s", h, is.Native[h.Lane])
		}
	}
	if got[0].Latest != o.Lane.Nonce+1 {
		b.Errorf("head %+v after nonce %d", got[0], o.Lane.Nonce)
	}
	r := b.final(stored(s))
	if !r.Succeeded || r.Reason != "" || r.BlockHash != paid.BlockHash || r.BlockHeight != paid.BlockHeight || !r.BlockTime.Equal(paid.BlockTime) || r.Fee.Cmp(paid.Fee) != 0 {
		b.Errorf("result %+v of %+v", r, paid)
	}
}

func (b laneBench) heads() []chains.LaneHead {
	b.Helper()
	got, err := b.laner.LaneHeads(b.Context(), b.wallets.Lanes)
	if err != nil || len(got) != len(b.wallets.Lanes) {
		b.Fatalf("lane heads: %+v, %v", got, err)
	}
	return got
}

// consumer finds out which transactions used a lane's nonces, none of which it
// was told.
func consumer(b laneBench) {
	var used []chains.Lane
	var hashes []string
	for range 3 {
		lane := b.lane(0)
		tx := b.fill(lane)
		b.submit(tx)
		b.final(tx)
		used, hashes = append(used, lane), append(hashes, tx.Hash)
	}
	for i, lane := range used {
		if got, err := b.laner.Consumer(b.Context(), lane); err != nil || got != hashes[i] {
			b.Errorf("nonce %d was used by %q, %v, want %s", lane.Nonce, got, err, hashes[i])
		}
	}
	if got, err := b.laner.Consumer(b.Context(), b.lane(0)); !errors.Is(err, chains.ErrUnknown) {
		b.Errorf("an unused nonce was used by %q, %v", got, err)
	}
	b.gate.close()
	if got, err := b.laner.Consumer(b.Context(), used[0]); !errors.Is(err, chains.ErrUnknown) {
		b.Errorf("learned %q from nobody, %v", got, err)
	}
	if got, err := b.laner.LaneHeads(b.Context(), b.wallets.Lanes); !errors.Is(err, chains.ErrUnknown) {
		b.Errorf("learned %+v from nobody, %v", got, err)
	}
	if got, err := b.laner.Results(b.Context(), []chains.StoredTx{{Hash: hashes[0]}}); !errors.Is(err, chains.ErrUnknown) {
		b.Errorf("learned %+v from nobody, %v", got, err)
	}
}

// laneKnown reports whether a chain with lane nonces has the final result of
// the payment that was made on lane 0, and its nonce as finally used. It may
// know less, but nothing else. The payment on lane 1 was never sent. On other
// chains there is nothing to know.
func (b *bench) laneKnown(paid, never chains.Watched) bool {
	b.Helper()
	laner, ok := b.chain.(chains.Laner)
	if !ok {
		return true
	}
	results, err := laner.Results(b.Context(), []chains.StoredTx{paid.Txs[0], never.Txs[0]})
	if b.unlearned(err) {
		return false
	}
	heads, err := laner.LaneHeads(b.Context(), b.wallets.Lanes)
	if b.unlearned(err) {
		return false
	}
	used := b.nonces[b.wallets.Lanes[0]]
	if results[1].Final || results[0].Final && !results[0].Succeeded || heads[0].Final > used || heads[1].Final > 0 {
		b.Fatalf("results %+v, heads %+v", results, heads)
	}
	return results[0].Final && heads[0].Final == used
}

// unlearned reports whether an error says that nothing was learned.
func (b *bench) unlearned(err error) bool {
	b.Helper()
	if err != nil && !errors.Is(err, chains.ErrUnknown) && !errors.Is(err, chains.ErrFrozen) {
		b.Fatal(err)
	}
	return err != nil
}

package activities_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// onOwnSolana is a world on a Solana of its own, where upkeep acts at once and
// never waits, with books that are equal to the chain.
func onOwnSolana(t *testing.T, change func(*solana.Config)) (*world, sandbox.Solana) {
	t.Helper()
	net := sandbox.StartSolana(t, 50*time.Millisecond)
	w := newWorld(t)
	w.steps.SweepAfter = time.Millisecond
	w.payee = sandbox.NewSolanaAddress(t)
	w.usdc = func(address string) uint64 { return net.USDC(t, address) }
	w.openSolana(net, func(c *solana.Config) {
		c.ResendAfterMS = 100
		change(c)
	})
	net.AdvanceSlots(t, 40) // the funding is final
	if err := ledger.Open(t.Context(), w.store, w.onChain()); err != nil {
		t.Fatal(err)
	}
	return w, net
}

func guarded(c *solana.Config) { c.Exclusive, c.BumpAfterMS = solana.ExclusiveGuard, 100 }

// onChain is what the chain holds for us, finally.
func (w *world) onChain() []ledger.ChainBalance {
	w.Helper()
	info := w.chain.Info()
	b, err := w.chain.Balances(w.Context(), append([]string{info.Treasury}, info.Lanes...))
	if err != nil {
		w.Fatal(err)
	}
	return []ledger.ChainBalance{{Chain: info.Name, Asset: payment.USDC, OnChain: b.Token[info.Treasury], NativeAsset: info.NativeAsset, NativeOnChain: b.Native[info.Lanes[0]]}}
}

// everySlotIsFinal waits until nothing can land any more, and fails the test
// unless the books are equal to the chain then.
func (w *world) everySlotIsFinal() {
	w.Helper()
	w.upkeep("nothing can land any more", func() bool { return w.count("SELECT count(*) FROM slots WHERE final_at IS NULL") == 0 })
	w.booksClose()
	differences, err := ledger.Reconcile(w.Context(), w.store, w.onChain())
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range differences {
		w.Error(d)
	}
}

// outbid waits until so many transactions were signed for a payment.
func (w *world) outbid(id string, transactions int) []db.Transaction {
	w.Helper()
	w.upkeep("it is outbid", func() bool { return w.count("SELECT count(*) FROM transactions") >= transactions })
	txs, err := w.store.Queries().SlotTransactions(w.Context(), w.onlySlot(id).ID)
	if err != nil {
		w.Fatal(err)
	}
	return txs
}

// A payment whose price is too low is signed again for its guard account, dearer,
// while the first can still land. When all land, one pays, and what the others
// cost is in the books.
func TestGuardedPaymentIsOutbidAndPaidOnce(t *testing.T) {
	t.Parallel()
	w, net := onOwnSolana(t, guarded)
	net.Pause(t, true)
	id := w.accept(nil)
	w.send(id)
	if i := w.intent(id); i.Substatus != payment.AwaitingBlock {
		t.Fatalf("the payment is %s %s", i.Status, i.Substatus)
	}
	txs := w.outbid(id, 3)
	for i, tx := range txs[1:] {
		before, _ := txs[i].FeeCap.Uint64()
		if after, _ := tx.FeeCap.Uint64(); after < 2*before {
			t.Errorf("%s offers %d after %d, want twice as much", tx.Hash, after, before)
		}
	}
	if n := w.count("SELECT count(*) FROM transactions WHERE send_intent_at IS NULL"); n != 0 {
		t.Errorf("%d transactions left without being marked", n)
	}
	if i := w.intent(id); i.Status != payment.Submitted || i.Substatus != payment.FeeBumped {
		t.Errorf("the payment is %s %s, want it to say that it was outbid", i.Status, i.Substatus)
	}
	net.Pause(t, false)
	w.upkeep("the payment is settled", w.status(id, payment.Settled))
	w.everySlotIsFinal()
	w.paidOnce(id)
	if n := w.count("SELECT count(*) FROM transaction_results WHERE NOT succeeded"); n < 2 {
		t.Errorf("%d transactions have failed on the guard account, want the others", n)
	}
	w.changesNothing(id)
}

// What the first transaction's nodes have lost, another one pays. The first is
// known to be dead once it has expired.
func TestLostGuardedPaymentIsPaidByAnother(t *testing.T) {
	t.Parallel()
	w, net := onOwnSolana(t, guarded)
	net.Pause(t, true)
	id := w.accept(nil)
	w.send(id)
	txs := w.outbid(id, 2)
	net.DropPending(t)
	second := chains.StoredTx{Hash: txs[1].Hash, Raw: txs[1].Raw}
	if v := w.chain.Send(t.Context(), second); v.Acceptance != chains.Accepted {
		t.Fatalf("%+v", v)
	}
	net.Pause(t, false)
	w.upkeep("the payment is settled", w.status(id, payment.Settled))
	if i := w.intent(id); i.TxHash != second.Hash {
		t.Errorf("paid by %s, want %s", i.TxHash, second.Hash)
	}
	net.AdvanceSlots(t, 300+40)
	w.everySlotIsFinal()
	w.paidOnce(id)
}

// No transaction is signed that could land when the slot has ended, or that
// costs more than the chain's cap or the order allows.
func TestGuardedPaymentIsNotOutbidForEver(t *testing.T) {
	t.Parallel()
	t.Run("until the slot ends", func(t *testing.T) {
		t.Parallel()
		w, net := onOwnSolana(t, guarded)
		net.Pause(t, true)
		id := w.accept(nil)
		w.send(id)
		net.DropPending(t)
		net.AdvanceSlots(t, 155)
		w.eventually("a transaction of now would end too late", func() bool {
			_, err := w.chain.Sign(t.Context(), chains.Order{IntentID: id, Seq: 1, To: w.payee, Amount: payment.Units(amount),
				Lane: chains.Lane{Address: w.chain.Info().Lanes[0]}, Reuse: w.terms(id), Now: time.Now()})
			return errors.Is(err, chains.ErrSlotEnds)
		})
		w.eventually("the first was sent long ago", func() bool {
			return w.count("SELECT count(*) FROM transactions WHERE send_intent_at < clock_timestamp() - interval '200 ms'") == 1
		})
		if got := w.sweep(); got.Outbid != 0 || got.Slots != 1 {
			t.Errorf("swept %+v, want it to wait for the end of its slot", got)
		}
	})
	for name, change := range map[string]struct {
		chain func(*solana.Config)
		order func(*payment.Intent)
	}{
		"within the chain's cap": {func(c *solana.Config) { guarded(c); c.ComputeUnitPriceCap = 3000 }, nil},
		"within max_fee": {guarded, func(i *payment.Intent) {
			most := payment.Units(2_703_000) // 901,000 lamports: two signatures, the guard, and 120 for the price
			i.MaxFee = &most
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, net := onOwnSolana(t, change.chain)
			net.Pause(t, true)
			id := w.accept(change.order)
			w.send(id)
			w.upkeep("the cap is reached", func() bool { return w.intent(id).Substatus == payment.FeeCapped })
			before := w.count("SELECT count(*) FROM transactions")
			w.sweep()
			if n := w.count("SELECT count(*) FROM transactions"); n != before {
				t.Errorf("%d transactions were signed beyond the cap", n-before)
			}
			net.Pause(t, false)
			w.upkeep("the payment is settled", w.status(id, payment.Settled))
			w.everySlotIsFinal()
			w.paidOnce(id)
		})
	}
}

// terms are those of a payment's slot.
func (w *world) terms(id string) *chains.Slot {
	w.Helper()
	s := w.onlySlot(id)
	var height uint64
	var authorization []byte
	if err := w.sql.QueryRow(w.Context(), `SELECT expires_height, "authorization" FROM slots WHERE id = $1`, s.ID).Scan(&height, &authorization); err != nil {
		w.Fatal(err)
	}
	return &chains.Slot{Kind: chains.SlotGuard, Authority: s.Authority, Nonce: s.Nonce, ExpiresHeight: height, Authorization: authorization}
}

// A death that was concluded before another transaction was signed for the slot
// closes nothing: that one may pay.
func TestDeathNeedsEveryTransactionOfTheSlot(t *testing.T) {
	t.Parallel()
	w, net := onOwnSolana(t, guarded)
	net.Pause(t, true)
	id := w.accept(nil)
	w.send(id)
	w.outbid(id, 2)
	before := w.facts(id)
	for _, kind := range []chains.SightingKind{chains.Dead, chains.Reverted} {
		seen := chains.Sighting{Kind: kind, SlotDead: true, LookedFor: 1, TxHash: w.onlySlot(id).Transactions[0].Hash, Proof: []byte("{}")}
		w.settle(id, activities.Sighting{SlotID: w.onlySlot(id).ID, Sighting: seen})
	}
	if w.facts(id) != before {
		t.Error("the slot was closed, or the payment changed")
	}
	net.Pause(t, false)
	w.upkeep("the payment is settled", w.status(id, payment.Settled))
	w.paidOnce(id)
}

func early(c *solana.Config) { c.PaidEarlier.Below = "1000.00" }

// A payment that counted as paid at commitment confirmed, and whose block was
// abandoned, is sent again until it is final.
func TestPaymentTakenBackOnSolanaIsSentAgain(t *testing.T) {
	t.Parallel()
	w, net := onOwnSolana(t, early)
	id, paid := w.paidEarly(net)
	if got := w.usdc(w.payee); got != 0 {
		t.Fatalf("the payee has %d although the block is gone", got)
	}
	if w.count("SELECT count(*) FROM slots WHERE final_at IS NULL") != 1 {
		t.Error("the slot counts as final")
	}
	net.Pause(t, false)
	w.everySlotIsFinal()
	w.paidOnce(id)
	if n := w.count("SELECT count(*) FROM transactions"); n != 1 || w.intent(id).TxHash != paid {
		t.Errorf("%d transactions were signed, want the first one only", n)
	}
}

// If it can land no more, it is not paid again on its own: a person is told.
func TestPaymentTakenBackForGoodIsTold(t *testing.T) {
	t.Parallel()
	w, net := onOwnSolana(t, early)
	id, _ := w.paidEarly(net)
	net.AdvanceSlots(t, 150+40)
	w.upkeep("nothing can land any more", func() bool { return w.count("SELECT count(*) FROM slots WHERE final_at IS NULL") == 0 })
	w.sweep()
	log, err := w.store.AuditLog(t.Context(), id)
	told := slices.DeleteFunc(log, func(e db.AuditLog) bool { return e.Action != "outcome.contradicted" })
	if err != nil || len(told) != 1 {
		t.Errorf("audit log %+v (%v), want one entry that the payment is gone", log, err)
	}
	if i := w.intent(id); i.Status != payment.Settled {
		t.Errorf("the payment is %s, want what was said to stay", i.Status)
	}
	if n := w.count("SELECT count(*) FROM transactions"); n != 1 {
		t.Errorf("%d transactions were signed, want no other one", n)
	}
}

// paidEarly is a payment that is settled, and whose block was abandoned then.
func (w *world) paidEarly(net sandbox.Solana) (id, hash string) {
	w.Helper()
	net.Pause(w.T, true)
	id = w.accept(nil)
	w.send(id)
	net.Pause(w.T, false) // it lands
	net.Pause(w.T, true)
	net.AdvanceSlots(w.T, 3) // confirmed, and not finalized
	seen := w.await(id, chains.Paid)
	if !seen.Early {
		w.Fatalf("sighting %+v, want it to say that it is not final", seen)
	}
	w.settle(id, seen)
	w.paidOnce(id)
	for gone := false; !gone; { // block by block: that of its blockhash stays
		gone = slices.Contains(net.Fork(w.T, 2), seen.TxHash)
	}
	return id, seen.TxHash
}

package activities_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// expired is enough slots to end every blockhash, at finalized too.
const expired = 150 + 32 + 3

// The token refuses all transfers: a person is asked, the fee is booked, and the
// authorization stays open. After the reason is gone, a retry submits the same
// authorization again, which can pay only once.
func TestRevertedPaymentIsRetriedWithTheSameAuthorization(t *testing.T) {
	t.Parallel()
	node := sandbox.StartEthereum(t, 100*time.Millisecond)
	w := onEthereum(t, node)
	node.PauseToken(t, true)
	id := w.accept(nil)
	w.reserve(id)
	w.do(w.steps.Broadcast, id)

	reverted := w.await(id, chains.Reverted)
	s := w.settle(id, reverted)
	if s.ReviewReason != payment.ReviewChainRevert || !strings.Contains(s.ReviewDetail, "paused") || s.TxHash != "" {
		t.Fatalf("after Settle: %+v", s)
	}
	fee := "tx:" + reverted.TxHash + ":fee"
	if got := w.references(id); !slices.Contains(got, fee) {
		t.Errorf("ledger has %v, want %s", got, fee)
	}
	if s := w.review(id, payment.Reroute); !s.Waiting() || !strings.HasPrefix(s.ReviewDetail, "reroute refused") {
		t.Errorf("reroute without another destination: %+v", s)
	}
	w.booksClose()

	node.PauseToken(t, false)
	if s := w.review(id, payment.Retry); s.Waiting() {
		t.Fatalf("after retry: %+v", s)
	}
	w.oftenDo(w.steps.Screen, id)
	if s := w.oftenDo(w.steps.SelectRoute, id); s.Status != payment.Routed {
		t.Fatalf("after SelectRoute: %+v", s)
	}
	w.oftenDo(w.steps.ReserveNonce, id)
	slot := w.onlySlot(id)
	if len(slot.Transactions) != 2 || w.nonces() != 2 || slot.State != "live" {
		t.Fatalf("slot is %s with transactions %+v, %d nonces; want a live one with two", slot.State, slot.Transactions, w.nonces())
	}
	// The first failure, told once more by a step that comes late.
	before := w.facts(id)
	if s := w.settle(id, reverted); s.Status != payment.Routed || w.facts(id) != before {
		t.Errorf("an old sighting made it %+v", s)
	}

	w.oftenDo(w.steps.Broadcast, id)
	paid := w.await(id, chains.Paid)
	if paid.TxHash != slot.Transactions[1].Hash {
		t.Errorf("paid by %s, want the second transaction %s", paid.TxHash, slot.Transactions[1].Hash)
	}
	w.settle(id, paid)
	w.paidOnce(id)
	if got := w.references(id); len(got) != 3 || !slices.Contains(got, fee) { // hold, first fee, settlement
		t.Errorf("ledger has %v", got)
	}
	w.changesNothing(id)
}

// A transaction that the network lost is proven dead when its blockhash is
// gone, and only then another one is signed.
func TestExpiredBlockhashIsReplacedAfterItsDeathProof(t *testing.T) {
	t.Parallel()
	net := sandbox.StartSolana(t, 50*time.Millisecond)
	w := onSolana(t, net)
	id := w.accept(nil)
	w.reserve(id)
	net.DropNext(t, 1)
	w.do(w.steps.Broadcast, id)
	net.AdvanceSlots(t, expired)

	dead := w.await(id, chains.Dead)
	if s := w.settle(id, dead); s.Status != payment.Routed {
		t.Fatalf("after Settle: %+v", s)
	}
	first := w.onlySlot(id)
	if first.State != "dead" || first.Outcome == nil || first.Outcome.Result != "dead" || !strings.Contains(string(first.Outcome.Proof), first.Nonce) {
		t.Fatalf("slot is %s, outcome %+v; want dead with a proof that names its signature", first.State, first.Outcome)
	}
	w.booksClose()

	now := time.Now() // until here the blockhash in use may be an expired one
	w.eventually("the chain is observed again", func() bool {
		c, ok := w.chain.Conditions()
		return ok && c.ObservedAt.After(now)
	})
	w.oftenDo(w.steps.Screen, id)
	w.oftenDo(w.steps.SelectRoute, id)
	w.oftenDo(w.steps.ReserveNonce, id)
	attempts := w.attempts(id)
	if len(attempts) != 2 || attempts[1].Seq != 2 || len(attempts[1].Slots) != 1 {
		t.Fatalf("attempts %+v, want a second one with a slot", attempts)
	}
	// The death of the first slot, told once more by a step that comes late,
	// is not the death of the second: that one can pay.
	before := w.facts(id)
	if s := w.settle(id, dead); s.Status != payment.Routed || w.facts(id) != before {
		t.Errorf("an old sighting made it %+v", s)
	}

	w.oftenDo(w.steps.Broadcast, id)
	w.settle(id, w.await(id, chains.Paid))
	w.paidOnce(id)
	w.changesNothing(id)
}

// references lists the ledger transfers of an intent.
func (w *world) references(id string) (out []string) {
	w.Helper()
	transfers, err := w.store.IntentTransfers(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	for _, x := range transfers {
		out = append(out, x.Reference)
	}
	return out
}

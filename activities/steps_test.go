package activities_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Temporal runs a step at least once, and sometimes twice at the same time. On
// the whole way of a payment every step does so, and the payee is paid once.
func TestEveryStepMayRunOften(t *testing.T) {
	eachChain(t, func(t *testing.T, w *world) {
		id := w.accept(nil)
		chain := w.chain.Info().Name
		if s := w.oftenDo(w.steps.Screen, id); s.Status != payment.Created {
			t.Errorf("after Screen: %+v", s)
		}
		if s := w.oftenDo(w.steps.SelectRoute, id); s.Status != payment.Routed || s.Chain != chain {
			t.Errorf("after SelectRoute: %+v", s)
		}
		if s := w.oftenDo(w.steps.ReserveNonce, id); s.Status != payment.Routed {
			t.Errorf("after ReserveNonce: %+v", s)
		}
		slot := w.onlySlot(id)
		if len(slot.Transactions) != 1 || slot.Transactions[0].SendIntentAt != nil {
			t.Errorf("transactions %+v, want one that was never sent", slot.Transactions)
		}
		if got, want := w.nonces(), map[bool]int{true: 1, false: 0}[w.chain.Info().LaneNonces]; got != want {
			t.Errorf("%d lane nonces were taken, want %d", got, want)
		}
		if got := w.usdc(w.payee); got != 0 {
			t.Errorf("the payee has %d before anything was sent", got)
		}

		if s := w.oftenDo(w.steps.Broadcast, id); s.Status != payment.Submitted || s.Substatus != payment.AwaitingBlock {
			t.Errorf("after Broadcast: %+v", s)
		}
		if tx := w.onlySlot(id).Transactions[0]; tx.SendIntentAt == nil || tx.LastSentAt == nil {
			t.Errorf("sent, and not noted: %+v", tx)
		}
		seen := w.await(id, chains.Paid)
		if seen.TxHash != slot.Transactions[0].Hash {
			t.Errorf("paid by %s, signed %s", seen.TxHash, slot.Transactions[0].Hash)
		}
		if s := w.settle(id, seen); s.Status != payment.Settled || s.TxHash != seen.TxHash {
			t.Errorf("after Settle: %+v", s)
		}
		w.paidOnce(id)
		w.changesNothing(id)
	})
}

// A terminal intent is left alone by every step.
func TestStepsLeaveAnEndedIntentAlone(t *testing.T) {
	t.Parallel()
	w := onEthereum(t, sandbox.Start(t).Ethereum(t))
	for _, status := range []payment.Status{payment.Failed, payment.Canceled, payment.Expired, payment.Rejected} {
		id := w.accept(nil)
		storetest.End(t, w.store, id, status)
		w.changesNothing(id)
	}
}

// The deadline counts until something is signed, at whichever step that is.
func TestDeadlineExpiresWhatWasNotSigned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	past := time.Now().Add(-time.Minute)
	for name, c := range map[string]struct {
		step   func(context.Context, activities.Ref) (activities.State, error)
		before []payment.Status
	}{
		"Screen":       {w.steps.Screen, nil},
		"SelectRoute":  {w.steps.SelectRoute, nil},
		"ReserveNonce": {w.steps.ReserveNonce, []payment.Status{payment.Routed}},
	} {
		id := w.accept(func(i *payment.Intent) { i.Deadline = &past })
		storetest.Advance(t, w.store, id, c.before...)
		if s := w.oftenDo(c.step, id); s.Status != payment.Expired {
			t.Errorf("%s: %+v", name, s)
		}
		w.ended(id, payment.Expired, "deadline_passed")
	}
}

// What is signed can land, whatever the merchant's deadline says.
func TestDeadlineDoesNotStopWhatWasSigned(t *testing.T) {
	eachChain(t, func(t *testing.T, w *world) {
		soon := time.Now().Add(4 * time.Second)
		id := w.accept(func(i *payment.Intent) { i.Deadline = &soon })
		w.reserve(id)
		w.eventually("the deadline passes", func() bool { return time.Now().After(soon) })
		if s := w.oftenDo(w.steps.ReserveNonce, id); s.Status != payment.Routed {
			t.Errorf("after ReserveNonce: %+v", s)
		}
		w.do(w.steps.Broadcast, id)
		w.settle(id, w.await(id, chains.Paid))
		w.paidOnce(id)
	})
}

// The upkeep may find a slot dead while the payment's workflow is between
// choosing the route and signing: the workflow must go round, not stop there.
func TestReserveGoesOnWithoutARoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.accept(nil)
	storetest.Advance(t, w.store, id, payment.Routed)
	storetest.Tx(t, w.store, func(ctx context.Context, tx *store.Tx) error {
		slot, err := storetest.OpenSlot(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := tx.InsertOutcome(ctx, db.InsertOutcomeParams{SlotID: slot, IntentID: id, Result: "dead", Chain: string(storetest.Chain),
			Proof: json.RawMessage(`{"kind": "dead"}`), EffectiveAt: time.Now()}); err != nil {
			return err
		}
		return tx.CloseSlot(ctx, db.CloseSlotParams{ID: slot, State: "dead"})
	})
	for _, step := range []func(context.Context, activities.Ref) (activities.State, error){w.steps.ReserveNonce, w.steps.Broadcast} {
		if s := w.oftenDo(step, id); s.Status != payment.Routed {
			t.Errorf("without a route: %+v", s)
		}
	}
	if seen, err := w.steps.AwaitConfirmation(t.Context(), activities.Ref{IntentID: id}); err != nil || seen.SlotID != "" {
		t.Errorf("waits for nothing: %+v, %v", seen, err)
	}
	if s := w.settle(id, activities.Sighting{}); s.Status != payment.Routed {
		t.Errorf("after Settle: %+v", s)
	}
}

func TestBlockedAddressIsRejected(t *testing.T) {
	t.Parallel()
	for _, chain := range []payment.Chain{"ethereum", store.EveryChain} {
		w := newWorld(t)
		storetest.Tx(t, w.store, func(ctx context.Context, tx *store.Tx) error {
			return tx.BlockAddress(ctx, chain, w.payee, "sanctioned")
		})
		id := w.accept(nil)
		if s := w.oftenDo(w.steps.Screen, id); s.Status != payment.Rejected {
			t.Errorf("blocked on %q: %+v", chain, s)
		}
		w.ended(id, payment.Rejected, "address_blocked")
		if f := w.intent(id).Failure; !strings.Contains(f.Message, "sanctioned") {
			t.Errorf("failure %+v does not say why", f)
		}
	}
}

func TestNoRouteAsksAPerson(t *testing.T) {
	t.Parallel()
	w := onEthereum(t, sandbox.Start(t).Ethereum(t))
	little := payment.Units(1)
	id := w.accept(func(i *payment.Intent) { i.MaxFee = &little })
	w.do(w.steps.Screen, id)
	for range 2 { // a retry finds it as it was
		s := w.oftenDo(w.steps.SelectRoute, id)
		if s.Status != payment.ManualReview || s.ReviewReason != payment.ReviewNoRoute || !strings.Contains(s.ReviewDetail, "fee_above_max") {
			t.Fatalf("after SelectRoute: %+v", s)
		}
		if s := w.review(id, payment.Retry); s.Waiting() {
			t.Fatalf("after retry: %+v", s)
		}
	}
	w.do(w.steps.SelectRoute, id)
	if a := w.attempts(id); len(a) != 0 {
		t.Errorf("attempts %+v, want none", a)
	}
	w.review(id, payment.CancelAction)
	w.ended(id, payment.Canceled, "canceled_by_reviewer")
}

func TestUnobservedChainIsNoRoute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.accept(nil)
	if s := w.oftenDo(w.steps.SelectRoute, id); s.ReviewReason != payment.ReviewNoRoute || !strings.Contains(s.ReviewDetail, "not_observed") {
		t.Errorf("after SelectRoute: %+v", s)
	}
}

// rich is a merchant whose payments above half the amount need a person.
func (w *world) rich() {
	w.Helper()
	storetest.Tx(w, w.store, func(ctx context.Context, tx *store.Tx) (err error) {
		limit := payment.Units(amount / 2)
		w.merchant, err = tx.CreateMerchant(ctx, store.Merchant{Name: "Careful", ReviewAbove: &limit})
		return err
	})
	storetest.Deposit(w, w.store, w.merchant.ID, payment.Live, balance)
}

func TestReviewAboveTheLimit(t *testing.T) {
	t.Parallel()
	w := onEthereum(t, sandbox.Start(t).Ethereum(t))
	w.rich()
	audited := func(id string) (actions []string) {
		log, err := w.store.AuditLog(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range log {
			actions = append(actions, e.Action)
		}
		return actions
	}
	park := func() string {
		id := w.accept(nil)
		if s := w.oftenDo(w.steps.Screen, id); s.ReviewReason != payment.ReviewPolicy {
			t.Fatalf("after Screen: %+v", s)
		}
		for _, step := range []func(context.Context, activities.Ref) (activities.State, error){w.steps.SelectRoute, w.steps.ReserveNonce, w.steps.Broadcast} {
			if s := w.oftenDo(step, id); !s.Waiting() {
				t.Errorf("a step went on without the reviewer: %+v", s)
			}
		}
		return id
	}

	rejected := park()
	bad := activities.ReviewInput{IntentID: rejected, Review: payment.Review{Action: "aprove", Actor: "ops@example.com", Reason: "typo"}}
	s := often(w, rejected, func() (activities.State, error) { return w.steps.Review(t.Context(), bad) })
	if !s.Waiting() || !strings.Contains(s.ReviewDetail, "not understood") {
		t.Errorf("after a decision with a typo: %+v", s)
	}
	if s := w.review(rejected, payment.Retry); !s.Waiting() || !strings.Contains(s.ReviewDetail, "approve or reject") {
		t.Errorf("after retry: %+v", s)
	}
	w.review(rejected, payment.Reject)
	w.ended(rejected, payment.Rejected, "rejected_by_reviewer")
	if got, want := audited(rejected), []string{"review.retry", "review.reject"}; !slices.Equal(got, want) {
		t.Errorf("audit log %v, want %v", got, want)
	}

	approved := park()
	if s := w.review(approved, payment.Approve); s.Waiting() || s.Status != payment.ManualReview {
		t.Errorf("after approve: %+v", s)
	}
	if s := w.oftenDo(w.steps.Screen, approved); s.Waiting() {
		t.Errorf("asked again after approval: %+v", s)
	}
	if s := w.oftenDo(w.steps.SelectRoute, approved); s.Status != payment.Routed {
		t.Errorf("after SelectRoute: %+v", s)
	}
	if got, want := audited(approved), []string{"review.approve"}; !slices.Equal(got, want) {
		t.Errorf("audit log %v, want %v", got, want)
	}
	w.booksClose()
}

// changesNothing runs every step on an ended intent.
func (w *world) changesNothing(id string) {
	w.Helper()
	before, status := w.facts(id), w.intent(id).Status
	for name, step := range map[string]func(context.Context, activities.Ref) (activities.State, error){
		"Screen": w.steps.Screen, "SelectRoute": w.steps.SelectRoute, "ReserveNonce": w.steps.ReserveNonce,
		"Broadcast": w.steps.Broadcast, "Look": w.steps.Look,
	} {
		if s := w.do(step, id); s.Status != status {
			w.Errorf("%s of a %s intent: %+v", name, status, s)
		}
	}
	for _, kind := range []chains.SightingKind{chains.Paid, chains.Reverted, chains.Dead} {
		seen := activities.Sighting{SlotID: "slot_any", Sighting: chains.Sighting{Kind: kind, TxHash: "0x1", Proof: json.RawMessage("{}")}}
		if s := w.settle(id, seen); s.Status != status {
			w.Errorf("Settle of a %s intent: %+v", status, s)
		}
	}
	for _, action := range []payment.ReviewAction{payment.Approve, payment.Reject, payment.Retry, payment.CancelAction} {
		if s := w.review(id, action); s.Status != status {
			w.Errorf("%s of a %s intent: %+v", action, status, s)
		}
	}
	if seen, err := w.steps.AwaitConfirmation(w.Context(), activities.Ref{IntentID: id}); err != nil || seen.Kind != "" {
		w.Errorf("AwaitConfirmation of a %s intent: %+v, %v", status, seen, err)
	}
	if after := w.facts(id); after != before {
		w.Errorf("steps changed a %s intent from\n%s\nto\n%s", status, before, after)
	}
}

// nonces is how many the lanes have given out.
func (w *world) nonces() (n int) {
	w.Helper()
	if err := w.sql.QueryRow(w.Context(), "SELECT count(*) FROM lane_nonces").Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

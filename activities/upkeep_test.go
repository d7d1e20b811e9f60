package activities_test

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/treasury"
)

// lane is a world on an Ethereum node of its own with one lane, where upkeep
// acts at once and never waits.
type lane struct {
	*world
	node *sandbox.EthereumNode
	keys sandbox.EthereumWallets
}

func onLane(t *testing.T, change func(*evm.Config)) *lane {
	t.Helper()
	w := newWorld(t)
	w.steps.SweepAfter, w.steps.AuthorizationValidity = time.Millisecond, time.Hour
	node := sandbox.StartEthereum(t, 100*time.Millisecond)
	l := &lane{world: w, node: node, keys: node.NewWallets(t, 1)}
	w.openEthereum(node, l.keys, func(c *evm.Config) {
		c.ResendAfterMS, c.BumpAfterMS = 1, 1
		if change != nil {
			change(c)
		}
	})
	return l
}

// send takes an accepted payment to where its bytes have left.
func (w *world) send(id string) {
	w.Helper()
	w.reserve(id)
	w.do(w.steps.Broadcast, id)
}

func (w *world) sweep() activities.Swept {
	w.Helper()
	out, err := w.steps.SweepSlots(w.Context(), activities.ChainRef{Chain: w.chain.Info().Name})
	if err != nil {
		w.Fatal(err)
	}
	return out
}

func (w *world) tend() activities.Tended {
	w.Helper()
	out, err := w.steps.TendLanes(w.Context(), activities.ChainRef{Chain: w.chain.Info().Name})
	if err != nil {
		w.Fatal(err)
	}
	return out
}

// upkeep tends and sweeps until done.
func (w *world) upkeep(what string, done func() bool) {
	w.Helper()
	w.eventually(what, func() bool {
		w.tend()
		w.sweep()
		return done()
	})
}

func (w *world) status(id string, want payment.Status) func() bool {
	return func() bool { return w.intent(id).Status == want }
}

func (w *world) count(query string, args ...any) (n int) {
	w.Helper()
	if err := w.sql.QueryRow(w.Context(), query, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// everyNonceIsFinal waits until every nonce is used for good and its fee is booked.
func (l *lane) everyNonceIsFinal() {
	l.Helper()
	l.upkeep("every nonce is used for good", func() bool { return l.count("SELECT count(*) FROM lane_nonces WHERE final_at IS NULL") == 0 })
	unbooked := l.count(`SELECT count(*) FROM transaction_results r JOIN transactions t ON t.id = r.transaction_id
		WHERE NOT EXISTS (SELECT 1 FROM ledger_transfers x WHERE x.reference = 'tx:' || t.hash || ':fee')
		  AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.tx_hash = t.hash AND o.result = 'paid')`)
	if unbooked != 0 {
		l.Errorf("%d transactions have no fee in the books", unbooked)
	}
	l.booksClose()
}

func (l *lane) state() (state, reason string) {
	l.Helper()
	if err := l.sql.QueryRow(l.Context(), "SELECT state, reason FROM lanes WHERE address = $1", l.keys.Lanes[0]).Scan(&state, &reason); err != nil {
		l.Fatal(err)
	}
	return state, reason
}

func (l *lane) audited() (actions []string) {
	l.Helper()
	log, err := l.store.AuditLog(l.Context(), "ethereum:"+l.keys.Lanes[0])
	if err != nil {
		l.Fatal(err)
	}
	for _, e := range log {
		actions = append(actions, e.Action)
	}
	return actions
}

// Nobody waits for the payment: its workflow was terminated after Broadcast.
// The upkeep settles it, as often as it runs.
func TestSweepSettlesWhatNobodyWaitsFor(t *testing.T) {
	eachChain(t, func(t *testing.T, w *world) {
		w.steps.SweepAfter = time.Millisecond
		id := w.accept(nil)
		w.send(id)
		w.upkeep("the payment is settled", w.status(id, payment.Settled))
		before := w.facts(id)
		w.sweep()
		w.tend()
		if w.facts(id) != before {
			t.Error("another round changed a settled payment")
		}
		w.paidOnce(id)
		w.changesNothing(id)
	})
}

// A payment in review is watched: what the chain says ends the review.
func TestStalledPaymentIsAskedAboutAndStillPaid(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	l.steps.StalledAfter = 100 * time.Millisecond
	l.node.Pause(t)
	id := l.accept(nil)
	l.send(id)
	seen := l.await(id, chains.Unseen)
	if s := l.settle(id, seen); s.ReviewReason != payment.ReviewStalled {
		t.Fatalf("after a long wait: %+v", s)
	}
	if got := l.sweep(); got.Slots != 1 || len(got.Decided) != 0 {
		t.Errorf("swept %+v, want one slot and no decision", got)
	}
	l.node.Resume(t)
	var decided []string
	l.eventually("the sweep settles it", func() bool {
		decided = append(decided, l.sweep().Decided...)
		return l.intent(id).Status == payment.Settled
	})
	if !slices.Equal(decided, []string{id}) {
		t.Errorf("decided %v, want %s", decided, id)
	}
	l.paidOnce(id)
}

// A transaction that no block takes is outbid under its nonce until one does.
func TestBumpGetsAStuckPaymentIn(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	l.node.SetGasTip(t, 2_000_000_000)
	id := l.accept(nil)
	l.send(id)
	l.upkeep("it is outbid", func() bool { return l.intent(id).Substatus == payment.FeeBumped })
	l.upkeep("the payment is settled", l.status(id, payment.Settled))
	l.paidOnce(id)
	if n := l.count("SELECT count(*) FROM lane_nonces"); n != 1 {
		t.Errorf("%d nonces were used, want one", n)
	}
	if n := l.count("SELECT count(*) FROM transactions WHERE send_intent_at IS NULL"); n != 0 {
		t.Errorf("%d transactions left without being marked", n)
	}
	l.everyNonceIsFinal()
}

// A cap keeps a payment waiting, visibly and without end; its bytes are sent
// again.
func TestCapKeepsAPaymentWaiting(t *testing.T) {
	t.Parallel()
	l := onLane(t, func(c *evm.Config) { c.MaxFeeGwei = 3 })
	l.node.SetGasTip(t, 50_000_000_000)
	id := l.accept(nil)
	l.send(id)
	l.upkeep("the cap is reached", func() bool { return l.intent(id).Substatus == payment.FeeCapped })
	version := l.intent(id).Version
	if got := l.tend(); got.Replaced != 0 || got.Resent != 1 {
		t.Errorf("tended %+v, want one transaction sent again", got)
	}
	if got := l.intent(id); got.Version != version || got.Status != payment.Submitted {
		t.Errorf("the payment is %s at version %d, want it to wait at %d", got.Status, got.Version, version)
	}
}

// A slot that died leaves no hole: its nonce is filled, and what waits behind
// it is paid.
func TestNonceOfADeadSlotIsFilled(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	l.steps.AuthorizationValidity = 2 * time.Second
	first := l.accept(nil)
	l.reserve(first) // never sent
	l.node.AdvanceTo(t, time.Now().Add(4*time.Second))
	l.settle(first, l.await(first, chains.Dead))

	l.steps.AuthorizationValidity = time.Hour
	second := l.accept(func(i *payment.Intent) { i.Destinations[0].Address = sandbox.NewEthereumAddress(t) })
	now := time.Now()
	l.eventually("the chain is observed again", func() bool {
		c, ok := l.chain.Conditions()
		return ok && c.ObservedAt.After(now)
	})
	l.send(second)
	l.upkeep("what waited behind is settled", l.status(second, payment.Settled))
	if n := l.count("SELECT count(*) FROM transactions WHERE purpose = 'gapfill'"); n == 0 {
		t.Error("nothing was filled")
	}
	l.everyNonceIsFinal()
}

// Somebody else uses the key while the worker runs.
func TestForeignTransactionFreezesTheLane(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	l.foreign(0)
	l.eventually("the lane is frozen", func() bool {
		l.tend()
		state, _ := l.state()
		return state == "frozen"
	})
	if _, reason := l.state(); !strings.Contains(reason, "not ours") {
		t.Errorf("reason %q", reason)
	}
	if got := l.audited(); !slices.Equal(got, []string{"lane.freeze"}) {
		t.Errorf("audit log %v", got)
	}
	if got := l.tend(); got.Lanes != 0 {
		t.Errorf("a frozen lane was tended: %+v", got)
	}
}

// Somebody else uses a nonce that we gave out.
func TestForeignUseOfOurNonceFreezesTheLane(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	id := l.accept(nil)
	l.reserve(id)
	l.foreign(0)
	l.eventually("the lane is frozen", func() bool {
		l.tend()
		state, _ := l.state()
		return state == "frozen"
	})
	if _, reason := l.state(); !strings.Contains(reason, "nonce 0 was used by transaction 0x") {
		t.Errorf("reason %q", reason)
	}
	if l.intent(id).Status.Terminal() {
		t.Error("the payment ended without a proof")
	}
}

// foreign signs and sends a transfer of nothing with the lane's key.
func (l *lane) foreign(nonce uint64) {
	l.Helper()
	signed, err := l.chain.(chains.Laner).Fill(l.Context(), chains.Lane{Address: l.keys.Lanes[0], Nonce: nonce}, nil)
	if err != nil {
		l.Fatal(err)
	}
	if v := l.chain.Send(l.Context(), chains.StoredTx{Hash: signed.Hash, Raw: signed.Raw}); v.Acceptance != chains.Accepted {
		l.Fatalf("verdict %+v", v)
	}
}

// A lane without native coin is given nothing more to do, and goes on when it
// is topped up.
func TestLaneOutOfGasPausesAndRecovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	node := sandbox.StartEthereum(t, 100*time.Millisecond)
	keys := node.NewWallets(t, 0)
	keys.Lanes = []string{keys.New(t)}
	l := &lane{world: w, node: node, keys: keys}
	w.steps.SweepAfter = time.Millisecond
	w.openEthereum(node, keys, func(c *evm.Config) { c.ResendAfterMS, c.BumpAfterMS = 1, 1 })

	id := w.accept(nil)
	w.send(id)
	w.tend()
	if state, reason := l.state(); state != "paused" || !strings.Contains(reason, "out of gas") {
		t.Errorf("the lane is %s, %q", state, reason)
	}
	if got := w.intent(id); got.Substatus != payment.AwaitingGas {
		t.Errorf("the payment is %s %s", got.Status, got.Substatus)
	}
	ether, _ := new(big.Int).SetString("1000000000000000000", 10)
	node.Fund(t, keys.Lanes[0], ether, 0)
	w.upkeep("the payment is settled", w.status(id, payment.Settled))
	if state, _ := l.state(); state != "active" {
		t.Errorf("the lane is %s", state)
	}
	if got := l.audited(); !slices.Equal(got, []string{"lane.pause", "lane.resume"}) {
		t.Errorf("audit log %v", got)
	}
	w.paidOnce(id)
}

// parked is a payment in review that no block takes.
func (l *lane) parked(change func(*payment.Intent)) string {
	l.Helper()
	l.node.Pause(l.T)
	id := l.accept(change)
	l.send(id)
	l.steps.StalledAfter = time.Millisecond
	l.settle(id, l.await(id, chains.Unseen))
	l.steps.StalledAfter = 0
	return id
}

// A payment that may still land is canceled by making it impossible.
func TestFenceCancelsAPayment(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	id := l.parked(nil)
	l.node.DropPool(t)
	if s := l.review(id, payment.CancelAction); !s.Waiting() || s.Substatus != payment.Fencing || !strings.Contains(s.ReviewDetail, "cancel under way") {
		t.Fatalf("after cancel: %+v", s)
	}
	if s := l.review(id, payment.Retry); !s.Waiting() {
		t.Errorf("after a change of mind: %+v", s)
	}
	l.tend()
	l.node.Resume(t)
	l.upkeep("the payment is canceled", l.status(id, payment.Canceled))
	if f := l.intent(id).Failure; f == nil || f.Code != "canceled_by_reviewer" || !slices.Contains(l.phases(id), "void") {
		t.Errorf("failure %+v, ledger %v", f, l.phases(id))
	}
	if got := l.usdc(l.payee); got != 0 {
		t.Errorf("the payee has %d", got)
	}
	l.everyNonceIsFinal()
}

// The payment was in a block before its cancellation: it is paid, and the
// reviewer reads that it was too late.
func TestPaidWinsOverTheFence(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	id := l.parked(nil)
	l.node.Resume(t)
	l.eventually("the payee is paid", func() bool { return l.usdc(l.payee) == amount })
	l.review(id, payment.CancelAction)
	l.upkeep("the payment is settled", l.status(id, payment.Settled))
	l.paidOnce(id)
	log, err := l.store.AuditLog(t.Context(), id)
	if err != nil || !slices.ContainsFunc(log, func(e db.AuditLog) bool { return e.Action == "fence.too_late" }) {
		t.Errorf("audit log %+v (%v)", log, err)
	}
	l.everyNonceIsFinal()
}

// The chain refuses the payee for good, and there is no other way.
func TestRefusedPayeeFails(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	l.node.Blacklist(t, l.payee, true)
	id := l.accept(nil)
	l.send(id)
	l.upkeep("the payment has failed", l.status(id, payment.Failed))
	if f := l.intent(id).Failure; f == nil || f.Code != "payee_refused" {
		t.Errorf("failure %+v", f)
	}
	if got := l.phases(id); !slices.Contains(got, "void") {
		t.Errorf("ledger has %v, want the hold to be given back", got)
	}
	l.everyNonceIsFinal()
}

// One chain refuses the payee; the payment is made on the other, once.
func TestRefusedPayeeIsPaidElsewhere(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	net := sandbox.Start(t).Descriptor.Solana
	l.node.Blacklist(t, l.payee, true)
	owner := sandbox.NewSolanaAddress(t)
	id := l.accept(func(i *payment.Intent) {
		i.Destinations = append(i.Destinations, payment.Destination{Chain: "solana", Address: owner})
	})
	l.send(id)
	ethereum := l.chain
	l.openSolana(net, nil)
	l.chain = ethereum
	l.upkeep("the payment is routed anew", l.status(id, payment.Routed))
	l.do(l.steps.SelectRoute, id)
	if i := l.intent(id); i.Chain != "solana" || i.Status != payment.Routed {
		t.Fatalf("the payment is %s on %s", i.Status, i.Chain)
	}
	l.do(l.steps.ReserveNonce, id)
	l.do(l.steps.Broadcast, id)
	l.settle(id, l.await(id, chains.Paid))
	if got, on := net.USDC(t, owner), l.usdc(l.payee); got != amount || on != 0 {
		t.Errorf("the payee has %d on solana and %d on ethereum", got, on)
	}
	if i := l.intent(id); i.Status != payment.Settled {
		t.Errorf("the payment is %s", i.Status)
	}
	l.everyNonceIsFinal()
}

// Who took a lane over keeps out who had it before.
func TestLeaseTakenOverFencesTheOldOwner(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	name := treasury.Lane{Chain: "ethereum", Address: l.keys.Lanes[0]}
	old, ok, err := treasury.TakeLease(t.Context(), l.store, name, "old")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if got := l.tend(); got.Lanes != 0 {
		t.Errorf("a lane that another worker tends was tended: %+v", got)
	}
	if _, err := l.sql.Exec(t.Context(), "UPDATE lanes SET lease_until = clock_timestamp()"); err != nil {
		t.Fatal(err)
	}
	if got := l.tend(); got.Lanes != 1 {
		t.Errorf("tended %+v, want the lane that nobody holds", got)
	}
	err = l.store.Tx(t.Context(), old.Hold)
	if !errors.Is(err, treasury.ErrLeaseLost) {
		t.Errorf("the old owner writes: %v", err)
	}
}

// What a payment may cost at most is what its merchant allows, at the
// configured price of the native coin.
func TestMaxFeeBoundsTheTransaction(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	allowed := payment.Units(900_000) // 0.9 USDC are 0.0003 ether at 3000
	id := l.accept(func(i *payment.Intent) { i.MaxFee = &allowed })
	l.reserve(id)
	if got, most := l.onlySlot(id).Transactions[0].MaxFee, payment.Units(300_000_000_000_000); got.Cmp(most) > 0 || got.IsZero() {
		t.Errorf("the transaction may cost %s wei, want at most %s", got, most)
	}
	l.do(l.steps.Broadcast, id)
	l.upkeep("the payment is settled", l.status(id, payment.Settled))
}

// With plain transfers the lane's nonce is the slot: the fence takes its place.
func TestFenceTakesThePlaceOfATransfer(t *testing.T) {
	t.Parallel()
	l := onTransfers(t)
	first := l.parked(nil)
	second := l.accept(func(i *payment.Intent) { i.Destinations[0].Address = sandbox.NewEthereumAddress(t) })
	l.send(second)
	l.review(first, payment.CancelAction)
	if got := l.tend(); got.Replaced == 0 {
		t.Errorf("tended %+v, want the payment to be replaced", got)
	}
	l.node.Resume(t)
	l.upkeep("the payment is canceled", l.status(first, payment.Canceled))
	l.upkeep("what waited behind is settled", l.status(second, payment.Settled))
	if got := l.usdc(l.payee); got != 0 {
		t.Errorf("the payee has %d", got)
	}
	l.everyNonceIsFinal()
}

func TestBumpGetsAStuckTransferIn(t *testing.T) {
	t.Parallel()
	l := onTransfers(t)
	l.node.SetGasTip(t, 2_000_000_000)
	id := l.accept(nil)
	l.send(id)
	l.upkeep("it is outbid", func() bool { return l.intent(id).Substatus == payment.FeeBumped })
	l.upkeep("the payment is settled", l.status(id, payment.Settled))
	l.paidOnce(id)
	l.everyNonceIsFinal()
}

// onTransfers is onLane for a token without authorizations: the lane holds the
// money.
func onTransfers(t *testing.T) *lane {
	t.Helper()
	w := newWorld(t)
	w.steps.SweepAfter = time.Millisecond
	node := sandbox.StartEthereum(t, 100*time.Millisecond)
	keys := node.NewWallets(t, 0)
	keys.Lanes = []string{keys.Treasury}
	ether, _ := new(big.Int).SetString("1000000000000000000", 10)
	node.Fund(t, keys.Treasury, ether, 0)
	w.openEthereum(node, keys, func(c *evm.Config) { c.Method, c.ResendAfterMS, c.BumpAfterMS = evm.MethodTransfer, 1, 1 })
	return &lane{world: w, node: node, keys: keys}
}

// A payment that counted as paid before finality, and that a reorg took back,
// is sent again until its own bytes have used its nonce again.
func TestPaymentTakenBackAfterItWasPaidIsSentAgain(t *testing.T) {
	t.Parallel()
	l := onLane(t, func(c *evm.Config) { c.PaidEarlier = []evm.Earlier{{Below: "1000.00", Blocks: 1}} })
	l.node.Pause(t)
	id := l.accept(nil)
	l.send(id)
	l.node.Mine(t, 2)
	l.settle(id, l.await(id, chains.Paid))
	l.paidOnce(id)
	l.node.Reorg(t, 2, false)
	l.node.DropPool(t)
	if got := l.usdc(l.payee); got != 0 {
		t.Fatalf("the payee has %d after the reorg", got)
	}
	l.node.Resume(t)
	l.everyNonceIsFinal()
	l.paidOnce(id)
	if n := l.count("SELECT count(*) FROM transactions"); n != 1 {
		t.Errorf("%d transactions were signed, want the first one only", n)
	}
}

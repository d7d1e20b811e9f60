package activities_test

import (
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/faultproxy"
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

// upkeep tends and sweeps until done. A round that finds too few nodes is
// followed by another, as by the schedule.
func (w *world) upkeep(what string, done func() bool) {
	w.Helper()
	ref := activities.ChainRef{Chain: w.chain.Info().Name}
	w.eventually(what, func() bool {
		_, tended := w.steps.TendLanes(w.Context(), ref)
		_, swept := w.steps.SweepSlots(w.Context(), ref)
		if err := errors.Join(tended, swept); err != nil && !errors.Is(err, chains.ErrUnknown) {
			w.Fatal(err)
		}
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

// A node that does not know our network refuses a payment for good: its lane is
// given nothing more to do until a person has looked. The payment waits, and its
// bytes are good once the node is.
func TestRefusalForGoodFreezesTheLane(t *testing.T) {
	t.Parallel()
	var node *faultproxy.Proxy
	l := onLane(t, func(c *evm.Config) {
		node = faultproxy.Start(t, c.RPCURLs[0])
		c.RPCURLs = []string{node.URL}
	})
	node.Add(faultproxy.Fault{Kind: faultproxy.Refused, Method: faultproxy.EthereumSend})
	id := l.accept(nil)
	l.send(id)
	if state, reason := l.state(); state != "frozen" || !strings.Contains(reason, "invalid chain id") {
		t.Errorf("the lane is %s, %q", state, reason)
	}
	if got := l.audited(); !slices.Equal(got, []string{"lane.freeze"}) {
		t.Errorf("audit log %v", got)
	}
	second := l.accept(nil)
	l.do(l.steps.Screen, second)
	l.do(l.steps.SelectRoute, second)
	if _, err := l.steps.ReserveNonce(t.Context(), activities.Ref{IntentID: second}); !errors.Is(err, activities.ErrLanesBusy) {
		t.Errorf("another payment was given a nonce of the frozen lane: %v", err)
	}
	if got := l.tend(); got.Lanes != 0 {
		t.Errorf("a frozen lane was tended: %+v", got)
	}
	if i := l.intent(id); i.Status != payment.Submitted {
		t.Errorf("the payment is %s, want it to wait", i.Status)
	}

	node.Clear()
	l.eventually("the payment is settled", func() bool {
		l.sweep()
		return l.intent(id).Status == payment.Settled
	})
	l.paidOnce(id)
	if state, _ := l.state(); state != "frozen" {
		t.Errorf("the lane is %s, and nobody has looked", state)
	}
}

// No node answers for a while: the payment says so, and says no more of it when
// the nodes are back.
func TestPaymentSaysThatItsChainIsOutOfSight(t *testing.T) {
	t.Parallel()
	var nodes []*faultproxy.Proxy
	l := onLane(t, func(c *evm.Config) {
		for range 2 {
			nodes = append(nodes, faultproxy.Start(t, c.RPCURLs[0]))
		}
		c.RPCURLs, c.RPCRestMS = []string{nodes[0].URL, nodes[1].URL}, 200
	})
	l.steps.DegradedAfter = 8 * time.Second // well above the two seconds in which a desk looks once
	l.node.Pause(t)
	id := l.accept(nil)
	l.send(id)
	l.sweep()
	if i := l.intent(id); i.Substatus != payment.AwaitingBlock {
		t.Fatalf("the payment is %s %s before anything is wrong", i.Status, i.Substatus)
	}
	for _, n := range nodes {
		n.Add(faultproxy.Fault{Kind: faultproxy.HangUp})
	}
	l.blind("the payment says that its chain is out of sight", id, payment.RPCDegraded)
	version := l.intent(id).Version
	for _, n := range nodes {
		n.Clear()
	}
	l.blind("the payment waits for a block again", id, payment.AwaitingBlock)
	if i := l.intent(id); i.Version != version+1 || i.Status != payment.Submitted {
		t.Errorf("the payment is %s at version %d, want one change after %d", i.Status, i.Version, version)
	}
	l.node.Resume(t)
	l.upkeep("the payment is settled", l.status(id, payment.Settled))
	l.paidOnce(id)
}

// blind sweeps until the payment has a substatus, whether the nodes answer or not.
func (l *lane) blind(what, id string, want payment.Substatus) {
	l.Helper()
	l.eventually(what, func() bool {
		_, _ = l.steps.SweepSlots(l.Context(), activities.ChainRef{Chain: "ethereum"}) // fails while nobody answers
		return l.intent(id).Substatus == want
	})
}

// queue is payments on one lane that no block takes, in the order of their nonces.
func (l *lane) queue(n int) (ids []string) {
	l.Helper()
	l.node.Pause(l.T)
	for range n {
		id := l.accept(func(i *payment.Intent) { i.Destinations[0].Address = sandbox.NewEthereumAddress(l.T) })
		l.send(id)
		ids = append(ids, id)
	}
	return ids
}

// replaced lists the nonces under which something was signed in place of what was
// signed first, in the order in which that was done.
func (l *lane) replaced() []int64 {
	l.Helper()
	rows, err := l.sql.Query(l.Context(), `SELECT t.nonce FROM transactions t
		WHERE EXISTS (SELECT 1 FROM transactions x WHERE x.nonce = t.nonce AND x.created_at < t.created_at) ORDER BY t.created_at`)
	if err != nil {
		l.Fatal(err)
	}
	nonces, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		l.Fatal(err)
	}
	return nonces
}

// riseAbove raises the base fee above an offer in wei per gas, and waits until
// that is known.
func (l *lane) riseAbove(offered int) {
	l.Helper()
	l.node.RaiseBaseFee(l.T, big.NewInt(int64(offered)+1))
	l.eventually("the market is known to have risen", func() bool {
		c, ok := l.chain.Conditions()
		return ok && c.PricePerGas.Cmp(payment.Units(uint64(offered))) > 0
	})
}

// Time is a reason to outbid the lowest transaction of a lane only: what is
// behind it can be in no block before it.
func TestTimeOutbidsTheLowestNonceOnly(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	ids := l.queue(3)
	if got := l.tend(); got.Replaced != 1 || !slices.Equal(l.replaced(), []int64{0}) {
		t.Errorf("tended %+v, outbid nonces %v; want the first", got, l.replaced())
	}
	l.node.Resume(t)
	for _, id := range ids {
		l.upkeep("the payment is settled", l.status(id, payment.Settled))
	}
	l.everyNonceIsFinal()
}

// When the market passes what a lane's transactions may pay, all of them are
// outbid, whatever their age: the lowest nonce first, since the others need it.
func TestMarketOutbidsEveryNonceInOrder(t *testing.T) {
	t.Parallel()
	l := onLane(t, func(c *evm.Config) { c.BumpAfterMS = 600_000 })
	ids := l.queue(3)
	if got := l.tend(); got.Replaced != 0 {
		t.Fatalf("tended %+v, and the market is calm", got)
	}
	l.riseAbove(l.count("SELECT max(fee_cap)::bigint FROM transactions"))
	if got := l.tend(); got.Replaced != 3 || !slices.Equal(l.replaced(), []int64{0, 1, 2}) {
		t.Errorf("tended %+v, outbid nonces %v; want all in order", got, l.replaced())
	}
	for _, id := range ids {
		if i := l.intent(id); i.Substatus != payment.FeeBumped {
			t.Errorf("%s is %s %s", id, i.Status, i.Substatus)
		}
	}
	if got := l.tend(); got.Replaced != 0 {
		t.Errorf("tended %+v, and all offer what the market asks", got)
	}
	l.node.Resume(t)
	for _, id := range ids {
		l.upkeep("the payment is settled", l.status(id, payment.Settled))
	}
	l.everyNonceIsFinal()
}

// outbidCancellation raises the market above what the cancellation offers.
func (l *lane) outbidCancellation() {
	l.Helper()
	offered := l.count("SELECT max(fee_cap)::bigint FROM transactions WHERE purpose = 'cancel'")
	l.riseAbove(offered)
	l.tend()
	if n := l.count("SELECT count(*) FROM transactions WHERE purpose = 'cancel'"); n != 2 {
		l.Fatalf("%d cancellations, want the first to be outbid", n)
	}
}

// The cancellation of an authorization fails on chain, after it was outbid. It is
// repeated at once, under another nonce, and ends the payment when the chain takes
// it.
func TestFailedCancellationIsRepeated(t *testing.T) {
	t.Parallel()
	l := onLane(t, nil)
	l.node.PauseToken(t, true) // and with it cancellations
	id := l.parked(nil)
	l.review(id, payment.CancelAction)
	l.tend() // the payment's nonce, and a further one for the cancellation
	l.outbidCancellation()
	l.node.Resume(t)
	l.upkeep("a cancellation has failed", func() bool {
		return l.count("SELECT count(*) FROM transaction_results r JOIN transactions t ON t.id = r.transaction_id WHERE t.purpose = 'cancel' AND NOT r.succeeded") > 0
	})
	l.upkeep("it is repeated", func() bool {
		return l.count("SELECT count(DISTINCT nonce) FROM transactions WHERE purpose = 'cancel'") > 1
	})
	if i := l.intent(id); i.Status != payment.ManualReview || i.Substatus != payment.Fencing {
		t.Errorf("the payment is %s %s, want it to be fenced", i.Status, i.Substatus)
	}
	l.node.PauseToken(t, false)
	l.upkeep("the payment is canceled", l.status(id, payment.Canceled))
	if got := l.usdc(l.payee); got != 0 {
		t.Errorf("the payee has %d", got)
	}
	l.everyNonceIsFinal()
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

package model

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/treasury"
)

// driver does what the workflow of one payment does (workflows.Payment), a
// step at a time.
type driver struct {
	w      *world
	id     string
	amount uint64
	payees []string

	next  int // of steps
	state activities.State
	seen  activities.Sighting
	wait  *wait
	gone  bool // nobody drives it

	sightings []activities.Sighting // that were told once
	ended     payment.Status        // the terminal status, once it has one
	asked     int                   // decisions at the end of the run
}

// wait is an AwaitConfirmation under way.
type wait struct {
	stop context.CancelFunc
	done chan waited
}

type waited struct {
	seen activities.Sighting
	err  error
}

// The steps of a round.
const (
	screen = iota
	selectRoute
	reserve
	broadcast
	await
	settle
	rounds
)

// patience with a wait: longer than any run, shorter than its heartbeat.
const patience = 4 * time.Second

// way is how a step is executed.
type way int

// Ways, the usual one first.
const (
	once  way = iota
	twice     // and the second answer counts
	lost      // it is done, and the answer is lost
	ways
)

// step does the payment's next step.
func (d *driver) step(how way) {
	switch {
	case d.closed() || d.gone:
	case d.state.Waiting():
		d.run(how, func(s *activities.Steps) (activities.State, error) { return s.Look(d.w.ctx, d.ref()) }, func() {
			if !d.state.Waiting() {
				d.next = screen
			}
		})
	case d.next == await:
		d.waitOn()
	case d.next == settle:
		in := d.seen
		d.run(how, func(s *activities.Steps) (activities.State, error) { return d.settleOn(s, in) }, d.forward)
	default:
		step := d.next
		d.run(how, func(s *activities.Steps) (activities.State, error) { return d.perform(s, step) }, d.forward)
	}
}

func (d *driver) ref() activities.Ref { return activities.Ref{IntentID: d.id} }

func (d *driver) closed() bool { return d.state.Status.Valid() && d.state.Status.Terminal() }

// forward goes to the next step, or back to the first.
func (d *driver) forward() {
	d.next = (d.next + 1) % rounds
	if d.state.Waiting() {
		d.next = screen
	}
}

// perform runs one of the steps that need nothing but the intent.
func (d *driver) perform(s *activities.Steps, step int) (activities.State, error) {
	switch step {
	case screen:
		return s.Screen(d.w.ctx, d.ref())
	case selectRoute:
		return s.SelectRoute(d.w.ctx, d.ref())
	case reserve:
		return s.ReserveNonce(d.w.ctx, d.ref())
	default:
		state, err := s.Broadcast(d.w.ctx, d.ref())
		if err == nil {
			d.w.bug.sent(d, s)
		}
		return state, err
	}
}

func (d *driver) settleOn(s *activities.Steps, seen activities.Sighting) (activities.State, error) {
	if seen.SlotID != "" {
		d.sightings = append(d.sightings, seen)
	}
	return s.Settle(d.w.ctx, d.w.bug.told(d, activities.SettleInput{IntentID: d.id, Sighting: seen}))
}

// run executes a step in a way. After an error the step is due again, as after
// a lost answer.
func (d *driver) run(how way, step func(*activities.Steps) (activities.State, error), after func()) {
	if !d.w.alive() {
		return
	}
	state, err := d.w.safely(step)
	if how == twice && err == nil {
		state, err = d.w.safely(step)
	}
	if err != nil || how == lost {
		return
	}
	d.state = state
	after()
}

// errCrashed is the answer of a step that its worker did not survive.
var errCrashed = errors.New("the worker has crashed")

// crashed is what Steps.Crash panics with.
type crashed struct{}

// safely runs a step on the worker. If it crashes, the worker is gone. No
// step may rely on the database to refuse what it does.
func (w *world) safely(step func(*activities.Steps) (activities.State, error)) (state activities.State, err error) {
	defer func() {
		switch p := recover(); p.(type) {
		case nil:
			w.tolerate(err)
		case crashed:
			w.crash()
			err = errCrashed
		default:
			panic(p)
		}
	}()
	return step(w.worker.steps)
}

// sameSlot is the guard that refuses to sign for a slot again. On Solana a
// payment that is signed anew on the blockhash of its last attempt would be the
// same transaction, which has failed: the step is repeated until there is a
// newer blockhash.
const sameSlot = "slots_chain_authority_nonce_key"

// tolerate fails the run for an error that a guard of the database made.
func (w *world) tolerate(err error) {
	if strings.HasPrefix(store.SQLState(err), "23") && !strings.Contains(err.Error(), sameSlot) {
		w.Fatalf("the database refused a step: %v", err)
	}
}

// waitOn begins to wait, or goes on if the wait is over.
func (d *driver) waitOn() {
	if d.wait != nil {
		d.collect()
		return
	}
	if !d.w.alive() {
		return
	}
	before := d.w.waiting()
	d.wait = d.begin(d.w.worker.steps, patience)
	soon(func() bool { return len(d.wait.done) > 0 || d.w.waiting() > before }) // it has begun when the watcher knows it
	d.collect()
}

// soon waits up to a second for what other goroutines are about to do.
func soon(ready func() bool) bool {
	tick := time.NewTicker(20 * time.Microsecond)
	defer tick.Stop()
	for within := time.Now().Add(time.Second); !ready(); <-tick.C {
		if time.Now().After(within) {
			return false
		}
	}
	return true
}

// waiting is how many payments the worker watches.
func (w *world) waiting() (n int) {
	for _, desk := range w.worker.steps.Desks {
		n += desk.Watcher.Waiting()
	}
	return n
}

// begin waits in the background.
func (d *driver) begin(s *activities.Steps, patience time.Duration) *wait {
	ctx, stop := context.WithTimeout(d.w.worker.ctx, patience)
	x := &wait{stop, make(chan waited, 1)}
	go func() {
		seen, err := s.AwaitConfirmation(ctx, d.ref())
		x.done <- waited{seen, err}
	}()
	return x
}

// collect takes the result of the wait, if there is one.
func (d *driver) collect() bool {
	if d.wait == nil {
		return false
	}
	select {
	case r := <-d.wait.done:
		d.wait.stop()
		d.wait = nil
		if r.err == nil {
			d.seen, d.next = r.seen, settle
		}
		return true
	default:
		return false
	}
}

// giveUpWaiting ends the wait, as when its heartbeat was missed.
func (d *driver) giveUpWaiting() {
	if d.wait != nil {
		d.wait.stop()
		<-d.wait.done
		d.wait = nil
	}
}

// impatient waits as if it had done so for very long: what is in no block then
// is for a person to look at.
func (d *driver) impatient() {
	if d.gone || d.next != await || d.closed() || d.state.Waiting() || !d.w.alive() {
		return
	}
	d.giveUpWaiting()
	steps := *d.w.worker.upkeep
	steps.SweepAfter = time.Millisecond
	x := d.begin(&steps, 20*time.Millisecond)
	r := <-x.done
	x.stop()
	if r.err == nil {
		d.seen, d.next = r.seen, settle
	}
}

// terminate ends the driver; again starts another one, which knows nothing.
func (d *driver) terminate() {
	d.giveUpWaiting()
	d.gone = true
}

func (d *driver) again() {
	d.giveUpWaiting()
	d.gone, d.next, d.state, d.seen = false, screen, activities.State{}, activities.Sighting{}
}

// review tells a person's decision, if one is asked for.
func (d *driver) review(action payment.ReviewAction) {
	if !d.w.alive() {
		return
	}
	in := activities.ReviewInput{IntentID: d.id, Review: payment.Review{Action: action, Actor: "ops@example.com", Reason: "model"}}
	state, err := d.w.safely(func(s *activities.Steps) (activities.State, error) { return s.Review(d.w.ctx, in) })
	if err == nil && !d.gone && d.wait == nil && d.state.Waiting() {
		d.state, d.next = state, screen
	}
}

// zombie runs a step late, with old inputs, perhaps on a worker that is taken
// for dead. Nobody hears of its answer.
func (d *driver) zombie() {
	t, steps := d.w.T, (*activities.Steps)(nil)
	if d.w.worker != nil {
		steps = d.w.worker.steps
	}
	if d.w.old != nil && (steps == nil || rapid.Bool().Draw(t, "old worker")) {
		steps = d.w.old.steps
	}
	if steps == nil {
		return
	}
	var err error
	step := rapid.IntRange(0, broadcast+4*len(d.sightings)).Draw(t, "step")
	if step <= broadcast {
		_, err = d.perform(steps, step)
	} else {
		_, err = d.settleOld(steps, d.sightings[(step-broadcast-1)/4])
	}
	d.w.tolerate(err)
}

func (d *driver) settleOld(s *activities.Steps, seen activities.Sighting) (activities.State, error) {
	return s.Settle(d.w.ctx, d.w.bug.told(d, activities.SettleInput{IntentID: d.id, Sighting: seen}))
}

func isForeign(err error) bool {
	var foreign *treasury.ForeignTransactionError
	return errors.As(err, &foreign)
}

// accept takes an order of the merchant, if he has the money.
func (w *world) accept() {
	t := w.T
	if len(w.intents) == 4 {
		return
	}
	d := &driver{w: w, id: store.NewID("pi"), amount: rapid.OneOf(
		rapid.Uint64Range(1, 1_000_000), rapid.Uint64Range(1, treasuryFunds)).Draw(t, "amount")}
	order := payment.Intent{
		ID: d.id, MerchantID: w.merchant.ID, Mode: payment.Live, Asset: payment.USDC, Amount: payment.Units(d.amount),
		Priority: rapid.SampledFrom([]payment.Priority{payment.Cheap, payment.Fast, payment.Reliable}).Draw(t, "priority"), RequestID: store.NewID("req"),
	}
	for _, nw := range rapid.SampledFrom([][]*network{w.networks, w.networks[:1], w.networks[:1], w.networks[1:]}).Draw(t, "destinations") {
		payee := nw.payee(len(w.intents))
		order.Destinations = append(order.Destinations, payment.Destination{Chain: nw.name, Address: payee})
		d.payees = append(d.payees, payee)
	}
	if bound := rapid.SampledFrom([]uint64{0, 0, 0, 20_000_000, 100_000}).Draw(t, "max fee"); bound > 0 {
		fee := payment.Units(bound)
		order.MaxFee = &fee
	}
	if rapid.IntRange(0, 9).Draw(t, "deadline") == 9 {
		deadline := time.Now().Add(10 * time.Millisecond)
		order.Deadline = &deadline
	}
	err := w.db.store.Tx(w.ctx, func(ctx context.Context, tx *store.Tx) error { return acceptIn(ctx, tx, order) })
	if isPoor(err) {
		return
	}
	w.must(err)
	w.intents = append(w.intents, d)
	for _, p := range d.payees {
		w.payees[p] = d
	}
}

// pick draws one of the payments; nil if there is none.
func (w *world) pick() *driver {
	if len(w.intents) == 0 {
		w.accept()
	}
	if len(w.intents) == 0 {
		return nil
	}
	return w.intents[rapid.IntRange(0, len(w.intents)-1).Draw(w.T, "payment")]
}

// String names the payment in failures.
func (d *driver) String() string {
	return fmt.Sprintf("%s (%d, %s/%s)", d.id, d.amount, d.state.Status, d.state.ReviewReason)
}

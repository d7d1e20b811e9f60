package model

import (
	"context"
	"errors"
	"math/big"

	"pgregory.net/rapid"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// action is one thing that may happen. The weight says how often.
type action struct {
	name   string
	weight int
	do     func(*world)
}

// actions, the plainest first: a failure shrinks towards them.
var actions = []action{
	{"step", 30, func(w *world) { w.steps(once) }},
	{"mine", 10, func(w *world) { w.network().mine(rapid.IntRange(1, 3).Draw(w.T, "blocks")) }},
	{"look", 12, func(w *world) { w.looks(w.network()) }},
	{"finalize", 5, func(w *world) { w.network().settle() }},
	{"accept", 3, (*world).accept},
	{"step twice", 3, func(w *world) { w.steps(twice) }},
	{"step lost", 3, func(w *world) { w.steps(lost) }},
	{"step and crash", 3, (*world).stepAndCrash},
	{"zombie", 6, func(w *world) { w.some((*driver).zombie) }},
	{"wait again", 2, func(w *world) { w.some((*driver).giveUpWaiting) }},
	{"impatient", 2, func(w *world) { w.some((*driver).impatient) }},
	{"crash", 1, (*world).crash},
	{"replace worker", 1, func(w *world) { w.crash(); w.start() }},
	{"terminate", 1, func(w *world) { w.some((*driver).terminate) }},
	{"start again", 2, func(w *world) { w.some((*driver).again) }},
	{"review", 4, func(w *world) { w.some((*driver).decide) }},
	{"sweep", 4, func(w *world) { w.sweep(w.network(), false) }},
	{"sweep what is late", 4, func(w *world) { w.sweep(w.sol, true) }},
	{"tend", 3, func(w *world) { w.tend(false) }},
	{"tend what is late", 4, func(w *world) { w.tend(true) }},
	{"empty blocks", 2, func(w *world) { w.network().empty(rapid.IntRange(1, 5).Draw(w.T, "blocks")) }},
	{"reorg", 4, func(w *world) {
		w.network().reorg(rapid.IntRange(1, 3).Draw(w.T, "depth"), rapid.Bool().Draw(w.T, "keep"))
	}},
	{"drop", 3, func(w *world) { w.network().drop() }},
	{"expire", 4, func(w *world) { w.network().expire() }},
	{"node goes wrong", 4, func(w *world) { w.network().misbehave(w.T) }},
	{"nodes heal", 3, func(w *world) { w.network().heal() }},
	{"node forgets", 1, (*world).forget},
	{"base fee", 3, (*world).baseFee},
	{"foreign transaction", 1, (*world).foreignTransaction},
	{"stranger submits", 2, (*world).strangerSubmits},
	{"freeze", 3, (*world).freeze},
	{"lift", 2, (*world).lift},
	{"drain", 1, func(w *world) { w.eth.drain(rapid.IntRange(0, 1).Draw(w.T, "lane")) }},
	{"refill", 1, func(w *world) { w.eth.refill() }},
}

// lots is actions, each as often as it weighs.
var lots = func() (out []int) {
	for i, a := range actions {
		for range a.weight {
			out = append(out, i)
		}
	}
	return out
}()

// act does a drawn action.
func (w *world) act(t *rapid.T) {
	w.T = t
	a := actions[rapid.SampledFrom(lots).Draw(t, "lot")]
	t.Logf("-- %s", a.name)
	a.do(w)
}

// network draws a chain.
func (w *world) network() *network {
	return w.networks[rapid.IntRange(0, 1).Draw(w.T, "chain")]
}

// some does something with a drawn payment.
func (w *world) some(do func(*driver)) {
	if d := w.pick(); d != nil {
		do(d)
	}
}

func (w *world) steps(how way) {
	w.some(func(d *driver) { d.step(how) })
}

// stepAndCrash has the worker die at a point inside a step, or behind it.
func (w *world) stepAndCrash() {
	point := rapid.SampledFrom([]string{activities.BroadcastCommitted, activities.ReserveSigned, activities.SettleCommitted}).Draw(w.T, "point")
	if !w.alive() {
		return
	}
	doomed := w.worker
	doomed.steps.Crash = func(at string) {
		if at == point {
			panic(crashed{})
		}
	}
	w.steps(once)
	doomed.steps.Crash = nil
	if w.worker == doomed {
		w.crash()
	}
}

func (w *world) looks(nw *network) {
	if w.alive() {
		w.look(nw)
	}
}

// sweep looks after a chain's slots; late is whether what is in no block has
// been so for long.
func (w *world) sweep(nw *network, late bool) {
	if !w.alive() {
		return
	}
	w.late = late
	defer func() { w.late = false }()
	_, err := w.worker.upkeep.SweepSlots(w.ctx, activities.ChainRef{Chain: nw.name})
	w.tolerate(err)
}

// tend tends the lanes; late is whether what is in no block has been so for long.
func (w *world) tend(late bool) {
	if !w.alive() {
		return
	}
	w.late = late
	defer func() { w.late = false }()
	for _, nw := range w.networks {
		_, err := w.worker.upkeep.TendLanes(w.ctx, activities.ChainRef{Chain: nw.name})
		w.tolerate(err)
	}
}

func (d *driver) decide() {
	d.review(rapid.SampledFrom([]payment.ReviewAction{
		payment.Retry, payment.Approve, payment.CancelAction, payment.Reroute, payment.Reject,
	}).Draw(d.w.T, "decision"))
}

func (w *world) forget() {
	nodes := w.network().nodes
	nodes[rapid.IntRange(0, len(nodes)-1).Draw(w.T, "node")].forget()
}

// baseFee moves the price of gas: usual, dear, or beyond the cap.
func (w *world) baseFee() {
	gwei := rapid.SampledFrom([]int64{1, 3, 50}).Draw(w.T, "gwei")
	w.eth.chain.SetBaseFee(big.NewInt(gwei * 1_000_000_000))
}

// foreignTransaction has somebody else use the first lane's key.
func (w *world) foreignTransaction() {
	w.eth.foreign = true
	w.eth.chain.Foreign(w.eth.keys, w.eth.lanes[0])
}

// strangerSubmits has anybody hand in bytes of ours that were public once, or
// the authorization in them.
func (w *world) strangerSubmits() {
	nw := w.network()
	rows, err := w.db.sql.Query(w.ctx, `SELECT raw FROM transactions WHERE chain = $1 AND send_intent_at IS NOT NULL ORDER BY created_at, id`, string(nw.name))
	w.must(err)
	all, err := collectBytes(rows)
	w.must(err)
	if len(all) == 0 {
		return
	}
	raw := all[rapid.IntRange(0, len(all)-1).Draw(w.T, "transaction")]
	if nw == &w.eth.network && rapid.Bool().Draw(w.T, "as his own") {
		w.eth.steal(raw)
		return
	}
	nw.submit(raw)
}

// freeze has the issuer stop a payee, or all of Ethereum.
func (w *world) freeze() {
	nw := w.network()
	if nw == &w.eth.network && rapid.IntRange(0, 3).Draw(w.T, "pause") == 3 {
		w.eth.chain.PauseToken(true)
		w.frozen = append(w.frozen, func() { w.eth.chain.PauseToken(false) })
		return
	}
	if len(w.intents) == 0 {
		return
	}
	payee := nw.payee(rapid.IntRange(0, len(w.intents)-1).Draw(w.T, "payee"))
	nw.freeze(payee, true)
	w.frozen = append(w.frozen, func() { nw.freeze(payee, false) })
}

// lift undoes what issuers did.
func (w *world) lift() {
	for _, undo := range w.frozen {
		undo()
	}
	w.frozen = nil
}

// acceptIn stores an order with its hold, as the API does.
func acceptIn(ctx context.Context, tx *store.Tx, order payment.Intent) (err error) {
	if order.HoldID, err = ledger.Hold(ctx, tx, order); err != nil {
		return err
	}
	_, err = tx.CreateIntent(ctx, order, store.NewID("key"))
	return err
}

func isPoor(err error) bool { return errors.Is(err, ledger.ErrInsufficientFunds) }

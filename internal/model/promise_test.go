package model

import (
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
)

// maxRounds bounds the way to the end of a healed world.
const maxRounds = 40

// finish heals the world and drives every payment to its end.
func (w *world) finish() {
	w.lift()
	for _, nw := range w.networks {
		nw.heal()
	}
	w.eth.chain.SetBaseFee(oneGwei)
	w.eth.refill()
	w.crash()
	if !soon(w.start) {
		w.Fatal("no worker starts in a healed world")
	}
	for round := range maxRounds {
		if w.ended() {
			w.tidy()
			return
		}
		w.round(round)
	}
	w.Fatalf("after %d rounds in a healed world these have not ended: %v", maxRounds, w.open())
}

// round lets everybody act once. First nobody drives the payments whose driver
// is gone: what is signed must be looked after all the same. Then people
// decide, and time passes, if it must.
func (w *world) round(n int) {
	for _, d := range w.intents {
		if n >= 5 && d.gone {
			d.again()
		}
		d.giveUpWaiting()
		for range rounds + 1 {
			d.step(once)
		}
		d.retell()
	}
	for _, nw := range w.networks {
		nw.mine(1)
		w.look(nw)
		nw.settle()
		w.look(nw)
		w.sweep(nw, true)
	}
	w.tend(true)
	for _, d := range w.intents {
		if d.state.Waiting() {
			d.concede()
		}
	}
	if n == maxRounds/4 || n == maxRounds/2 {
		for _, nw := range w.networks {
			nw.expire()
			nw.settle()
		}
	}
	w.check()
}

// retell has every sighting that was ever told of the payment told again.
func (d *driver) retell() {
	for _, seen := range d.sightings {
		_, err := d.settleOld(d.w.worker.steps, seen)
		d.w.tolerate(err)
	}
}

// concede is a person who tries once more, and then has enough of it.
func (d *driver) concede() {
	d.asked++
	switch {
	case d.asked == 1:
		d.review(payment.Approve)
	case d.asked == 2:
		d.review(payment.Retry)
	case d.asked%2 == 1:
		d.review(payment.Reject)
	default:
		d.review(payment.CancelAction)
	}
}

// tidy lets the lanes come to rest, and what may still land of closed slots, and
// books what they cost.
func (w *world) tidy() {
	for range 4 {
		w.tend(true)
		for _, nw := range w.networks {
			nw.settle()
			w.look(nw)
		}
	}
	w.tend(true)
	w.sol.expire()
	w.sol.settle()
	w.look(w.sol)
	w.sweep(w.sol, false)
}

// ended reports whether every payment has ended.
func (w *world) ended() bool { return len(w.open()) == 0 }

func (w *world) open() (out []*driver) {
	for _, d := range w.intents {
		if d.ended == "" {
			out = append(out, d)
		}
	}
	return out
}

// row is what the database says of an intent.
type row struct {
	ID, Status, LastEvent          string
	Version, Events, Last, Paid    int64
	Slots, Dead, Proofs, LiveSlots int64
}

// rows are the run's intents.
func (w *world) rows() []row {
	rows, err := w.db.sql.Query(w.ctx, `
		SELECT i.id, i.status, e.n, e.last, e.type, i.version,
		  (SELECT count(*) FROM outcomes o WHERE o.intent_id = i.id AND o.result = 'paid'),
		  (SELECT count(*) FROM slots s WHERE s.intent_id = i.id),
		  (SELECT count(*) FROM slots s WHERE s.intent_id = i.id AND s.state = 'live'),
		  (SELECT count(*) FROM outcomes o WHERE o.intent_id = i.id AND o.result = 'dead'),
		  (SELECT count(*) FROM outcomes o WHERE o.intent_id = i.id AND o.result = 'dead' AND jsonb_typeof(o.proof) = 'object' AND o.proof <> '{}')
		FROM payment_intents i, LATERAL (SELECT count(*) AS n, max(sequence) AS last, (array_agg(type ORDER BY sequence DESC))[1] AS type FROM events WHERE intent_id = i.id) e
		WHERE i.merchant_id = $1`, w.merchant.ID)
	w.must(err)
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (x row, err error) {
		return x, r.Scan(&x.ID, &x.Status, &x.Events, &x.Last, &x.LastEvent, &x.Version, &x.Paid, &x.Slots, &x.LiveSlots, &x.Dead, &x.Proofs)
	})
	w.must(err)
	return all
}

// check holds, after each action, what holds at any time.
func (w *world) check() {
	paid, final := w.paidOnChain()
	for _, x := range w.rows() {
		d := w.driver(x.ID)
		status := payment.Status(x.Status)
		if x.Paid > 1 || paid[d] > d.amount {
			w.Fatalf("%v: %d paid outcomes, %d paid on chain", d, x.Paid, paid[d])
		}
		if d.ended != "" && status != d.ended {
			w.Fatalf("%v: ended as %s, and is %s", d, d.ended, status)
		}
		if !status.Terminal() {
			continue
		}
		d.ended, d.state.Status = status, status
		want := uint64(0)
		if status == payment.Settled {
			want = d.amount
		}
		if paid[d] != want || final[d] != want {
			w.Fatalf("%v: ended as %s, and %d was paid on chain, %d of it for good", d, status, paid[d], final[d])
		}
		if status != payment.Settled && (x.Dead != x.Slots || x.Proofs != x.Slots) {
			w.Fatalf("%v: ended as %s with %d slots, %d deaths and %d proofs", d, status, x.Slots, x.Dead, x.Proofs)
		}
	}
}

func (w *world) driver(id string) *driver {
	for _, d := range w.intents {
		if d.id == id {
			return d
		}
	}
	w.Fatalf("intent %s is not of this run", id)
	return nil
}

// paidOnChain is what the chains say each payment's payees got, now and for
// good. Nobody else got anything.
func (w *world) paidOnChain() (now, final map[*driver]uint64) {
	now, final = map[*driver]uint64{}, map[*driver]uint64{}
	for _, nw := range w.networks {
		for _, x := range nw.paid() {
			d, ok := w.payees[x.to]
			if !ok {
				w.Fatalf("%s paid %d to %s, whom nobody ordered to pay", nw.name, x.amount, x.to)
			}
			now[d] += x.amount
			if x.final {
				final[d] += x.amount
			}
		}
	}
	return now, final
}

// promise is held at the end, when all is final.
func (w *world) promise() {
	w.check()
	for _, x := range w.rows() {
		if x.Events != x.Version || x.Last != x.Version || x.LiveSlots > 0 {
			w.Fatalf("%+v: events are not 1..version, or a slot lives on", x)
		}
		if want := string(payment.EventTypeOf(payment.Status(x.Status))); x.LastEvent != want {
			w.Fatalf("%s: the last event is %s, want %s", x.ID, x.LastEvent, want)
		}
	}
	var open, contradicted int
	w.must(w.db.sql.QueryRow(w.ctx, `SELECT (SELECT count(*) FROM slots WHERE final_at IS NULL), (SELECT count(*) FROM audit_log WHERE action = 'outcome.contradicted')`).Scan(&open, &contradicted))
	if open > 0 || contradicted > 0 {
		w.Fatalf("something may still land of %d slots, and %d outcomes are contradicted", open, contradicted)
	}
	report, err := ledger.Check(w.ctx, w.db.store)
	w.must(err)
	if !report.Clean() {
		w.Fatalf("the books do not close: %s", text(report.Differences))
	}
	balances, err := w.balances()
	w.must(err)
	differences, err := ledger.Reconcile(w.ctx, w.db.store, balances)
	w.must(err)
	for _, d := range differences {
		if d.Code == ledger.GasTankDiffers && w.eth.foreign {
			continue // somebody else has spent of it
		}
		w.Fatalf("the books and the chain part: %s", d)
	}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func collectBytes(rows pgx.Rows) ([][]byte, error) { return pgx.CollectRows(rows, pgx.RowTo[[]byte]) }

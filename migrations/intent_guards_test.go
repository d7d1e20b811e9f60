package migrations_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

const (
	refusedByCheck  = "23514"
	refusedForGood  = "23001"
	refusedAsDouble = "23505"
)

func TestTransitionTableEqualsPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows, err := w.conn.Query(t.Context(), "SELECT from_status, to_status FROM intent_transitions")
	if err != nil {
		t.Fatal(err)
	}
	type pair struct{ From, To payment.Status }
	inSQL, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range inSQL {
		if !p.From.Valid() || !p.To.Valid() {
			t.Errorf("SQL lists %s -> %s, which Go does not know", p.From, p.To)
		}
	}
	for _, from := range payment.Statuses() {
		for _, to := range payment.Statuses() {
			if in := slices.Contains(inSQL, pair{from, to}); in != from.CanBecome(to) {
				t.Errorf("%s -> %s: SQL %v, Go %v", from, to, in, from.CanBecome(to))
			}
		}
	}
}

// path is a shortest legal way from created to a status.
func path(to payment.Status) []payment.Status {
	ways := map[payment.Status][]payment.Status{payment.Created: {}}
	for queue := []payment.Status{payment.Created}; len(queue) > 0; queue = queue[1:] {
		for _, next := range queue[0].Next() {
			if _, known := ways[next]; !known {
				ways[next] = append(slices.Clone(ways[queue[0]]), next)
				queue = append(queue, next)
			}
		}
	}
	return ways[to]
}

// For every pair of statuses the database does what the table says, given that
// the facts are there which a terminal status needs.
func TestGuardFollowsTheTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, from := range payment.Statuses() {
		for _, to := range payment.Statuses() {
			if from == to {
				continue
			}
			w.undone(t, func() {
				id := w.intent(t)
				if from == payment.Settled || (to == payment.Settled && !from.Terminal()) {
					w.paid(t, id)
				}
				for _, step := range path(from) {
					w.move(t, id, step)
				}
				change := changeStatus + " RETURNING id"
				switch {
				case from.CanBecome(to):
					if err := w.try(t.Context(), "WITH c AS ("+change+") "+insertEventOf, id, string(to)); err != nil {
						t.Errorf("%s -> %s: %v", from, to, err)
					}
				case from.Terminal():
					w.refused(t, refusedForGood, changeStatus, id, string(to))
				default:
					w.refused(t, refusedByCheck, changeStatus, id, string(to))
				}
			})
		}
	}
}

// insertEventOf is insertEvent for a change made by the same statement, which
// cannot see it yet.
const insertEventOf = `
	INSERT INTO events (id, intent_id, merchant_id, mode, sequence, type, body, created_at)
	SELECT 'evt_' || p.id || (p.version + 1), p.id, merchant_id, mode, p.version + 1, 'payment_intent.' || $2, '{}', now()
	  FROM payment_intents p JOIN c ON c.id = p.id`

func TestTerminalIntentsNeverChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, status := range payment.Statuses() {
		if !status.Terminal() {
			continue
		}
		w.undone(t, func() {
			id := w.intent(t)
			if status == payment.Settled {
				w.paid(t, id)
			}
			for _, step := range path(status) {
				w.move(t, id, step)
			}
			w.refused(t, refusedForGood, "UPDATE payment_intents SET substatus = 'x', version = version + 1 WHERE id = $1", id)
			w.refused(t, refusedForGood, "UPDATE payment_intents SET updated_at = now() WHERE id = $1", id)
		})
	}
}

func TestIntentGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.intent(t)

	t.Run("begins as created, version 1", func(t *testing.T) {
		w.refused(t, refusedByCheck, insertIntent, "pi_x", "settled", 1)
		w.refused(t, refusedByCheck, insertIntent, "pi_x", "created", 2)
	})
	t.Run("is created with its event", func(t *testing.T) {
		w.refused(t, refusedByCheck, insertIntent, "pi_x", "created", 1)
	})
	t.Run("changes with its event", func(t *testing.T) {
		w.refused(t, refusedByCheck, changeStatus, id, "routed")
	})
	t.Run("changes by one version", func(t *testing.T) {
		w.refused(t, refusedByCheck, "UPDATE payment_intents SET substatus = 'x' WHERE id = $1", id)
		w.refused(t, refusedByCheck, "UPDATE payment_intents SET substatus = 'x', version = version + 2 WHERE id = $1", id)
	})
	t.Run("keeps what was ordered", func(t *testing.T) {
		for _, set := range []string{
			"amount = 99", "asset = 'EURC'", "mode = 'test'", "merchant_id = 'mer_2'", "destinations = '[1]'", "priority = 'fast'",
			"max_fee = 1", "deadline = now()", "reference = 'x'", `metadata = '{"a":"b"}'`, "idempotency_key = 'x'",
			"allowed_chains = '{eth}'", "quote_id = 'qt_1'", "retry_of = id",
			"hold_id = gen_random_uuid()", "request_id = 'x'", "created_at = created_at - interval '1 hour'",
		} {
			w.refused(t, refusedForGood, "UPDATE payment_intents SET version = version + 1, "+set+" WHERE id = $1", id)
		}
	})
	t.Run("is never deleted", func(t *testing.T) {
		w.refused(t, refusedForGood, "DELETE FROM payment_intents WHERE id = $1", id)
		w.refused(t, refusedForGood, "TRUNCATE payment_intents CASCADE")
	})
	t.Run("takes an idempotency key once", func(t *testing.T) {
		w.refused(t, refusedAsDouble, `
			INSERT INTO payment_intents (id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, hold_id, request_id, created_at, updated_at)
			SELECT 'pi_x', merchant_id, mode, idempotency_key, asset, amount, destinations, priority, hold_id, request_id, now(), now() FROM payment_intents WHERE id = $1`, id)
	})
}

// A quote makes one payment and a payment has one retry, whatever the callers do.
func TestQuotesAndRetriesAreUsedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.intent(t)
	w.must(t, "INSERT INTO quotes (id, merchant_id, mode, decision, chain, fee, expires_at) VALUES ('qt_1', 'mer_1', 'live', '{}', 'eth', 5, now() + interval '1 hour')")
	const order = `
		WITH i AS (
		  INSERT INTO payment_intents (id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, hold_id, request_id, created_at, updated_at, quote_id, retry_of)
		  SELECT $2, merchant_id, mode, $2, asset, amount, destinations, priority, hold_id, request_id, now(), now(), $3, $4 FROM payment_intents WHERE id = $1
		  RETURNING *)
		INSERT INTO events (id, intent_id, merchant_id, mode, sequence, type, body, created_at)
		SELECT 'evt_' || id, id, merchant_id, mode, 1, 'payment_intent.created', '{}', now() FROM i`
	w.must(t, order, id, "pi_a", "qt_1", nil)
	w.refused(t, refusedAsDouble, order, id, "pi_b", "qt_1", nil)
	w.must(t, order, id, "pi_c", nil, id)
	w.refused(t, refusedAsDouble, order, id, "pi_d", nil, id)
	w.refused(t, "23503", order, id, "pi_e", "qt_2", nil)
	w.refused(t, "23503", order, id, "pi_f", nil, "pi_none")
	w.refused(t, refusedForGood, "UPDATE quotes SET fee = 6")
	w.refused(t, refusedForGood, "DELETE FROM quotes")
	w.refused(t, refusedForGood, "TRUNCATE quotes CASCADE")
}

func TestTerminalStatusNeedsItsFacts(t *testing.T) {
	t.Parallel()
	ends := []payment.Status{payment.Failed, payment.Canceled, payment.Expired, payment.Rejected}
	w := newWorld(t)

	t.Run("settled needs a paid outcome", func(t *testing.T) {
		w.undone(t, func() {
			id := w.intent(t)
			w.move(t, id, payment.ManualReview)
			w.refused(t, refusedByCheck, changeStatus, id, "settled")
		})
	})
	t.Run("every other needs that no slot is live", func(t *testing.T) {
		w.undone(t, func() {
			id := w.intent(t)
			w.slot(t, id)
			for _, end := range ends {
				w.refused(t, refusedByCheck, changeStatus, id, string(end))
			}
		})
	})
	t.Run("every other needs that nothing was paid", func(t *testing.T) {
		w.undone(t, func() {
			id := w.intent(t)
			w.paid(t, id)
			for _, end := range ends {
				w.refused(t, refusedByCheck, changeStatus, id, string(end))
			}
		})
	})
	t.Run("a dead slot does not keep it open", func(t *testing.T) {
		w.undone(t, func() {
			id := w.intent(t)
			slot := w.slot(t, id)
			w.must(t, insertOutcome, slot, id, "dead", nil)
			w.must(t, closeSlot, slot, "dead")
			w.move(t, id, payment.Failed)
		})
	})
}

// Whoever opens a slot keeps the intent from ending until that is visible.
func TestIntentCannotEndBesideAnOpeningSlot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.intent(t)
	other := storetest.SQL(t, w.conn.Config().ConnString())

	w.must(t, "BEGIN")
	w.slot(t, id)
	if _, err := other.Exec(t.Context(), "SET lock_timeout = '100ms'"); err != nil {
		t.Fatal(err)
	}
	_, err := other.Exec(t.Context(), changeStatus, id, "failed")
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "55P03" {
		t.Fatalf("the other transaction did not wait: %v", err)
	}
	w.must(t, "COMMIT")
	_, err = other.Exec(t.Context(), changeStatus, id, "failed")
	if !errors.As(err, &pg) || pg.Code != refusedByCheck {
		t.Fatalf("failed with a live slot: %v", err)
	}
}

package migrations_test

import (
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

func TestBatchTransitionsEqualPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows, err := w.conn.Query(t.Context(), "SELECT from_status, to_status FROM batch_transitions")
	if err != nil {
		t.Fatal(err)
	}
	type pair struct{ From, To payment.BatchStatus }
	inSQL, err := pgx.CollectRows(rows, pgx.RowToStructByPos[pair])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range inSQL {
		if !p.From.Valid() || !p.To.Valid() {
			t.Errorf("SQL lists %s -> %s, which Go does not know", p.From, p.To)
		}
	}
	for _, from := range payment.BatchStatuses() {
		for _, to := range payment.BatchStatuses() {
			if in := slices.Contains(inSQL, pair{from, to}); in != from.CanBecome(to) {
				t.Errorf("%s -> %s: SQL %v, Go %v", from, to, in, from.CanBecome(to))
			}
		}
	}
}

// What was ordered never changes, and a line becomes one payment, as ordered.
func TestGuardsOfBatches(t *testing.T) {
	t.Parallel()
	s, url := storetest.OpenURL(t)
	m := storetest.Merchant(t, s, 1_000)
	_, first := storetest.Batch(t, s, m.ID, 100, 200)
	w := &world{conn: storetest.SQL(t, url)}
	for state, statements := range map[string][]string{
		refusedForGood: {
			"DELETE FROM batches", "TRUNCATE batches CASCADE", "TRUNCATE batch_lines", "DELETE FROM batch_lines", "UPDATE batch_lines SET amount = 1",
			"INSERT INTO batch_lines SELECT batch_id, line + 2, amount, destinations, allowed_chains, priority, max_fee, deadline, reference, metadata, errors FROM batch_lines",
			"UPDATE batches SET amount = amount + 1", "UPDATE batches SET hold_id = NULL, started_at = NULL",
			"UPDATE payment_intents SET batch_line = 2, version = version + 1 WHERE id = '" + first.ID + "'",
		},
		refusedByCheck: {
			"INSERT INTO batches (id, merchant_id, mode, idempotency_key, asset, request_id, status) VALUES ('batch_2', '" + m.ID + "', 'live', 'k', 'USDC', 'r', 'ready')",
			"UPDATE batches SET status = 'invalid'", "UPDATE batches SET status = 'completed'",
		},
	} {
		for _, sql := range statements {
			w.refused(t, state, sql)
		}
	}
	// Of another amount than the line's, or with a hold that is no part of the batch's.
	w.refused(t, refusedByCheck, `INSERT INTO payment_intents (id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, hold_id, request_id, batch_id, batch_line, created_at, updated_at)
		SELECT 'pi_2', merchant_id, mode, 'k2', asset, 100, destinations, priority, hold_id, request_id, batch_id, 2, now(), now() FROM payment_intents`)
	w.refused(t, refusedAsDouble, `INSERT INTO payment_intents (id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, hold_id, request_id, batch_id, batch_line, created_at, updated_at)
		SELECT 'pi_2', merchant_id, mode, 'k2', asset, 100, destinations, priority, hold_id, request_id, batch_id, 1, now(), now() FROM payment_intents`)
}

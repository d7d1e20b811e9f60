package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

// world speaks to one database past the store, as a bug or a hand would.
type world struct {
	conn *pgx.Conn
	next int // numbers the ids
}

func newWorld(t *testing.T) *world {
	w := &world{conn: storetest.SQL(t, storetest.URL(t))}
	w.must(t, "INSERT INTO merchants (id, name) VALUES ('mer_1', 'Acme')")
	w.must(t, "SELECT ledger_post('fund', NULL, NULL, now(), ARRAY[ledger_account('merchant_available','mer_1','USDC'), ledger_account('equity','eth','USDC')], ARRAY[-1000000,1000000])")
	w.must(t, "INSERT INTO lanes (chain, address, next_nonce) VALUES ('eth', '0xlane', 5)")
	return w
}

func (w *world) must(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := w.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// refused runs a statement in a transaction of its own, makes deferred guards
// speak as a commit would, and wants the SQLSTATE.
func (w *world) refused(t *testing.T, state, sql string, args ...any) {
	t.Helper()
	err := w.try(t.Context(), sql, args...)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != state {
		t.Errorf("%s: got %v, want SQLSTATE %s", sql, err, state)
	}
}

func (w *world) allowed(t *testing.T, sql string, args ...any) {
	t.Helper()
	if err := w.try(t.Context(), sql, args...); err != nil {
		t.Errorf("%s: %v", sql, err)
	}
}

// try undoes what it did. Inside a running transaction it uses a savepoint.
func (w *world) try(ctx context.Context, sql string, args ...any) error {
	begin, undo := "BEGIN", "ROLLBACK"
	if w.conn.PgConn().TxStatus() != 'I' {
		begin, undo = "SAVEPOINT try", "ROLLBACK TO SAVEPOINT try; SET CONSTRAINTS ALL DEFERRED"
	}
	if _, err := w.conn.Exec(ctx, begin); err != nil {
		return err
	}
	_, refusal := w.conn.Exec(ctx, sql, args...)
	if refusal == nil {
		_, refusal = w.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE")
	}
	if _, err := w.conn.Exec(ctx, undo); err != nil {
		return err
	}
	return refusal
}

// undone runs fn in a transaction that is rolled back.
func (w *world) undone(t *testing.T, fn func()) {
	t.Helper()
	w.must(t, "BEGIN")
	fn()
	w.must(t, "ROLLBACK")
}

const insertIntent = `
	INSERT INTO payment_intents (id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, status, hold_id, request_id, version, created_at, updated_at)
	VALUES ($1, 'mer_1', 'live', $1, 'USDC', 100, '[]', 'cheap', $2, ledger_hold($1 || ':hold', ledger_account('merchant_available','mer_1','USDC'), 100, $1), 'req', $3, now(), now())`

const insertEvent = `
	INSERT INTO events (id, intent_id, merchant_id, mode, sequence, type, body, created_at)
	SELECT 'evt_' || id || version, id, merchant_id, mode, version, 'payment_intent.' || status, '{}', now() FROM payment_intents WHERE id = $1`

// intent stores an accepted intent of 100 base units with its hold and event.
func (w *world) intent(t *testing.T) string {
	t.Helper()
	w.next++
	id := fmt.Sprintf("pi_%d", w.next)
	nested := w.conn.PgConn().TxStatus() == 'T'
	if !nested {
		w.must(t, "BEGIN")
	}
	w.must(t, insertIntent, id, "created", 1)
	w.must(t, insertEvent, id)
	if !nested {
		w.must(t, "COMMIT")
	}
	return id
}

const changeStatus = "UPDATE payment_intents SET status = $2, version = version + 1 WHERE id = $1"

// move takes an intent to a status, with events; inside a transaction only.
func (w *world) move(t *testing.T, id string, to payment.Status) {
	t.Helper()
	w.must(t, changeStatus, id, string(to))
	w.must(t, insertEvent, id)
}

// slot opens a live slot of a new attempt of the intent.
func (w *world) slot(t *testing.T, intentID string) string {
	t.Helper()
	w.next++
	attempt, slot := fmt.Sprintf("att_%d", w.next), fmt.Sprintf("slot_%d", w.next)
	w.must(t, "INSERT INTO attempts (id, intent_id, seq, chain, address, route) VALUES ($1, $2, $3, 'eth', '0xto', '{}')", attempt, intentID, w.next)
	w.must(t, insertSlot, slot, attempt, intentID)
	return slot
}

const insertSlot = `
	INSERT INTO slots (id, attempt_id, intent_id, chain, kind, authority, nonce, from_height)
	VALUES ($1, $2, $3, 'eth', 'eip3009', '0xtreasury', $1, 0)`

const insertOutcome = `
	INSERT INTO outcomes (slot_id, intent_id, result, chain, tx_hash, block_hash, block_height, log_index, amount, address, proof, effective_at)
	VALUES ($1, $2, $3, 'eth', '0x' || $1, '0xblock', 1, 0, $4, '0xto', '{}', now())`

const closeSlot = "UPDATE slots SET state = $2, closed_at = now() WHERE id = $1"

// paid gives the intent a slot that the chain paid.
func (w *world) paid(t *testing.T, intentID string) {
	t.Helper()
	slot := w.slot(t, intentID)
	w.must(t, insertOutcome, slot, intentID, "paid", 100)
	w.must(t, closeSlot, slot, "paid")
}

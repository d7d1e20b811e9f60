package migrations_test

import (
	"testing"

	"github.com/settlehq/settle/payment"
)

func TestSlotGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.intent(t), w.intent(t)
	slot := w.slot(t, id)
	w.must(t, "INSERT INTO attempts (id, intent_id, seq, chain, address, route) VALUES ('att_x', $1, 99, 'eth', '0xto', '{}'), ('att_y', $2, 99, 'sol', 'to', '{}')", id, other)

	t.Run("one is live per intent", func(t *testing.T) {
		w.refused(t, refusedAsDouble, insertSlot, "slot_x", "att_x", id)
	})
	t.Run("belongs to an attempt of its intent, on its chain", func(t *testing.T) {
		w.refused(t, refusedByCheck, insertSlot, "slot_x", "att_x", other)
		w.refused(t, refusedByCheck, insertSlot, "slot_x", "att_y", other)
	})
	t.Run("takes an authority's nonce once", func(t *testing.T) {
		w.refused(t, refusedAsDouble, `
			INSERT INTO slots (id, attempt_id, intent_id, chain, kind, authority, nonce, from_height)
			SELECT 'slot_x', 'att_x', $1, chain, kind, authority, nonce, from_height FROM slots WHERE id = $2`, id, slot)
	})
	t.Run("closes only with its outcome", func(t *testing.T) {
		w.refused(t, refusedByCheck, closeSlot, slot, "dead")
		w.refused(t, refusedByCheck, closeSlot, slot, "paid")
		w.undone(t, func() {
			w.must(t, insertOutcome, slot, id, "dead", nil)
			w.refused(t, refusedByCheck, closeSlot, slot, "paid")
			w.must(t, closeSlot, slot, "dead")
			w.refused(t, refusedByCheck, closeSlot, slot, "live")
		})
	})
	t.Run("is final once, when it is closed", func(t *testing.T) {
		const finish = "UPDATE slots SET final_at = now() WHERE id = $1"
		w.refused(t, refusedByCheck, finish, slot)
		w.undone(t, func() {
			w.must(t, insertOutcome, slot, id, "dead", nil)
			w.must(t, closeSlot, slot, "dead")
			w.refused(t, refusedByCheck, "UPDATE slots SET final_at = now(), closed_at = now() + interval '1 s' WHERE id = $1", slot)
			w.allowed(t, finish, slot)
			w.must(t, finish, slot)
			w.refused(t, refusedByCheck, "UPDATE slots SET final_at = NULL WHERE id = $1", slot)
		})
	})
	t.Run("changes in nothing else", func(t *testing.T) {
		w.refused(t, refusedForGood, "UPDATE slots SET nonce = 'x' WHERE id = $1", slot)
		w.refused(t, refusedForGood, "UPDATE slots SET expires_at = now() WHERE id = $1", slot)
		w.refused(t, refusedForGood, "DELETE FROM slots WHERE id = $1", slot)
		w.refused(t, refusedForGood, "TRUNCATE slots CASCADE")
	})
	t.Run("begins live, and only for an open intent", func(t *testing.T) {
		w.refused(t, refusedByCheck, `
			INSERT INTO slots (id, attempt_id, intent_id, chain, kind, authority, nonce, from_height, state)
			VALUES ('slot_x', 'att_y', $1, 'sol', 'solana_blockhash', 'a', 'n', 0, 'dead')`, other)
		w.undone(t, func() {
			w.move(t, other, payment.Failed)
			w.refused(t, refusedByCheck, insertSlot, "slot_x", "att_y", other)
		})
	})
}

func TestOutcomeGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.intent(t), w.intent(t)
	slot, otherSlot := w.slot(t, id), w.slot(t, other)

	t.Run("pays exactly what was ordered", func(t *testing.T) {
		for _, amount := range []int{99, 101, 0} {
			w.refused(t, refusedByCheck, insertOutcome, slot, id, "paid", amount)
		}
		w.refused(t, refusedByCheck, insertOutcome, slot, id, "paid", nil)
		w.allowed(t, insertOutcome, slot, id, "paid", 100)
	})
	t.Run("is of a slot of the intent", func(t *testing.T) {
		w.refused(t, refusedByCheck, insertOutcome, otherSlot, id, "paid", 100)
	})
	t.Run("is one per slot", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, insertOutcome, slot, id, "dead", nil)
			w.refused(t, refusedAsDouble, insertOutcome, slot, id, "paid", 100)
		})
	})
	t.Run("is paid once per intent", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, insertOutcome, slot, id, "paid", 100)
			w.must(t, closeSlot, slot, "paid")
			second := w.slot(t, id)
			w.refused(t, refusedAsDouble, insertOutcome, second, id, "paid", 100)
		})
	})
}

func TestNonceGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const insert = "INSERT INTO lane_nonces (chain, lane, nonce, purpose) VALUES ('eth', '0xlane', $1, 'payment')"
	w.must(t, insert, 5)

	t.Run("is given out once", func(t *testing.T) {
		w.refused(t, refusedAsDouble, insert, 5)
		w.allowed(t, insert, 6)
	})
	t.Run("stays given out", func(t *testing.T) {
		w.refused(t, refusedForGood, "DELETE FROM lane_nonces")
		w.refused(t, refusedForGood, "UPDATE lane_nonces SET nonce = 7")
		w.refused(t, refusedForGood, "TRUNCATE lane_nonces CASCADE")
		w.allowed(t, "UPDATE lane_nonces SET included_at = now()")
	})
	t.Run("never goes back", func(t *testing.T) {
		w.refused(t, refusedByCheck, "UPDATE lanes SET next_nonce = 4")
		w.refused(t, refusedByCheck, "UPDATE lanes SET address = '0xother'")
		w.refused(t, refusedForGood, "DELETE FROM lanes")
		w.allowed(t, "UPDATE lanes SET next_nonce = 6, state = 'paused', lease_epoch = 1")
	})
}

func TestTransactionGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(t, "INSERT INTO lane_nonces (chain, lane, nonce, purpose) VALUES ('eth', '0xlane', 5, 'payment')")
	const insert = `
		INSERT INTO transactions (id, chain, hash, raw, sender, nonce, gas_limit, fee_cap, tip_cap, max_fee)
		VALUES ($1, 'eth', $2, '\x01', '0xlane', $3, 1, 1, 1, 1)`
	w.must(t, insert, "tx_1", "0xhash", 5)

	t.Run("needs a nonce that was given out", func(t *testing.T) {
		w.refused(t, "23503", insert, "tx_2", "0xother", 6)
	})
	t.Run("is stored once", func(t *testing.T) {
		w.refused(t, refusedAsDouble, insert, "tx_2", "0xhash", 5)
	})
	t.Run("keeps its bytes", func(t *testing.T) {
		w.refused(t, refusedForGood, `UPDATE transactions SET raw = '\x02'`)
		w.refused(t, refusedForGood, "UPDATE transactions SET hash = '0xother'")
		w.refused(t, refusedForGood, "DELETE FROM transactions")
		w.refused(t, refusedForGood, "TRUNCATE transactions CASCADE")
	})
	t.Run("keeps the time before its first sending", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, "UPDATE transactions SET send_intent_at = now(), last_sent_at = now()")
			w.allowed(t, "UPDATE transactions SET last_sent_at = now() + interval '1 minute'")
			w.refused(t, refusedForGood, "UPDATE transactions SET send_intent_at = NULL")
		})
	})
}

func TestAppendOnlyTables(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tables := map[string]string{
		"ledger_transfers": "reference", "ledger_entries": "asset", "intent_transitions": "to_status", "events": "type",
		"attempts": "address", "transaction_attempts": "slot_id", "transaction_results": "reason", "outcomes": "tx_hash",
		"webhook_attempts": "error", "audit_log": "reason",
	}
	for table, column := range tables {
		w.refused(t, refusedForGood, "UPDATE "+table+" SET "+column+" = 'x'")
		w.refused(t, refusedForGood, "DELETE FROM "+table)
		w.refused(t, refusedForGood, "TRUNCATE "+table+" CASCADE")
	}
}

package migrations_test

import "testing"

const account = "ledger_account('merchant_available','mer_1','USDC')"

// The world's merchant has 1,000,000 base units.
func TestPostingGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const post = "SELECT ledger_post('p', NULL, NULL, now(), ARRAY[" + account + ", ledger_account('equity','eth','USDC')], ARRAY[$1::numeric, $2::numeric])"

	t.Run("sums to zero", func(t *testing.T) {
		w.refused(t, refusedByCheck, post, 100, -99)
		w.allowed(t, post, 100, -100)
	})
	t.Run("sums to zero per asset", func(t *testing.T) {
		w.refused(t, refusedByCheck, "SELECT ledger_post('p', NULL, NULL, now(), ARRAY["+account+", ledger_account('gas_tank','eth','ETH')], ARRAY[100, -100])")
	})
	t.Run("has two entries or more", func(t *testing.T) {
		w.refused(t, refusedByCheck, "SELECT ledger_post('p', NULL, NULL, now(), ARRAY[]::bigint[], ARRAY[]::numeric[])")
		w.refused(t, refusedByCheck, "INSERT INTO ledger_transfers (reference, request_hash, phase, effective_at) VALUES ('p', '', 'single', now())")
	})
	t.Run("has no entry of zero", func(t *testing.T) {
		w.refused(t, refusedByCheck, post, 0, 0)
	})
	t.Run("leaves the floor", func(t *testing.T) {
		w.refused(t, "LG002", post, 1_000_001, -1_000_001)
		w.allowed(t, post, 1_000_000, -1_000_000)
	})
	t.Run("gets no late entries", func(t *testing.T) {
		const stray = "INSERT INTO ledger_entries SELECT id, $1, ledger_account('equity','eth','USDC'), 'USDC', 1 FROM ledger_transfers WHERE reference = $2"
		w.undone(t, func() {
			w.must(t, "SELECT ledger_hold('h', "+account+", 1, NULL)")
			w.refused(t, refusedByCheck, stray, 3, "fund")
			w.refused(t, refusedByCheck, stray, 1, "h")
			w.refused(t, refusedByCheck, stray, 0, "fund")
		})
	})
	t.Run("keeps to the asset of its accounts", func(t *testing.T) {
		w.refused(t, "23503", "INSERT INTO ledger_entries SELECT id, 3, ledger_account('equity','eth','USDC'), 'ETH', 1 FROM ledger_transfers WHERE reference = 'fund'")
	})
}

func TestHoldGuards(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const hold = "SELECT ledger_hold($1, " + account + ", $2, 'pi_1')"
	const void = "SELECT ledger_void($1, (SELECT id FROM ledger_transfers WHERE reference = $2), 'pi_1')"
	const spend = "SELECT ledger_post($1, (SELECT id FROM ledger_transfers WHERE reference = $2), 'pi_1', now(), ARRAY[" + account + ", ledger_account('equity','eth','USDC')], ARRAY[$3::numeric, -$3::numeric])"

	t.Run("covers no more than is available", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, hold, "h1", 600_000)
			w.refused(t, "LG002", hold, "h2", 400_001)
			w.allowed(t, hold, "h2", 400_000)
		})
	})
	t.Run("is repeatable, with the same content only", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, hold, "h", 600_000)
			w.must(t, hold, "h", 600_000)
			w.refused(t, "LG001", hold, "h", 600_001)
			w.refused(t, "LG001", void, "h", "h")
		})
	})
	t.Run("is resolved once", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, hold, "h", 100)
			w.must(t, void, "v", "h")
			w.must(t, void, "v", "h")
			w.refused(t, "LG003", void, "v2", "h")
			w.refused(t, "LG003", spend, "s", "h", 100)
		})
		w.undone(t, func() {
			w.must(t, hold, "h", 100)
			w.must(t, spend, "s", "h", 100)
			w.must(t, spend, "s", "h", 100)
			w.refused(t, "LG003", spend, "s2", "h", 100)
			w.refused(t, "LG003", void, "v", "h")
		})
	})
	t.Run("is not overspent", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, hold, "h", 100)
			w.refused(t, "LG003", spend, "s", "h", 101)
		})
	})
	t.Run("releases what a posting leaves", func(t *testing.T) {
		w.undone(t, func() {
			w.must(t, hold, "h", 1_000_000)
			w.must(t, spend, "s", "h", 1)
			w.allowed(t, hold, "h2", 999_999)
			w.refused(t, "LG002", hold, "h2", 1_000_000)
		})
	})
	t.Run("is a hold", func(t *testing.T) {
		w.refused(t, "LG003", void, "v", "fund")
		w.refused(t, "LG003", void, "v", "no such transfer")
		w.refused(t, refusedByCheck, hold, "h", -5)
		w.refused(t, refusedByCheck, hold, "h", 0)
	})
}

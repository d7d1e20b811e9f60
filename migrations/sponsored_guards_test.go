package migrations_test

import "testing"

const insertSponsored = `
	INSERT INTO payment_intents (id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, status, payer_authorization, request_id, version, created_at, updated_at)
	VALUES ($1, 'mer_1', 'live', $1, 'USDC', 100, '[]', 'cheap', 'created', $2, 'req', 1, now(), now())`

// An intent spends its merchant's funds, or a payer's by an authorization that
// stays as it is and is nobody else's; never both, never neither.
func TestSponsoredIntentsHoldNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(t, refusedByCheck, insertSponsored, "pi_neither", nil)
	own := w.intent(t)
	w.refused(t, refusedForGood, `UPDATE payment_intents SET payer_authorization = '{}', version = version + 1 WHERE id = $1`, own)

	w.must(t, "BEGIN")
	w.must(t, insertSponsored, "pi_s", `{"nonce": "0x1"}`)
	w.must(t, insertEvent, "pi_s")
	w.must(t, "COMMIT")
	w.refused(t, refusedForGood, `UPDATE payment_intents SET payer_authorization = '{"nonce": "0x2"}', version = version + 1 WHERE id = 'pi_s'`)
	w.refused(t, refusedForGood, `UPDATE payment_intents SET hold_id = (SELECT hold_id FROM payment_intents WHERE id = $1), version = version + 1 WHERE id = 'pi_s'`, own)

	const take = "INSERT INTO sponsored_authorizations (chain, token, payer, nonce, intent_id) VALUES ('eth', '0xtoken', '0xpayer', $1, $2)"
	w.must(t, take, "0x1", "pi_s")
	w.refused(t, refusedAsDouble, take, "0x1", own)
	w.refused(t, refusedAsDouble, take, "0x2", "pi_s")
	w.refused(t, "23503", take, "0x2", "pi_none")
	w.refused(t, refusedForGood, "UPDATE sponsored_authorizations SET intent_id = $1", own)
	w.refused(t, refusedForGood, "DELETE FROM sponsored_authorizations")
	w.refused(t, refusedForGood, "TRUNCATE sponsored_authorizations")

	w.refused(t, refusedByCheck, "INSERT INTO sponsorships VALUES ('mer_1', 0, 1)")
	w.refused(t, refusedByCheck, "INSERT INTO sponsorships VALUES ('mer_1', 2, 1)")
	w.allowed(t, "INSERT INTO sponsorships VALUES ('mer_1', 2, 2)")
}

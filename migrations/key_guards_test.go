package migrations_test

import "testing"

// Operators' keys and merchants' keys cannot be mixed up, by no bug and no hand.
func TestGuardsOfKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const insert = `INSERT INTO api_keys (id, merchant_id, mode, pepper_id, hash, scopes) VALUES ('7Kq2mZ9x', $1, $2, 'p1', decode(repeat('00', 32), 'hex'), $3)`
	for _, k := range []struct {
		merchant any
		mode     string
		scopes   []string
		allowed  bool
	}{
		{"mer_1", "live", []string{"payment_intents:write", "balances:read"}, true},
		{"mer_1", "test", []string{}, true},
		{nil, "admin", []string{"admin:read", "admin:write"}, true},
		{nil, "admin", []string{"admin:read"}, true},
		{"mer_1", "admin", []string{"admin:read"}, false},
		{nil, "live", []string{"balances:read"}, false},
		{"mer_1", "live", []string{"balances:read", "admin:read"}, false},
		{"mer_1", "test", []string{"admin:write"}, false},
		{nil, "admin", []string{"admin:read", "balances:read"}, false},
		{nil, "root", []string{"admin:read"}, false},
	} {
		if k.allowed {
			w.allowed(t, insert, k.merchant, k.mode, k.scopes)
		} else {
			w.refused(t, "23514", insert, k.merchant, k.mode, k.scopes)
		}
	}
	w.must(t, insert, "mer_1", "live", []string{"balances:read"})
	w.refused(t, "23514", "UPDATE api_keys SET scopes = scopes || '{admin:read}'::text[]")
	w.refused(t, "23514", "UPDATE api_keys SET merchant_id = NULL")
}

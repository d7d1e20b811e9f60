package api_test

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func to(chain, address string) func(map[string]any) {
	return set("destinations", []any{map[string]any{"chain": chain, "address": address}})
}

func TestBadInputIsRefusedAndWritesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := b.rows()
	manyKeys := map[string]string{}
	for _, r := range "abcdefghijklmnopqrstu" {
		manyKeys[string(r)] = ""
	}
	tests := []struct {
		name    string
		body    any
		with    []with
		status  int
		code    api.Code
		pointer string
	}{
		{name: "amount zero", body: order(set("amount", "0.000000")), status: 422, code: api.AmountNotPositive, pointer: "#/amount"},
		{name: "amount negative", body: order(set("amount", "-5")), status: 422, code: api.AmountNotPositive, pointer: "#/amount"},
		{name: "amount too precise", body: order(set("amount", "1.0000001")), status: 422, code: api.AmountTooPrecise, pointer: "#/amount"},
		{name: "amount too large for a chain", body: order(set("amount", "18446744073709.551616")), status: 422, code: api.AmountTooLarge, pointer: "#/amount"},
		{name: "amount too large for 256 bits", body: order(set("amount", strings.Repeat("9", 80))), status: 422, code: api.AmountTooLarge, pointer: "#/amount"},
		{name: "amount endless", body: order(set("amount", strings.Repeat("9", 81))), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount in words", body: order(set("amount", "ten")), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount with exponent", body: order(set("amount", "1e3")), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount with comma", body: order(set("amount", "1,5")), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount empty", body: order(set("amount", "")), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount in other digits", body: order(set("amount", "١٢")), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount as a number", body: order(set("amount", 12.5)), status: 422, code: api.AmountMalformed, pointer: "#/amount"},
		{name: "amount missing", body: order(func(o map[string]any) { delete(o, "amount") }), status: 422, code: api.FieldMissing, pointer: "#/amount"},
		{name: "asset unknown", body: order(set("asset", "DOGE")), status: 422, code: api.AssetUnknown, pointer: "#/asset"},
		{name: "asset in lower case", body: order(set("asset", "usdc")), status: 422, code: api.AssetUnknown, pointer: "#/asset"},
		{name: "chain not configured", body: order(to("tron", payee)), status: 422, code: api.ChainNotConfigured, pointer: "#/destinations/0/chain"},
		{name: "no destination", body: order(set("destinations", []any{})), status: 422, code: api.FieldInvalid, pointer: "#/destinations"},
		{name: "destinations null", body: order(set("destinations", nil)), status: 422, code: api.FieldMissing, pointer: "#/destinations"},
		{name: "address missing", body: order(set("destinations", []any{map[string]any{"chain": "solana"}})), status: 422, code: api.FieldMissing, pointer: "#/destinations/0/address"},
		{name: "chain twice", body: order(set("destinations", []any{
			map[string]any{"chain": "ethereum", "address": payee}, map[string]any{"chain": "eip155:1", "address": payee}})),
			status: 422, code: api.DestinationDuplicate, pointer: "#/destinations/1/chain"},
		{name: "bad checksum", body: order(to("ethereum", "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed")), status: 422, code: api.AddressBadChecksum, pointer: "#/destinations/0/address"},
		{name: "wrong chain", body: order(to("ethereum", solanaPayee)), status: 422, code: api.AddressWrongChain, pointer: "#/destinations/0/address"},
		{name: "no address", body: order(to("ethereum", "0x1234")), status: 422, code: api.AddressMalformed, pointer: "#/destinations/0/address"},
		{name: "zero address", body: order(to("ethereum", "0x0000000000000000000000000000000000000000")), status: 422, code: api.AddressForbidden, pointer: "#/destinations/0/address"},
		{name: "off curve", body: order(to("solana", "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")), status: 422, code: api.AddressOffCurve, pointer: "#/destinations/0/address"},
		{name: "token account", body: order(to("solana", "3EfkyHtUqFYj1sMzZ7VtYxwvJ3sbSzLkAWVaS9N2SvDD")), status: 422, code: api.AddressTokenAccount, pointer: "#/destinations/0/address"},
		{name: "fee bound zero", body: order(set("max_fee", "0")), status: 422, code: api.AmountNotPositive, pointer: "#/max_fee"},
		{name: "fee bound nonsense", body: order(set("max_fee", "x")), status: 422, code: api.AmountMalformed, pointer: "#/max_fee"},
		{name: "deadline over", body: order(set("deadline", "2020-01-01T00:00:00Z")), status: 422, code: api.DeadlinePast, pointer: "#/deadline"},
		{name: "deadline nonsense", body: order(set("deadline", "tomorrow")), status: 422, code: api.FieldInvalid, pointer: "#/deadline"},
		{name: "priority unknown", body: order(set("priority", "urgent")), status: 422, code: api.FieldInvalid, pointer: "#/priority"},
		{name: "reference long", body: order(set("reference", strings.Repeat("x", 201))), status: 422, code: api.FieldInvalid, pointer: "#/reference"},
		{name: "reference with NUL", body: order(set("reference", "a\x00b")), status: 422, code: api.FieldInvalid, pointer: "#/reference"},
		{name: "metadata too many", body: order(set("metadata", manyKeys)), status: 422, code: api.MetadataInvalid, pointer: "#/metadata"},
		{name: "metadata key long", body: order(set("metadata", map[string]string{strings.Repeat("k", 41): ""})), status: 422, code: api.MetadataInvalid, pointer: "#/metadata"},
		{name: "metadata value long", body: order(set("metadata", map[string]string{"a/b": strings.Repeat("v", 501)})), status: 422, code: api.MetadataInvalid, pointer: "#/metadata/a~1b"},
		{name: "metadata with NUL", body: order(set("metadata", map[string]string{"k": "\x00"})), status: 422, code: api.MetadataInvalid, pointer: "#/metadata/k"},
		{name: "metadata not text", body: order(set("metadata", map[string]any{"k": 1})), status: 422, code: api.MetadataInvalid, pointer: "#/metadata/k"},
		{name: "field unknown", body: order(set("amount_usd", "1")), status: 422, code: api.FieldUnknown, pointer: "#/amount_usd"},
		{name: "several faults", body: order(set("amount", "0"), set("asset", "USDC"), to("tron", payee)), status: 422, code: api.ValidationFailed},
		{name: "funds", body: order(set("amount", "1000.000001")), status: 422, code: api.InsufficientFunds},
		{name: "not JSON", body: `{"amount":`, status: 400, code: api.MalformedRequest},
		{name: "not an object", body: `[]`, status: 422, code: api.FieldInvalid, pointer: "#"},
		{name: "no body", body: nil, status: 400, code: api.MalformedRequest},
		{name: "body too large", body: order(set("reference", strings.Repeat("x", 70_000))), status: 413, code: api.RequestTooLarge},
		{name: "not JSON by name", body: order(), with: []with{header("Content-Type", "text/csv")}, status: 415, code: api.UnsupportedMediaType},
		{name: "key missing", body: order(), with: []with{func(r *http.Request) { r.Header.Del("Idempotency-Key") }}, status: 400, code: api.IdempotencyKeyMissing, pointer: "header:Idempotency-Key"},
		{name: "key long", body: order(), with: []with{idempotent(strings.Repeat("k", 256))}, status: 400, code: api.IdempotencyKeyInvalid, pointer: "header:Idempotency-Key"},
		{name: "key not ASCII", body: order(), with: []with{idempotent("schlüssel")}, status: 400, code: api.IdempotencyKeyInvalid, pointer: "header:Idempotency-Key"},
	}
	for _, tt := range tests {
		a := b.do("POST", "/v1/payment_intents", tt.body, append([]with{idempotent("k")}, tt.with...)...)
		if a.json["code"] != string(tt.code) {
			t.Errorf("%s:", tt.name)
		}
		a.refused(tt.status, tt.code, tt.pointer)
	}
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
	b.do("POST", "/v1/payment_intents", order(), idempotent("k")).want(201) // the key is still free
}

func TestSeveralFaultsAreListedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.do("POST", "/v1/payment_intents", order(set("amount", "0"), set("max_fee", "x"), to("tron", payee)), idempotent("k"))
	a.refused(422, api.ValidationFailed, "")
	var got []string
	for _, e := range a.json["errors"].([]any) {
		m := e.(map[string]any)
		got = append(got, m["pointer"].(string)+" "+m["code"].(string))
	}
	if s := strings.Join(got, ", "); s != "#/amount amount_not_positive, #/max_fee amount_malformed, #/destinations/0/chain chain_not_configured" {
		t.Error(s)
	}
}

func TestMerchantLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var m store.Merchant
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) (err error) {
		limit := payment.Units(10_000_000)
		m, err = tx.CreateMerchant(ctx, store.Merchant{Name: "Small", MaxAmount: &limit})
		return err
	})
	key := b.issue(m.ID, payment.Live)
	b.do("POST", "/v1/payment_intents", order(set("amount", "10.000001")), idempotent("k"), b.as(key)).refused(422, api.AmountAboveLimit, "#/amount")
	b.do("POST", "/v1/payment_intents", order(set("amount", "10")), idempotent("k"), b.as(key)).refused(422, api.InsufficientFunds, "")
}

func TestUnverifiedDestinationIsNotAccepted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := b.rows()
	b.destinations.set(func(d *destinations) { d.down = true })
	a := b.do("POST", "/v1/payment_intents", order(), idempotent("k"))
	a.refused(503, api.DestinationUnverified, "")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
	b.destinations.set(func(d *destinations) { d.down = false })
	b.do("POST", "/v1/payment_intents", order(), idempotent("k")).want(201)
}

func TestErrorsOutsideOperationsAreProblemsToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/v1/nothing", nil).refused(404, api.RouteNotFound, "")
	b.do("GET", "/v1/payment_intents/", nil).refused(404, api.RouteNotFound, "")
	a := b.do("DELETE", "/v1/payment_intents", nil)
	a.refused(405, api.MethodNotAllowed, "")
	if a.Header.Get("Allow") == "" {
		t.Error("no Allow header")
	}
	b.do("GET", "/v1/payment_intents?limit=0", nil).refused(400, api.ParameterInvalid, "query:limit")
	b.do("GET", "/v1/payment_intents?limit=101", nil).refused(400, api.ParameterInvalid, "query:limit")
	b.do("GET", "/v1/payment_intents?page=2", nil).refused(400, api.ParameterInvalid, "query:page")
	b.do("GET", "/v1/payment_intents?status=paid", nil).refused(400, api.ParameterInvalid, "")
	b.do("GET", "/v1/payment_intents?reference=%00", nil).refused(400, api.ParameterInvalid, "query:reference")
	b.do("GET", "/v1/payment_intents?created_gte=now", nil).refused(400, api.ParameterInvalid, "query:created_gte")
	for _, id := range []string{"pi_%00", "x", "pi_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f", strings.Repeat("a", 60), "%ff"} {
		b.do("GET", "/v1/payment_intents/"+id, nil).want(404)
	}
	b.destinations.set(func(d *destinations) { d.panics = true })
	b.do("POST", "/v1/payment_intents", order(), idempotent("k")).refused(500, api.InternalError, "")
}

func TestDatabaseDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do("GET", "/v1/balances", nil).want(200)
	b.dropDatabase()
	a := b.do("GET", "/v1/balances", nil)
	a.refused(503, api.Unavailable, "")
	if strings.Contains(string(a.raw), "database \"") {
		t.Errorf("the answer shows our inside: %s", a.raw)
	}
	a = b.do("GET", "/ready", nil).want(503)
	if check := a.json["checks"].([]any)[0].(map[string]any); check["name"] != "postgres" || check["ok"] != false {
		t.Errorf("ready: %s", a.raw)
	}
	b.do("GET", "/health", nil).want(200)
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for given, kept := range map[string]bool{"abc-DEF_1": true, "": false, "has space": false, strings.Repeat("x", 65): false, "a\"b": false} {
		got := b.do("GET", "/health", nil, header("Request-Id", given)).Header.Get("Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("Request-Id %q came back as %q", given, got)
		}
	}
}

package api_test

import (
	"context"
	"fmt"
	"maps"
	"testing"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// alike begins and ends as payee does, in capitals of its own.
const alike = "0x5AaE1111111111111111111111111111111BEAeD"

// validate asks about an address, of which the chain says facts.
func (b *bench) validate(chain, address string, facts payment.AddressFacts, with ...with) answer {
	b.t.Helper()
	b.destinations.set(func(d *destinations) { d.facts = facts })
	return b.do("POST", "/v1/addresses/validate", map[string]string{"chain": chain, "address": address}, with...)
}

// wallet is what a chain says of an address that may be paid.
var wallet = payment.AddressFacts{Family: "evm", Checksum: payment.ChecksumValid, Kind: payment.KindWallet, OpensAccount: payment.No, Frozen: payment.No}

func (a answer) problems() string {
	var codes []any
	list, _ := a.json["problems"].([]any)
	for _, p := range list {
		codes = append(codes, p.(map[string]any)["code"])
	}
	return fmt.Sprint(codes)
}

func TestValidateTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rows := b.rows()
	a := b.validate("eip155:1", payee, wallet).want(200)
	want := map[string]any{"object": "address_report", "chain": "ethereum", "family": "evm", "address": payee, "account": "eip155:1:" + payee, "payable": "yes",
		"checksum": "valid", "kind": "wallet", "opens_token_account": "no", "frozen": "no", "own": false, "blocked": false}
	for name, value := range want {
		if a.json[name] != value {
			t.Errorf("%s = %v, want %v", name, a.json[name], value)
		}
	}
	byAccount := b.do("POST", "/v1/addresses/validate", map[string]string{"account": "eip155:1:" + payee}).want(200)
	if string(byAccount.raw) != string(a.raw) {
		t.Errorf("by account id: %s", byAccount.raw)
	}
	frozen, unchecked := wallet, wallet
	frozen.Frozen = payment.Yes
	unchecked.Unchecked, unchecked.Kind, unchecked.Frozen = true, payment.KindUnknown, payment.Unknown
	own := payment.AddressFacts{Family: "evm", Checksum: payment.ChecksumAbsent, Kind: payment.KindContract, Own: true, OpensAccount: payment.No, Frozen: payment.No}
	for _, tt := range []struct {
		address  string
		facts    payment.AddressFacts
		payable  string
		problems string
	}{
		{payee, frozen, "no", "[address_frozen]"},
		{payee, unchecked, "unknown", "[destination_unverified]"},
		{"0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", wallet, "no", "[address_bad_checksum]"},
		{"0x0000000000000000000000000000000000000000", own, "no", "[address_forbidden]"},
	} {
		if a := b.validate("ethereum", tt.address, tt.facts).want(200); a.json["payable"] != tt.payable || a.problems() != tt.problems {
			t.Errorf("%s: %s", tt.address, a.raw)
		}
	}
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error {
		return tx.BlockAddress(ctx, "ethereum", payee, "on a list")
	})
	if a := b.validate("ethereum", payee, wallet).want(200); a.json["payable"] != "no" || a.problems() != "[address_blocked]" || a.json["blocked"] != true {
		t.Errorf("blocked: %s", a.raw)
	}
	b.validate("tron", payee, wallet).refused(422, api.ChainNotConfigured, "#/chain")
	b.do("POST", "/v1/addresses/validate", `{"chain":"ethereum"}`).refused(422, api.FieldMissing, "#/address")
	b.do("POST", "/v1/addresses/validate", `{"account":"x"}`).refused(422, api.FieldInvalid, "#/account")
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
}

// What validate finds wrong with an address is what ordering a payment refuses.
func TestValidateSharesItsCodesWithOrdering(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for address, code := range refuse {
		a := b.validate("ethereum", address, wallet).want(200)
		if a.problems() != "["+code+"]" {
			t.Errorf("%s: %s", address, a.raw)
		}
		b.do("POST", list, order(to("ethereum", address)), idempotent("k")).refused(422, api.Code(code), "#/destinations/0/address")
	}
}

// Somebody sends dust from an address that looks like one that was paid, and
// hopes that it is copied from the history.
func TestLookAlikes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if a := b.validate("ethereum", alike, wallet).want(200); fmt.Sprint(a.json["look_alikes"]) != "[]" {
		t.Errorf("nobody was paid: %s", a.raw)
	}
	b.create() // ordered, not paid
	paid := b.create().id()
	storetest.Settle(t, b.store, paid)
	storetest.Settle(t, b.store, b.create().id())
	a := b.validate("ethereum", alike, wallet).want(200)
	found := a.json["look_alikes"].([]any)
	if len(found) != 1 {
		t.Fatalf("look_alikes: %s", a.raw)
	}
	first := found[0].(map[string]any)
	if first["address"] != payee || first["chain"] != "ethereum" || first["payment_intent"] != paid || first["paid_at"] == nil || a.json["payable"] != "yes" {
		t.Errorf("look-alike: %s", a.raw)
	}
	for _, other := range []string{payee, "0x5AaF1111111111111111111111111111111BEAeD", "0x5AaE1111111111111111111111111111111BEAee"} {
		if a := b.validate("ethereum", other, wallet).want(200); fmt.Sprint(a.json["look_alikes"]) != "[]" {
			t.Errorf("%s resembles: %s", other, a.raw)
		}
	}
}

func TestLookAlikesAreTheMerchantsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	storetest.Settle(t, b.store, b.create().id())
	for name, key := range map[string]string{
		"another merchant": b.issue(storetest.Merchant(t, b.store, 0).ID, payment.Live), "the other mode": b.issue(b.merchant.ID, payment.Test),
	} {
		if a := b.validate("ethereum", alike, wallet, b.as(key)).want(200); fmt.Sprint(a.json["look_alikes"]) != "[]" {
			t.Errorf("%s sees: %s", name, a.raw)
		}
	}
}

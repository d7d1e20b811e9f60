package api_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

const (
	sponsoredPath = "/v1/sponsored_payments"
	payer         = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"
	feeUnits      = 500_000 // most that a sponsored payment of these tests may cost
)

// sponsorMerchant lets a merchant have so many sponsored payments a day.
func (b *bench) sponsorMerchant(id string, payments uint64) {
	b.t.Helper()
	storetest.Tx(b.t, b.store, func(ctx context.Context, tx *store.Tx) error {
		return tx.Sponsor(ctx, id, store.Sponsorship{MaxFee: payment.Units(feeUnits), MaxFeePerDay: payment.Units(feeUnits * payments)})
	})
}

// authorization is a request body that is accepted; n makes its nonce.
func authorization(n int, changes ...func(map[string]any)) map[string]any {
	o := map[string]any{"chain": "ethereum", "from": payer, "to": strings.ToLower(payee), "amount": "12.50", "asset": "USDC", "valid_after": 0,
		"valid_before": 4_102_444_800, "nonce": fmt.Sprintf("0x%064x", n), "signature": "0x" + strings.Repeat("1b", 65)}
	for _, change := range changes {
		change(o)
	}
	return o
}

func (b *bench) sponsored(n int, key string, changes ...with) answer {
	b.t.Helper()
	return b.do("POST", sponsoredPath, authorization(n), append(changes, idempotent(key))...)
}

func TestSponsoredPaymentIsAPaymentOfAnothersMoney(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relay()
	b.sponsorMerchant(b.merchant.ID, 10)
	before := b.rows()
	body := authorization(1, set("reference", "invoice-1"), set("metadata", map[string]string{"order": "17"}))
	a := b.do("POST", sponsoredPath, body, idempotent("k")).want(201)
	for name, value := range map[string]any{"object": "payment_intent", "status": "created", "amount": "12.500000", "max_fee": "0.500000", "reference": "invoice-1", "sequence": float64(1)} {
		if a.json[name] != value {
			t.Errorf("%s = %v, want %v", name, a.json[name], value)
		}
	}
	if a.at("authorization", "from") != payer || a.at("authorization", "nonce") != body["nonce"] || a.at("authorization", "signature") != nil {
		t.Errorf("authorization: %v", a.json["authorization"])
	}
	if d := a.json["destinations"].([]any)[0].(map[string]any); d["chain"] != "ethereum" || d["address"] != payee {
		t.Errorf("destination is not canonical: %v", d)
	}
	after := b.rows()
	for table, n := range map[string]int{"payment_intents": 1, "events": 1, "intent_starts": 1, "ledger_transfers": 0, "ledger_entries": 0, "idempotency_keys": 1} {
		if after[table]-before[table] != n {
			t.Errorf("%s: %d new rows, want %d", table, after[table]-before[table], n)
		}
	}
	if d := b.do("GET", "/v1/balances", nil).want(200).data()[0]; d["available"] != "1000.000000" || d["held"] != "0.000000" {
		t.Errorf("the merchant's balance changed: %v", d)
	}
	eventually(t, "the workflow starts", func() bool { return b.temporal.starts(a.id()) == 1 })

	b.sponsor.say(errors.New("the nodes do not answer"))
	again := b.do("POST", sponsoredPath, body, idempotent("k")).want(201)
	if string(again.raw) != string(a.raw) || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a repetition gets %s", again.raw)
	}
	b.do("POST", sponsoredPath, authorization(2), idempotent("k")).refused(422, api.IdempotencyMismatch, "")

	if got := b.do("GET", list+"/"+a.id(), nil).want(200); got.at("authorization", "from") != payer {
		t.Errorf("GET: %s", got.raw)
	}
	if got := b.do("GET", list+"?reference=invoice-1", nil).want(200).data(); len(got) != 1 || got[0]["id"] != a.id() {
		t.Errorf("list: %v", got)
	}
	if c := b.do("POST", list+"/"+a.id()+"/cancel", nil).want(200); c.json["status"] != "canceled" || c.at("balances_after", "available") != "1000.000000" {
		t.Errorf("cancel: %s", c.raw)
	}
	b.do("POST", list+"/"+a.id()+"/retry", nil, idempotent("again")).refused(409, api.NotRetryable, "") // it would spend the merchant's money
}

// One authorization makes one payment, for ever, whoever brings it under
// whatever key; only its owner is told which.
func TestOnePaymentPerAuthorization(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := storetest.Merchant(t, b.store, 0)
	b.sponsorMerchant(b.merchant.ID, 100)
	b.sponsorMerchant(other.ID, 100)
	keys := []string{b.key, b.issue(other.ID, payment.Live)}

	const atOnce = 16
	answers := make([]answer, atOnce)
	var running sync.WaitGroup
	for i := range atOnce {
		running.Go(func() { answers[i] = b.sponsored(1, fmt.Sprintf("k%d", i), b.as(keys[i%2])) })
	}
	running.Wait()
	var made string
	owner := 0
	for i, a := range answers {
		if a.StatusCode == http.StatusCreated {
			if made != "" {
				t.Fatalf("two payments, %s and %s", made, a.id())
			}
			made, owner = a.id(), i%2
		}
	}
	for i, a := range answers {
		if a.StatusCode == http.StatusCreated {
			continue
		}
		a.refused(409, api.AuthorizationTaken, "")
		if existing, own := a.json["existing_id"], i%2 == owner; own && existing != made || !own && existing != nil {
			t.Errorf("existing_id %v for the owner: %v", existing, own)
		}
	}
	var committed string
	if err := b.sql.QueryRow(t.Context(), "SELECT sum(committed)::text FROM sponsored_days").Scan(&committed); err != nil || committed != fmt.Sprint(feeUnits) {
		t.Errorf("%s of the limits is committed (%v), want %d", committed, err, feeUnits)
	}

	// The same request again, at the same time.
	for i := range atOnce {
		running.Go(func() { answers[i] = b.sponsored(2, "one") })
	}
	running.Wait()
	for _, a := range answers {
		if a.want(201).id() != answers[0].id() {
			t.Errorf("one key made %s and %s", a.id(), answers[0].id())
		}
	}
	b.sponsor.say(&payment.AuthorizationError{Code: payment.AuthorizationSpent, Field: "nonce", Detail: "used"})
	if a := b.sponsored(2, "when-it-is-made"); a.json["existing_id"] != answers[0].id() {
		t.Errorf("its owner is not told which payment used it: %s", a.raw)
	} else {
		a.refused(409, api.AuthorizationTaken, "")
	}
	b.sponsor.say(nil)
	if a := b.sponsored(2, "in-test-mode", b.as(b.issue(b.merchant.ID, payment.Test))); a.json["existing_id"] != nil {
		t.Errorf("the other mode is told: %s", a.raw)
	} else {
		a.refused(409, api.AuthorizationTaken, "")
	}
}

// A day's limit holds, however many ask at once, and what is refused has written
// nothing.
func TestSponsorshipHasLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sponsored(1, "k").refused(403, api.SponsorshipOff, "")
	const allowed, asked = 5, 14
	b.sponsorMerchant(b.merchant.ID, allowed)
	rows := b.rows()
	answers := make([]answer, asked)
	var running sync.WaitGroup
	for i := range asked {
		running.Go(func() { answers[i] = b.sponsored(i, fmt.Sprintf("k%d", i)) })
	}
	running.Wait()
	made := 0
	refused := -1
	for i, a := range answers {
		if a.StatusCode == http.StatusCreated {
			made++
			continue
		}
		a.refused(422, api.SponsorshipSpent, "")
		refused = i
	}
	if now := b.rows(); made != allowed || now["payment_intents"] != rows["payment_intents"]+allowed || now["idempotency_keys"] != rows["idempotency_keys"]+allowed {
		t.Errorf("%d payments were made of %d allowed: %v", made, allowed, now)
	}
	b.sponsorMerchant(b.merchant.ID, allowed+1)
	b.sponsored(refused, fmt.Sprintf("k%d", refused)).want(201)
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error { return tx.Unsponsor(ctx, b.merchant.ID) })
	b.sponsored(100, "k100").refused(403, api.SponsorshipOff, "")
}

func TestSponsoredPaymentsAreRefusedClearly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sponsorMerchant(b.merchant.ID, 10)
	rows := b.rows()
	for name, c := range map[string]struct {
		body    map[string]any
		says    error
		status  int
		code    api.Code
		pointer string
	}{
		"signature":        {authorization(1), &payment.AuthorizationError{Code: payment.AuthorizationSignature, Field: "signature", Detail: "not theirs"}, 422, api.AuthorizationSignature, "#/signature"},
		"time":             {authorization(1), &payment.AuthorizationError{Code: payment.AuthorizationWindow, Field: "valid_before", Detail: "too short"}, 422, api.AuthorizationWindow, "#/valid_before"},
		"spent":            {authorization(1), &payment.AuthorizationError{Code: payment.AuthorizationSpent, Field: "nonce", Detail: "used"}, 422, api.AuthorizationSpent, "#/nonce"},
		"balance":          {authorization(1), &payment.AuthorizationError{Code: payment.PayerBalance, Field: "amount", Detail: "too little"}, 422, api.PayerBalance, "#/amount"},
		"token":            {authorization(1), &payment.AuthorizationError{Code: payment.AuthorizationRefused, Field: "signature", Detail: "paused"}, 422, api.AuthorizationRefused, "#/signature"},
		"chain":            {authorization(1), &payment.AuthorizationError{Code: payment.SponsoringNotOffered, Field: "chain", Detail: "no"}, 422, api.SponsoringNotOffered, "#/chain"},
		"fee":              {authorization(1), &payment.AuthorizationError{Code: payment.SponsorFeeTooHigh, Field: "chain", Detail: "dear"}, 503, api.SponsorFeeTooHigh, ""},
		"payer":            {authorization(1), &payment.AddressError{Code: payment.AddressForbidden, Detail: "our own"}, 422, api.AddressForbidden, "#/from"},
		"nodes":            {authorization(1), errors.New("the nodes do not answer"), 503, api.DestinationUnverified, ""},
		"payee":            {authorization(1, set("to", "0x1234")), nil, 422, api.AddressMalformed, "#/to"},
		"unknown chain":    {authorization(1, set("chain", "tron")), nil, 422, api.ChainNotConfigured, "#/chain"},
		"amount":           {authorization(1, set("amount", "0")), nil, 422, api.AmountNotPositive, "#/amount"},
		"negative time":    {authorization(1, set("valid_after", -1)), nil, 422, api.FieldInvalid, "#/valid_after"},
		"no signature":     {authorization(1, func(o map[string]any) { delete(o, "signature") }), nil, 422, api.FieldMissing, "#/signature"},
		"an unknown field": {authorization(1, set("deadline", "2126-01-02T03:04:05Z")), nil, 422, api.FieldUnknown, "#/deadline"},
	} {
		b.sponsor.say(c.says)
		t.Log(name)
		b.do("POST", sponsoredPath, c.body, idempotent("k")).refused(c.status, c.code, c.pointer)
	}
	b.sponsor.say(nil)
	b.do("POST", sponsoredPath, authorization(1)).refused(400, api.IdempotencyKeyMissing, "")
	if now := b.rows(); !maps.Equal(now, rows) {
		t.Errorf("refused requests left %v, before there was %v", now, rows)
	}
	b.sponsored(1, "k").want(201)
}

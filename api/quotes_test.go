package api_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// cents is a network fee of n cents, in wei at the price that publish tells.
func cents(n uint64) uint64 { return n * 10_000_000_000_000 / 3 }

// quoted asks for a quote that promises a chain.
func (b *bench) quoted(changes ...func(map[string]any)) answer {
	b.t.Helper()
	b.publish("ethereum", cents(3), 900, 1_000_000_000_000, 0)
	a := b.do("POST", "/v1/quotes", order(changes...)).want(201)
	if a.json["chain"] != "ethereum" {
		b.t.Fatalf("no chain is promised: %s", a.raw)
	}
	return a
}

func byQuote(id string) map[string]any { return map[string]any{"quote": id} }

func TestQuoteIsStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.quoted(set("priority", "reliable"), set("max_fee", "0.50"), set("allowed_chains", []string{"eip155:1"}), set("destinations", []any{
		map[string]any{"chain": "solana", "address": "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"}, map[string]any{"chain": "ethereum", "address": payee}}))
	for name, want := range map[string]any{"object": "quote", "mode": "live", "amount": "12.500000", "asset": "USDC", "priority": "reliable",
		"max_fee": "0.500000", "total_fee": "0.030000", "fee_bound": "0.040000"} {
		if a.json[name] != want {
			t.Errorf("%s = %v, want %v: %s", name, a.json[name], want, a.raw)
		}
	}
	if problems := a.json["options"].([]any)[1].(map[string]any)["problems"].([]any); problems[0].(map[string]any)["code"] != "chain_not_allowed" {
		t.Errorf("solana: %v", problems)
	}
	expires, err := time.Parse(time.RFC3339, a.json["expires_at"].(string))
	if left := time.Until(expires); err != nil || left < time.Minute || left > 2*time.Minute {
		t.Errorf("expires in %s, %v", left, err)
	}
	b.publish("ethereum", cents(99), 900, 1, 0) // a quote stays as it was given
	if again := b.do("GET", "/v1/quotes/"+a.id(), nil).want(200); string(again.raw) != string(a.raw) {
		t.Errorf("read:\n%s\nwas:\n%s", again.raw, a.raw)
	}
	b.do("GET", "/v1/quotes/qt_1", nil).refused(404, api.NotFound, "")
}

func TestQuoteMakesAPayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	quote := b.quoted(set("priority", "fast"), set("max_fee", "0.50"), set("allowed_chains", []string{"ethereum"})).id()
	body := byQuote(quote)
	body["reference"] = "invoice-1"
	a := b.do("POST", list, body, idempotent("k")).want(201)
	for name, want := range map[string]any{"quote": quote, "amount": "12.500000", "asset": "USDC", "priority": "fast", "max_fee": "0.500000", "reference": "invoice-1"} {
		if a.json[name] != want {
			t.Errorf("%s = %v, want %v: %s", name, a.json[name], want, a.raw)
		}
	}
	if got := fmt.Sprint(a.json["allowed_chains"], a.json["destinations"]); got != "[ethereum] [map[address:"+payee+" chain:ethereum]]" {
		t.Errorf("%s: %s", got, a.raw)
	}
	if q := b.do("GET", "/v1/quotes/"+quote, nil).want(200); q.json["payment_intent"] != a.id() {
		t.Errorf("the quote does not name its payment: %s", q.raw)
	}
	b.clock.Add(3600) // a repetition gets its answer even when the quote has expired
	again := b.do("POST", list, body, idempotent("k")).want(201)
	if string(again.raw) != string(a.raw) || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("repeated: %s", again.raw)
	}
	used := b.do("POST", list, byQuote(quote), idempotent("other"))
	used.refused(409, api.QuoteUsed, "")
	if used.json["existing_id"] != a.id() {
		t.Errorf("existing_id: %s", used.raw)
	}
}

// Fifty requests race for one quote, two with each key.
func TestQuoteIsUsedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	quote := b.quoted(set("amount", "900")).id() // the losers could not pay it either: that must not hide why they lost
	before := b.rows()
	const n = 50
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = b.do("POST", list, byQuote(quote), idempotent(fmt.Sprint("k", i/2))) })
	}
	wg.Wait()
	id := b.do("GET", "/v1/quotes/"+quote, nil).want(200).json["payment_intent"]
	made := 0
	for _, a := range answers {
		if a.StatusCode == http.StatusCreated && a.id() == id {
			made++
			continue
		}
		a.refused(409, api.QuoteUsed, "")
		if a.json["existing_id"] != id {
			t.Errorf("existing_id, want %s: %s", id, a.raw)
		}
	}
	after := b.rows()
	for _, table := range []string{"payment_intents", "events", "ledger_transfers", "idempotency_keys"} {
		if made != 2 || after[table]-before[table] != 1 {
			t.Errorf("made is the answer to %d, want both with the key of the first; %s: %d new rows, want 1", made, table, after[table]-before[table])
		}
	}
}

func TestUnusableQuotesMakeNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	nowhere := b.do("POST", "/v1/quotes", order()).want(201) // no chain is observed yet
	if nowhere.json["chain"] != nil || nowhere.json["total_fee"] != nil {
		t.Errorf("promised without a chain: %s", nowhere.raw)
	}
	quote := b.quoted().id()
	testKey := b.issue(b.merchant.ID, payment.Test)
	stranger := b.issue(storetest.Merchant(t, b.store, funds).ID, payment.Live)
	rows := b.rows()
	b.do("POST", list, byQuote(nowhere.id()), idempotent("k")).refused(422, api.QuoteNoRoute, "#/quote")
	b.do("POST", list, byQuote("qt_1"), idempotent("k")).refused(422, api.QuoteNotFound, "#/quote")
	b.do("POST", list, byQuote(quote), idempotent("k"), b.as(testKey)).refused(422, api.QuoteNotFound, "#/quote")
	b.do("POST", list, byQuote(quote), idempotent("k"), b.as(stranger)).refused(422, api.QuoteNotFound, "#/quote")
	for name, value := range map[string]any{"amount": "12.50", "asset": "USDC", "priority": "cheap", "max_fee": "1", "allowed_chains": []string{"ethereum"},
		"destinations": order()["destinations"]} {
		body := byQuote(quote)
		body[name] = value
		b.do("POST", list, body, idempotent("k")).refused(422, api.QuoteConflict, "#/"+name)
	}
	b.clock.Add(121)
	b.do("POST", list, byQuote(quote), idempotent("k")).refused(409, api.QuoteExpired, "")
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
	b.clock.Add(-121)
	b.do("POST", list, byQuote(quote), idempotent("k")).want(201) // neither the quote nor the key is spent
}

func TestAllowedChains(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.create(set("allowed_chains", []string{"eip155:1", "ethereum"}))
	if got := fmt.Sprint(a.json["allowed_chains"]); got != "[ethereum]" {
		t.Errorf("allowed_chains: %s", a.raw)
	}
	for _, tt := range []struct {
		allowed []string
		code    api.Code
		pointer string
	}{
		{[]string{"solana"}, api.ChainNotAllowed, "#/allowed_chains"},
		{[]string{"ethereum", "tron"}, api.ChainNotConfigured, "#/allowed_chains/1"},
		{[]string{}, api.FieldInvalid, "#/allowed_chains"},
	} {
		b.do("POST", list, order(set("allowed_chains", tt.allowed)), idempotent("k")).refused(422, tt.code, tt.pointer)
	}
}

func TestDestinationsByAccountID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account := func(id string) func(map[string]any) { return set("destinations", []any{map[string]any{"account": id}}) }
	a := b.create(account("eip155:1:" + payee))
	if got := fmt.Sprint(a.json["destinations"]); got != "[map[address:"+payee+" chain:ethereum]]" {
		t.Errorf("destinations: %s", got)
	}
	b.create(account("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"))
	for id, code := range map[string]api.Code{
		"eip155:137:" + payee: api.ChainNotConfigured, payee: api.FieldInvalid, "eip155:1:0x1234": api.AddressMalformed, "eip155:1:" + solanaPayee: api.AddressWrongChain,
	} {
		b.do("POST", list, order(account(id)), idempotent("k")).refused(422, code, "#/destinations/0/account")
	}
	both := map[string]any{"account": "eip155:1:" + payee, "chain": "ethereum"}
	b.do("POST", list, order(set("destinations", []any{both})), idempotent("k")).refused(422, api.FieldInvalid, "#/destinations/0/account")
	b.do("POST", list, order(set("destinations", []any{map[string]any{}})), idempotent("k")).refused(422, api.FieldMissing, "#/destinations/0/chain")
}

func TestListByMetadata(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := b.create(set("metadata", map[string]string{"order": "17", "shop": "a&b"})).id()
	two := b.create(set("metadata", map[string]string{"order": "17"})).id()
	b.create(set("metadata", map[string]string{"shop": "17"}))
	for query, want := range map[string][]string{
		"metadata[order]=17":                                   {two, one},
		"metadata%5Border%5D=17&metadata[shop]=a%26b":          {one},
		"metadata[order]=1":                                    nil,
		"metadata[order]=17&status=created&created_lt=" + past: nil,
	} {
		if got := b.ids(query + "&limit=1"); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	cursor := b.do("GET", list+"?metadata[order]=17&limit=1", nil).want(200).json["next_cursor"].(string)
	b.do("GET", list+"?metadata[order]=18&limit=1&cursor="+cursor, nil).refused(400, api.CursorInvalid, "query:cursor")
	b.do("GET", list+"?metadata[order]=%00", nil).refused(400, api.ParameterInvalid, "query:metadata")
	b.do("GET", list+"?metadata=17", nil).refused(400, api.ParameterInvalid, "query:metadata")
}

const past = "2020-01-01T00:00:00Z"

// ended makes a payment that ended unpaid.
func (b *bench) ended(status payment.Status, changes ...func(map[string]any)) answer {
	b.t.Helper()
	a := b.create(changes...)
	storetest.End(b.t, b.store, a.id(), status)
	return a
}

func TestRetryOrdersAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relay()
	for _, status := range []payment.Status{payment.Failed, payment.Expired, payment.Canceled, payment.Rejected} {
		old := b.ended(status, set("reference", "inv"), set("metadata", map[string]string{"order": "1"}), set("priority", "fast"),
			set("max_fee", "0.5"), set("allowed_chains", []string{"ethereum"}))
		a := b.do("POST", list+"/"+old.id()+"/retry", nil, idempotent("retry "+string(status))).want(201)
		if a.id() == old.id() || a.json["retry_of"] != old.id() || a.json["status"] != "created" || a.at("balances_after", "held") == "0.000000" {
			t.Errorf("%s: %s", status, a.raw)
		}
		for _, name := range []string{"amount", "asset", "destinations", "reference", "metadata", "priority", "max_fee", "allowed_chains", "mode"} {
			if fmt.Sprint(a.json[name]) != fmt.Sprint(old.json[name]) {
				t.Errorf("%s: %v, was %v", name, a.json[name], old.json[name])
			}
		}
		eventually(t, "the workflow starts", func() bool { return b.temporal.starts(a.id()) == 1 })
		if again := b.do("POST", list+"/"+old.id()+"/retry", nil, idempotent("retry "+string(status))).want(201); string(again.raw) != string(a.raw) {
			t.Errorf("repeated: %s", again.raw)
		}
		twice := b.do("POST", list+"/"+old.id()+"/retry", nil, idempotent("twice "+string(status)))
		twice.refused(409, api.AlreadyRetried, "")
		if twice.json["existing_id"] != a.id() {
			t.Errorf("existing_id: %s", twice.raw)
		}
		if still := b.do("GET", list+"/"+old.id(), nil).want(200); still.json["status"] != string(status) {
			t.Errorf("the old payment is %v", still.json["status"])
		}
		storetest.End(t, b.store, a.id(), payment.Failed)
		if chain := b.do("POST", list+"/"+a.id()+"/retry", nil, idempotent("chain "+string(status))).want(201); chain.json["retry_of"] != a.id() {
			t.Errorf("a retry's retry: %s", chain.raw)
		}
	}
}

func TestOnlyUnpaidPaymentsAreRetried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	open, review, settled := b.create().id(), b.create().id(), b.create().id()
	storetest.Advance(t, b.store, review, payment.ManualReview)
	storetest.Settle(t, b.store, settled)
	rows := b.rows()
	for _, id := range []string{open, review, settled} {
		b.do("POST", list+"/"+id+"/retry", nil, idempotent("k")).refused(409, api.NotRetryable, "")
	}
	b.do("POST", list+"/"+settled+"/retry", nil).refused(400, api.IdempotencyKeyMissing, "header:Idempotency-Key")
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
}

// The deadline of what is retried must lie ahead, or another one be given.
func TestRetryNeedsADeadlineAhead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	soon := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	retry := list + "/" + b.ended(payment.Expired, set("deadline", soon)).id() + "/retry"
	b.clock.Add(120)
	b.do("POST", retry, nil, idempotent("k")).refused(422, api.DeadlinePast, "#/deadline")
	if a := b.do("POST", retry, `{"deadline":"2126-01-02T03:04:05Z"}`, idempotent("k")).want(201); a.json["deadline"] != "2126-01-02T03:04:05Z" {
		t.Errorf("deadline: %s", a.raw)
	}
}

func TestConcurrentRetriesMakeOnePayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.ended(payment.Failed, set("amount", "900")).id()
	const n = 20
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = b.do("POST", list+"/"+old+"/retry", nil, idempotent(fmt.Sprint("k", i%10))) })
	}
	wg.Wait()
	made := map[string]int{}
	for _, a := range answers {
		if a.StatusCode == http.StatusCreated {
			made[a.id()]++
		} else {
			a.refused(409, api.AlreadyRetried, "")
		}
	}
	if len(made) != 1 || slices.Collect(maps.Values(made))[0] != 2 {
		t.Errorf("made %v, want one, as the answer to both requests with its key", made)
	}
}

func TestRouteIsShownAsItWasDecided(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	if a := b.do("GET", list+"/"+id+"/route", nil).want(200); len(a.json["decisions"].([]any)) != 0 {
		t.Errorf("before it is routed: %s", a.raw)
	}
	quote := b.quoted().id() // holds a decision as SelectRoute stores it
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error {
		q, err := tx.GetQuote(ctx, quote)
		if err != nil {
			return err
		}
		_, err = storetest.OpenAttempt(ctx, tx, id, q.Decision)
		return err
	})
	b.publish("ethereum", cents(99), 1, 1, 0) // today's fees are not asked
	a := b.do("GET", list+"/"+id+"/route", nil).want(200)
	d := a.json["decisions"].([]any)[0].(map[string]any)
	option := d["options"].([]any)[0].(map[string]any)
	if d["attempt"] != float64(1) || d["chain"] != "ethereum" || option["total_fee"] != "0.030000" || option["qualifies"] != true || option["eta_seconds"] != float64(900) {
		t.Errorf("route: %s", a.raw)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	plain := b.do("GET", list+"/"+id, nil).want(200)
	if plain.json["attempts"] != nil || plain.json["ledger_entries"] != nil {
		t.Errorf("not asked for: %s", plain.raw)
	}
	a := b.do("GET", list+"/"+id+"?expand=attempts,ledger_entries", nil).want(200)
	if got := fmt.Sprint(a.json["attempts"]); got != "[]" {
		t.Errorf("attempts of a payment without any: %s", a.raw)
	}
	storetest.Settle(t, b.store, id)
	a = b.do("GET", list+"/"+id+"?expand=ledger_entries,attempts", nil).want(200)
	var kinds []any
	for _, e := range a.json["ledger_entries"].([]any) {
		m := e.(map[string]any)
		kinds = append(kinds, m["kind"], m["amount"], m["asset"])
	}
	if got := fmt.Sprint(kinds); got != "[hold 12.500000 USDC spend 12.500000 USDC]" {
		t.Errorf("ledger_entries: %s", got)
	}
	if one := a.json["attempts"].([]any)[0].(map[string]any); one["number"] != float64(1) || one["slots"].([]any)[0].(map[string]any)["state"] != "paid" {
		t.Errorf("attempts: %s", a.raw)
	}
	listed := b.do("GET", list+"/"+id+"/attempts", nil).want(200)
	if fmt.Sprint(listed.json["data"]) != fmt.Sprint(a.json["attempts"]) {
		t.Errorf("the list of attempts differs: %s", listed.raw)
	}
	b.do("GET", list+"/"+id+"?expand=route", nil).refused(400, api.ParameterInvalid, "query:expand[0]")
	b.do("GET", list+"?expand=attempts", nil).refused(400, api.ParameterInvalid, "query:expand")
}

package api_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

// route is an operation of the OpenAPI document.
type route struct{ method, path string }

// routes reads every operation that needs a key from the served document.
func (b *bench) routes() []route {
	b.t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Security []map[string][]string `json:"security"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(b.do("GET", "/openapi.json", nil).want(200).raw, &document); err != nil {
		b.t.Fatal(err)
	}
	var out []route
	for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
		for method, op := range document.Paths[path] {
			if len(op.Security) > 0 {
				out = append(out, route{strings.ToUpper(method), path})
			}
		}
	}
	return out
}

// What no stranger can misuse: these routes make something of the caller's own,
// or show what is everybody's.
var callersOwn = []route{
	{"POST", "/v1/payment_intents"}, {"POST", "/v1/batches"}, {"POST", "/v1/quotes"}, {"POST", "/v1/webhook_endpoints"}, {"POST", "/v1/schedules"}, {"GET", "/v1/chains"},
	{"POST", "/v1/sponsored_payments"}, // TestOnePaymentPerAuthorization: one that is taken is not told whose it is
	{"POST", "/v1/addresses/validate"}, // TestLookAlikesAreTheMerchantsOwn
	{"GET", "/v1/events/stream"},       // TestStreamsAreTheMerchantsOwn
}

var parameter = regexp.MustCompile(`[^/]+/\{[^}]+\}`)

// What belongs to another merchant, or to the same merchant in the other mode,
// does not exist. Every route of the document is tried: one that takes an id
// answers 404, one that lists has nothing to show. A new route is covered by
// itself, or fails here until objects or callersOwn names what it is about.
func TestStrangersFindNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com/hook","event_types":["*"]}`).want(201).id()
	intent := b.create().id()
	batch := b.upload("amount,asset,chain,address\n1,USDC,ethereum," + payee + "\n0,USDC,ethereum," + payee + "\n").want(201).id()
	objects := map[string]string{ // by the collection that the id is of
		"payment_intents":   intent,
		"webhook_endpoints": endpoint,
		"batches":           batch,
		"events":            b.do("GET", "/v1/payment_intents/"+intent+"/events", nil).want(200).data()[0]["id"].(string),
		"deliveries":        endpoint,
		"quotes":            b.do("POST", "/v1/quotes", order()).want(201).id(),
		"schedules":         b.schedule(set("cron", "0 9 1 * *")).id(),
	}
	strangers := map[string]string{
		"another merchant": b.issue(storetest.Merchant(t, b.store, 0).ID, payment.Live),
		"the other mode":   b.issue(b.merchant.ID, payment.Test),
	}
	before := b.rows()
	for _, r := range b.routes() {
		if slices.Contains(callersOwn, r) {
			continue
		}
		path := parameter.ReplaceAllStringFunc(r.path, func(part string) string {
			collection, _, _ := strings.Cut(part, "/")
			if objects[collection] == "" {
				t.Errorf("%s %s: the test knows no object of %s", r.method, r.path, collection)
			}
			return collection + "/" + objects[collection]
		})
		for name, key := range strangers {
			a := b.do(r.method, path, bodyOf(r), b.as(key), idempotent("stranger"))
			switch {
			case path != r.path:
				t.Log(name, r)
				a.refused(404, api.NotFound, "")
			case r.method == "GET":
				for _, o := range a.want(200).data() {
					if o["available"] != "0.000000" || o["held"] != "0.000000" { // an empty balance is still one
						t.Errorf("%s sees by %s: %s", name, r.path, a.raw)
					}
				}
				if a.json["data"] == nil {
					t.Errorf("%s is no list: %s", r.path, a.raw)
				}
			default:
				t.Errorf("%s %s: say in the test whose objects it changes", r.method, r.path)
			}
		}
		if r.method == "GET" && !strings.HasSuffix(r.path, "/stream") { // or nothing was shown; a stream does not end
			eventually(t, r.path+" shows its owner something", func() bool { // the event log lags behind transactions of other databases
				a := b.do("GET", path, nil).want(200)
				return path != r.path || len(a.data()) > 0
			})
		}
	}
	if after := b.rows(); !maps.Equal(after, before) {
		t.Errorf("strangers left %v, before there was %v", after, before)
	}
}

// bodyOf is what a route needs to get as far as asking whose object it is.
func bodyOf(r route) any {
	switch {
	case r.method == "GET" || r.method == "DELETE":
		return nil
	case strings.HasSuffix(r.path, "/replay"):
		return `{"since":"2026-01-01T00:00:00Z","status":"failed"}`
	}
	return "{}"
}

// Test and live mode have a balance each: neither can spend the other's.
func TestModesHaveTheirOwnBalances(t *testing.T) {
	t.Parallel()
	b := setup(t)
	testKey := b.issue(b.merchant.ID, payment.Test)
	b.do("POST", list, order(), idempotent("k"), b.as(testKey)).refused(422, api.InsufficientFunds, "")
	storetest.Deposit(t, b.store, b.merchant.ID, payment.Test, 20_000_000)
	a := b.do("POST", list, order(), idempotent("k"), b.as(testKey)).want(201)
	if a.at("balances_after", "available") != "7.500000" {
		t.Errorf("balances_after: %s", a.raw)
	}
	for key, want := range map[string][2]string{b.key: {"1000.000000", "0.000000"}, testKey: {"7.500000", "12.500000"}} {
		if d := b.do("GET", "/v1/balances", nil, b.as(key)).want(200).data()[0]; d["available"] != want[0] || d["held"] != want[1] {
			t.Errorf("balances: %v, want %v", d, want)
		}
	}
	if a := b.do("POST", list+"/"+a.id()+"/cancel", nil, b.as(testKey)).want(200); a.at("balances_after", "available") != "20.000000" {
		t.Errorf("after cancel: %s", a.raw)
	}
}

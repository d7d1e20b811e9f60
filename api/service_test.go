package api_test

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/webhooks"
)

var update = flag.Bool("update", false, "rewrite api/openapi.yaml, api/admin.yaml, api/postman.json and docs/errors.md")

// publish stores what a worker would have seen of a chain, age ago.
func (b *bench) publish(chain payment.Chain, fee uint64, eta int64, liquidity uint64, age time.Duration) {
	b.t.Helper()
	at := time.Now().Add(-age)
	raw, err := json.Marshal(routing.Network{
		Chain: chain, NativeAsset: "ETH", NativeDecimals: 18, NativePrice: payment.Units(3_000_000_000),
		FeePerPayment: payment.Units(fee), Liquidity: payment.Units(liquidity), ETASeconds: eta, Head: 100, Finalized: 90, ObservedAt: at, HeadTime: at.Add(-3 * time.Second),
		LatencyMillis: 12, ErrorRate: 250, Nodes: 3, HealthyNodes: 2,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.store.SaveConditions(b.t.Context(), chain, "w1", raw, at); err != nil {
		b.t.Fatal(err)
	}
}

func TestQuoteExplainsEveryOption(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("ethereum", 10_000_000_000_000, 900, 5_000_000, 0) // 0.00001 ETH: 3 cents
	rows := b.rows()
	body := order(set("amount", "5"), set("destinations", []any{
		map[string]any{"chain": "solana", "address": solanaPayee}, map[string]any{"chain": "ethereum", "address": payee}}))
	a := b.do("POST", "/v1/quotes", body).want(201)
	options := a.json["options"].([]any)
	best, other := options[0].(map[string]any), options[1].(map[string]any)
	if a.json["chain"] != "ethereum" || best["chain"] != "ethereum" || best["qualifies"] != true || best["total_fee"] != "0.030000" || best["eta_seconds"] != float64(900) {
		t.Errorf("best: %s", a.raw)
	}
	if fee := best["fees"].([]any)[0].(map[string]any); fee["native_amount"] != "0.000010000000000000" || fee["native_asset"] != "ETH" || fee["amount"] != "0.030000" {
		t.Errorf("fee: %v", fee)
	}
	if other["qualifies"] != false || other["problems"].([]any)[0].(map[string]any)["code"] != "not_observed" {
		t.Errorf("other: %v", other)
	}
	body["amount"] = "6"
	if a := b.do("POST", "/v1/quotes", body).want(201); a.json["chain"] != nil {
		t.Errorf("chosen without liquidity: %s", a.raw)
	}
	b.do("POST", "/v1/quotes", order(set("amount", "0"))).refused(422, api.AmountNotPositive, "#/amount")
	b.do("POST", "/v1/quotes", order(to("ethereum", "0x1234"))).refused(422, api.AddressMalformed, "#/destinations/0/address")
	if got := b.rows(); got["payment_intents"] != rows["payment_intents"] || got["ledger_transfers"] != rows["ledger_transfers"] {
		t.Errorf("a quote wrote: %v, before %v", got, rows)
	}
}

func TestChainsAndReadiness(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.do("GET", "/ready", nil).want(503)
	checks := func(a answer) map[string]bool {
		ok := map[string]bool{}
		for _, c := range a.json["checks"].([]any) {
			m := c.(map[string]any)
			ok[m["name"].(string)] = m["ok"].(bool)
		}
		return ok
	}
	if got := checks(a); !got["postgres"] || !got["temporal"] || got["chain:ethereum"] || got["chain:solana"] || len(got) != 4 {
		t.Errorf("without workers: %s", a.raw)
	}
	b.publish("ethereum", 1, 900, 1, 0)
	b.publish("solana", 1, 13, 1, time.Minute)
	if got := checks(b.do("GET", "/ready", nil).want(503)); !got["chain:ethereum"] || got["chain:solana"] {
		t.Errorf("one chain is stale: %v", got)
	}
	chains := b.do("GET", "/v1/chains", nil).want(200).data()
	if len(chains) != 2 || chains[0]["name"] != "ethereum" || chains[0]["fresh"] != true || chains[0]["head"] != float64(100) ||
		chains[0]["head_age_seconds"] != float64(3) || chains[0]["error_rate"] != 0.025 || chains[0]["nodes"] != float64(3) || chains[0]["healthy_nodes"] != float64(2) || chains[1]["fresh"] != false {
		t.Errorf("chains: %v", chains)
	}
	b.publish("solana", 1, 13, 1, 0)
	if a := b.do("GET", "/ready", nil).want(200); a.json["status"] != "ready" {
		t.Errorf("ready: %s", a.raw)
	}
	b.temporal.set(func(c *temporalDouble) { c.down = true })
	if got := checks(b.do("GET", "/ready", nil).want(503)); got["temporal"] || !got["postgres"] {
		t.Errorf("Temporal is down: %v", got)
	}
}

func TestWebhookEndpoints(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com/hook","event_types":["payment_intent.*"]}`).want(201)
	if secret, _ := a.json["secret"].(string); !strings.HasPrefix(secret, "whsec_") || a.json["state"] != "enabled" || a.json["mode"] != "live" {
		t.Errorf("created: %s", a.raw)
	}
	listed := b.do("GET", "/v1/webhook_endpoints", nil).want(200)
	if d := listed.data(); len(d) != 1 || d[0]["id"] != a.id() || d[0]["secret"] != nil {
		t.Errorf("listed: %s", listed.raw)
	}
	if a := b.do("POST", "/v1/webhook_endpoints/"+a.id()+"/disable", nil).want(200); a.json["state"] != "disabled" {
		t.Errorf("disabled: %s", a.raw)
	}
	rows := b.rows()["webhook_endpoints"]
	for _, tt := range []struct {
		body    string
		code    api.Code
		pointer string
	}{
		{`{"url":"https://10.0.0.1/hook"}`, api.WebhookURLRefused, "#/url"},
		{`{"url":"ftp://example.com"}`, api.WebhookURLInvalid, "#/url"},
		{`{"url":"http://example.com"}`, api.WebhookURLInvalid, "#/url"},
		{`{"url":"https://example.com/\u0000"}`, api.FieldInvalid, "#/url"},
		{`{"url":"https://example.com","event_types":["payment.paid"]}`, api.FieldInvalid, "#/event_types"},
		{`{}`, api.FieldMissing, "#/url"},
	} {
		b.do("POST", "/v1/webhook_endpoints", tt.body).refused(422, tt.code, tt.pointer)
	}
	if got := b.rows()["webhook_endpoints"]; got != rows {
		t.Errorf("%d endpoints, want %d", got, rows)
	}
	for range webhooks.MaxEndpoints {
		b.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com/more"}`).want(201)
	}
	b.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com/more"}`).refused(409, api.WebhookEndpointLimit, "")
}

// golden compares a rendered file with the one in the repository.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != string(got) {
		t.Errorf("%s is not what the code says: run go test ./api -update (%v)", path, err)
	}
}

func TestOpenAPIFile(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for file, b := range map[string]*bench{"openapi.yaml": b, "admin.yaml": b.operators()} {
		golden(t, file, b.do("GET", "/openapi.yaml", nil).want(200).raw)
		if v := b.do("GET", "/openapi.json", nil).want(200).json["openapi"]; v != "3.1.0" {
			t.Errorf("openapi: %v", v)
		}
	}
}

func TestOpenAPIAsPostmanCollection(t *testing.T) {
	t.Parallel()
	golden(t, "postman.json", setup(t).do("GET", "/postman.json", nil).want(200).raw)
}

func TestErrorCatalogue(t *testing.T) {
	t.Parallel()
	golden(t, "../docs/errors.md", []byte(api.ErrorsMarkdown()))
	seen := map[api.Code]bool{}
	last := 0
	for _, c := range api.Codes() {
		if seen[c.Code] || c.Title == "" || c.Remedy == "" || c.Status < last || !regexp.MustCompile(`^[a-z][a-z_]+$`).MatchString(string(c.Code)) {
			t.Errorf("entry %+v repeats a code, is incomplete or out of order", c)
		}
		seen[c.Code], last = true, c.Status
	}
}

func TestDocsNeedNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for route, b := range map[string]*bench{"/v1/payment_intents/{id}/cancel": b, "/v1/admin/keys/{id}/revoke": b.operators()} {
		for path, want := range map[string]string{"/docs": route, "/docs/errors": `id="insufficient_funds"`} {
			a := b.do("GET", path, nil).want(200)
			if text := string(a.raw); !strings.Contains(text, want) || regexp.MustCompile(`<script|src=|href="http`).MatchString(text) {
				t.Errorf("%s: lacks %s, or loads something", path, want)
			}
		}
	}
}

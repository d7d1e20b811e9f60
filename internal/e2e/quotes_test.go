package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// answer calls the API, expects a status and decodes the answer.
func answer[T any](t *testing.T, d *deployment.Deployment, method, path, key string, in any, status int) (out T) {
	t.Helper()
	a, err := d.Call(t.Context(), method, path, key, in)
	if err != nil || a.Status != status {
		t.Fatalf("%s %s: %v %d %s", method, path, err, a.Status, a.Body)
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

const intents = "/v1/payment_intents/"

// A payment goes the quoted way, and afterwards its merchant can read what was
// decided, what was signed, what became of it, and who was told when.
func TestQuotedPaymentTellsItsStory(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{EventTypes: []string{"*"}})
	order := deployment.To("ethereum", payeeOn(t, "ethereum"), "3.5")
	order.Destinations = append(order.Destinations, payment.Destination{Chain: "solana", Address: payeeOn(t, "solana")})
	quote := answer[struct {
		ID    string        `json:"id"`
		Chain payment.Chain `json:"chain"`
	}](t, d, http.MethodPost, "/v1/quotes", "", order, http.StatusCreated)
	id := answer[payment.Resource](t, d, http.MethodPost, "/v1/payment_intents", "quoted", map[string]string{"quote": quote.ID}, http.StatusCreated).ID
	proven(t, d, []string{id})
	paid := d.Get(t, id)
	if paid.Chain != quote.Chain || paid.Quote != quote.ID {
		t.Errorf("paid %+v, quoted %+v", paid, quote)
	}

	route := answer[struct {
		Decisions []struct {
			Chain  payment.Chain `json:"chain"`
			Quoted payment.Chain `json:"quoted_chain"`
		} `json:"decisions"`
	}](t, d, http.MethodGet, intents+id+"/route", "", nil, http.StatusOK)
	if len(route.Decisions) != 1 || route.Decisions[0].Chain != quote.Chain || route.Decisions[0].Quoted != quote.Chain {
		t.Errorf("route: %+v", route)
	}
	attempts, err := d.Call(t.Context(), http.MethodGet, intents+id+"/attempts", "", nil)
	if err != nil || !strings.Contains(string(attempts.Body), paid.TxHash) || !strings.Contains(string(attempts.Body), `"result":"paid"`) {
		t.Errorf("attempts: %v %s", err, attempts.Body)
	}
	for _, inside := range []string{`"node"`, `"raw"`, `"authorization":`, `"authority"`, `"nonce":`, "127.0.0.1"} {
		if strings.Contains(string(attempts.Body), inside) {
			t.Errorf("attempts show %s: %s", inside, attempts.Body)
		}
	}
	timeline := answer[struct {
		Data []struct{ Kind, Summary string } `json:"data"`
	}](t, d, http.MethodGet, intents+id+"/timeline", "", nil, http.StatusOK)
	var kinds []string
	for _, e := range timeline.Data {
		if kinds = append(kinds, e.Kind); e.Summary == "" {
			t.Errorf("%s says nothing", e.Kind)
		}
	}
	at := -1
	for _, kind := range []string{"accepted", "routed", "signed", "sent", "seen", "settled", "webhook_delivered"} {
		next := slices.Index(kinds, kind)
		if next <= at {
			t.Errorf("%s is not behind what comes before it: %v", kind, kinds)
		}
		at = next
	}
}

// The payee is refused on the one chain that the order allows: the payment does
// not go over the other, fails, and is paid by a retry once nothing stands
// against it.
func TestRetryPaysWhatFailedOnItsOnlyChain(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	node := d.Sandbox.Ethereum(t)
	blocked := payeeOn(t, "ethereum")
	node.Blacklist(t, blocked, true)
	report := answer[struct{ Payable, Frozen payment.Answer }](t, d, http.MethodPost, "/v1/addresses/validate", "", map[string]string{"chain": "ethereum", "address": blocked}, http.StatusOK)
	if report.Payable != payment.No || report.Frozen != payment.Yes {
		t.Errorf("report %+v", report)
	}
	id := answer[payment.Resource](t, d, http.MethodPost, "/v1/payment_intents", "one", map[string]any{
		"amount": "2.25", "asset": "USDC", "allowed_chains": []string{"ethereum"},
		"destinations": []payment.Destination{{Chain: "ethereum", Address: blocked}, {Chain: "solana", Address: sandbox.NewSolanaAddress(t)}},
	}, http.StatusCreated).ID
	if r := d.Await(t, within, []string{id})[0]; r.Status != payment.Failed || r.Failure.Code != "payee_refused" || r.Chain != "ethereum" {
		t.Fatalf("%+v", r)
	}
	node.Blacklist(t, blocked, false)
	again := answer[payment.Resource](t, d, http.MethodPost, intents+id+"/retry", "two", nil, http.StatusCreated)
	provenBut(t, d, []string{id, again.ID}, map[string]payment.Status{id: payment.Failed})
	if r := d.Get(t, again.ID); r.RetryOf != id || r.Chain != "ethereum" {
		t.Errorf("retry %+v", r)
	}
}

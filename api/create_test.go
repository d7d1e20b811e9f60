package api_test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func TestCreateStoresEverythingAndStartsTheWorkflow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relay()
	before := b.rows()
	a := b.do("POST", "/v1/payment_intents", order(
		set("priority", "fast"), set("max_fee", "0.5"), set("deadline", "2126-01-02T03:04:05Z"),
		set("reference", "invoice-1"), set("metadata", map[string]string{"order": "17", "Grüße": "<&>"}),
		set("destinations", []any{
			map[string]any{"chain": "eip155:1", "address": strings.ToLower(payee)},
			map[string]any{"chain": "solana", "address": solanaPayee},
		}),
	), idempotent("first"), header("Request-Id", "my-request_1")).want(201)

	want := map[string]any{
		"object": "payment_intent", "mode": "live", "status": "created", "substatus": "awaiting_workflow", "amount": "12.500000", "asset": "USDC",
		"priority": "fast", "max_fee": "0.500000", "deadline": "2126-01-02T03:04:05Z", "reference": "invoice-1", "sequence": float64(1),
	}
	for name, value := range want {
		if a.json[name] != value {
			t.Errorf("%s = %v, want %v", name, a.json[name], value)
		}
	}
	if d := a.json["destinations"].([]any)[0].(map[string]any); d["chain"] != "ethereum" || d["address"] != payee {
		t.Errorf("destination is not canonical: %v", d)
	}
	if a.at("metadata", "Grüße") != "<&>" {
		t.Errorf("metadata: %v", a.json["metadata"])
	}
	if a.at("balances_after", "available") != "987.500000" || a.at("balances_after", "held") != "12.500000" || a.at("balances_after", "asset") != "USDC" {
		t.Errorf("balances_after: %v", a.json["balances_after"])
	}
	if a.Header.Get("Request-Id") != "my-request_1" || a.Header.Get("Idempotent-Replayed") != "" {
		t.Errorf("headers: %v", a.Header)
	}
	intent, err := b.store.Intent(t.Context(), a.id())
	if err != nil || intent.RequestID != "my-request_1" || intent.MerchantID != b.merchant.ID {
		t.Errorf("stored: %+v, %v", intent, err)
	}
	after := b.rows()
	for table, n := range map[string]int{"payment_intents": 1, "events": 1, "intent_starts": 1, "ledger_transfers": 1, "idempotency_keys": 1} {
		if after[table]-before[table] != n {
			t.Errorf("%s: %d new rows, want %d", table, after[table]-before[table], n)
		}
	}
	eventually(t, "the workflow starts", func() bool { return b.temporal.starts(a.id()) == 1 })
	if got := b.do("GET", "/v1/payment_intents/"+a.id(), nil).want(200); got.json["status"] != "created" || got.json["amount"] != "12.500000" {
		t.Errorf("GET: %s", got.raw)
	}
}

func TestReplayIsByteForByte(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := order(set("amount", "900"), set("deadline", time.Now().Add(time.Hour)))
	first := b.do("POST", "/v1/payment_intents", body, idempotent("k")).want(201)
	rows := b.rows()

	// Whatever happened meanwhile: the balance is short, the chain is down and
	// the deadline is over.
	b.destinations.set(func(d *destinations) { d.down = true })
	b.clock.Store(7200)
	again := b.do("POST", "/v1/payment_intents", body, idempotent("k")).want(201)
	if !bytes.Equal(first.raw, again.raw) || again.Header.Get("Idempotent-Replayed") != "true" || again.Header.Get("Content-Type") != "application/json" {
		t.Errorf("replayed %q\n%s\n%s", again.Header, first.raw, again.raw)
	}
	// The same request in other words is the same request.
	spelled := fmt.Sprintf(`{"priority":"cheap", "asset":"USDC","deadline":%q,"destinations":[{"address":%q,"chain":"ethereum"}],"amount":"900"}`,
		body["deadline"].(time.Time).Format(time.RFC3339Nano), payee)
	if a := b.do("POST", "/v1/payment_intents", spelled, idempotent("k")).want(201); !bytes.Equal(a.raw, first.raw) {
		t.Errorf("respelled: %s", a.raw)
	}
	other := b.do("POST", "/v1/payment_intents", order(set("amount", "901")), idempotent("k"))
	other.refused(422, "idempotency_mismatch", "")
	if other.json["existing_id"] != first.id() {
		t.Errorf("existing_id: %s", other.raw)
	}
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
}

func TestIdempotencyKeyBelongsToMerchantAndMode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := storetest.Merchant(t, b.store, funds)
	storetest.Deposit(t, b.store, b.merchant.ID, payment.Test, funds)
	ids := map[string]bool{}
	for _, key := range []string{b.key, b.issue(b.merchant.ID, payment.Test), b.issue(other.ID, payment.Live)} {
		ids[b.do("POST", "/v1/payment_intents", order(), idempotent("same"), b.as(key)).want(201).id()] = true
	}
	if len(ids) != 3 {
		t.Errorf("%d payments, want 3", len(ids))
	}
}

func TestIdempotencyKeyIsTakenForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	again := map[string]func() answer{
		"payment": func() answer { return b.do("POST", "/v1/payment_intents", order(), idempotent("old")) },
		"schedule": func() answer {
			return b.do("POST", "/v1/schedules", order(set("cron", "0 9 1 * *")), idempotent("old"))
		},
		"batch": func() answer { return b.upload(file(1), idempotent("old")) },
	}
	for _, ask := range again {
		ask().want(201)
	}
	if _, err := b.store.ForgetIdempotency(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	rows := b.rows()
	for name, ask := range again {
		ask().refused(409, "idempotency_key_used", "")
		if got := b.rows(); !maps.Equal(got, rows) {
			t.Errorf("%s: rows %v, want %v", name, got, rows)
		}
	}
}

// 200 requests with one key race: one payment, one hold, one answer and, in a
// real Temporal, one workflow. The balance covers the payment once only, so a
// second hold would be refused.
func TestConcurrentRequestsMakeOnePayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sb := sandbox.Start(t)
	temporal := sb.Temporal(t)
	b.serve(peppers, func(d *api.Deps) { d.Temporal, d.TaskQueue = temporal, sb.TaskQueue(t) })
	b.relay()
	before := b.rows()
	const n = 200
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			answers[i] = b.do("POST", "/v1/payment_intents", order(set("amount", "600")), idempotent("race"))
		})
	}
	wg.Wait()
	fresh := 0
	for _, a := range answers {
		a.want(201)
		if !bytes.Equal(a.raw, answers[0].raw) {
			t.Fatalf("two answers:\n%s\n%s", a.raw, answers[0].raw)
		}
		if a.Header.Get("Idempotent-Replayed") == "" {
			fresh++
		}
	}
	if fresh != 1 {
		t.Errorf("%d answers claim to be the first", fresh)
	}
	after := b.rows()
	for _, table := range []string{"payment_intents", "events", "intent_starts", "ledger_transfers", "idempotency_keys"} {
		if after[table]-before[table] != 1 {
			t.Errorf("%s: %d new rows, want 1", table, after[table]-before[table])
		}
	}
	id := answers[0].id()
	eventually(t, "the workflow starts", func() bool {
		_, err := temporal.DescribeWorkflowExecution(t.Context(), id, "")
		return err == nil
	})
	if _, err := b.server.Relay().Sweep(t.Context()); err != nil { // starting again is harmless
		t.Error(err)
	}
	eventually(t, "Temporal lists the workflow", func() bool {
		runs, err := temporal.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: "WorkflowId = '" + id + "'"})
		if err != nil || runs.Count > 1 {
			t.Fatalf("%d workflows, %v", runs.GetCount(), err)
		}
		return runs.Count == 1
	})
	if err := temporal.TerminateWorkflow(t.Context(), id, "", "the test is over"); err != nil {
		t.Error(err)
	}
}

// Requests with keys of their own race for a balance that covers ten of them.
func TestConcurrentPaymentsNeverOverdraw(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n = 40
	answers := make([]answer, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			answers[i] = b.do("POST", "/v1/payment_intents", order(set("amount", "100")), idempotent(fmt.Sprint("k", i)))
		})
	}
	wg.Wait()
	accepted := 0
	for _, a := range answers {
		if a.StatusCode == http.StatusCreated {
			accepted++
		} else {
			a.refused(422, "insufficient_funds", "")
		}
	}
	if accepted != 10 {
		t.Errorf("%d accepted, want 10", accepted)
	}
	if a := b.do("GET", "/v1/balances", nil).want(200); a.data()[0]["available"] != "0.000000" || a.data()[0]["held"] != "1000.000000" {
		t.Errorf("balances: %s", a.raw)
	}
}

func TestARefusedKeyStaysFree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	body := order(set("amount", "1500"))
	b.do("POST", "/v1/payment_intents", body, idempotent("k")).refused(422, "insufficient_funds", "")
	storetest.Deposit(t, b.store, b.merchant.ID, payment.Live, funds)
	b.do("POST", "/v1/payment_intents", body, idempotent("k")).want(201)
}

// BenchmarkCreate accepts payments of one merchant over HTTP, which is the
// worst case: all of them take their hold from one balance.
func BenchmarkCreate(bm *testing.B) {
	b := setup(bm)
	body := order(set("amount", "0.000001"))
	bm.SetParallelism(8)
	bm.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			b.do("POST", "/v1/payment_intents", body, idempotent(store.NewID("key"))).want(201)
		}
	})
	bm.ReportMetric(float64(bm.N)/bm.Elapsed().Seconds(), "payments/s")
}

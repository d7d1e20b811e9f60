package e2e_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/payment"
	settleworker "github.com/settlehq/settle/worker"
	"github.com/settlehq/settle/workflows"
)

var record = flag.Bool("record", false, "write the histories of TestHistories to workflows/testdata/histories")

const historiesDir = "../../workflows/testdata/histories"

// TestHistories takes payments on every way that they can go and replays the
// histories that the real server kept of them. With -record they are kept in
// workflows/testdata/histories, where the replay test guards them against
// changes of the code.
func TestHistories(t *testing.T) {
	t.Parallel()
	t.Run("all is well", func(t *testing.T) {
		t.Parallel()
		wellHistories(t)
	})
	t.Run("batch", func(t *testing.T) {
		t.Parallel()
		d := setup(t, deployment.Options{})
		id := d.Upload(t, "history", deployment.BatchOrders(t, 3, 2))
		d.ChangeBatch(t, id, "start")
		d.AwaitBatch(t, within, id, func(b deployment.BatchState) bool { return b.Status == payment.BatchCompleted })
		keep(t, d, id, "batch")
	})
	t.Run("killed worker", func(t *testing.T) {
		t.Parallel()
		d := setup(t, deployment.Options{})
		// Solana confirms long before it finalizes: the worker dies while it waits.
		id := order(t, d, "killed", "solana", "1.75", nil)
		d.Await(t, within, []string{id}, payment.Confirming, payment.Settled)
		d.Workers[0].Kill()
		d.Workers[0].Start()
		d.Await(t, within, []string{id}, payment.Settled)
		repeated := false
		for _, e := range history(t, d, id, true).Events {
			repeated = repeated || e.GetActivityTaskStartedEventAttributes().GetAttempt() > 1
		}
		if !repeated && *record {
			t.Error("the payment was faster than the kill: record again")
		}
		keep(t, d, id, "killed-worker")
	})
}

func wellHistories(t *testing.T) {
	t.Helper()
	d := setup(t, deployment.Options{ReviewAbove: 500_000_000})

	// The first webhook is refused, so its delivery gets a workflow.
	d.Receiver.FailNext(http.StatusInternalServerError, 1)
	refused := order(t, d, "refused-webhook", "solana", "1", nil)
	d.Await(t, within, []string{refused}, payment.Settled)
	keep(t, d, refused, "webhook-refused")
	delivery := child(t, d, refused)
	keep(t, d, delivery, "webhook-retry")

	at := time.Now().Add(2 * time.Second).UTC().Truncate(time.Second)
	once := schedule(t, d, "solana", "1.5", map[string]any{"at": at})
	awaitRuns(t, d, once, 1, payment.RunCreated)
	keep(t, d, once+"-"+at.Format(time.RFC3339), "scheduled-payment")

	round(t, d, "upkeep", workflows.UpkeepWorkflow, workflows.UpkeepInput{Chain: "ethereum"})
	round(t, d, "restart", workflows.RestartWorkflow)

	ethereum := order(t, d, "ethereum", "ethereum", "1.25", nil)
	solana := order(t, d, "solana", "solana", "2.5", nil)
	approved := order(t, d, "approved", "solana", "501", nil)
	rejected := order(t, d, "rejected", "ethereum", "502", nil)
	canceled := order(t, d, "canceled", "ethereum", "503", nil)
	noRoute := order(t, d, "no-route", "ethereum", "3", map[string]any{"max_fee": "0.000001"})
	looked := order(t, d, "looked", "ethereum", "504", nil)
	held := []string{approved, rejected, canceled, noRoute, looked}
	for n, r := range d.Await(t, within, held, payment.ManualReview) {
		want := payment.ReviewPolicy
		if held[n] == noRoute {
			want = payment.ReviewNoRoute
		}
		if r.Review.Reason != want {
			t.Errorf("%s is in review for %s, want %s", r.ID, r.Review.Reason, want)
		}
	}

	if err := d.Temporal.SignalWorkflow(t.Context(), looked, "", workflows.LookSignal, nil); err != nil {
		t.Fatal(err)
	}
	decide(t, d, looked, payment.Approve)
	decide(t, d, approved, payment.Approve)
	decide(t, d, rejected, payment.Reject)
	if a, err := d.Call(t.Context(), http.MethodPost, "/v1/payment_intents/"+canceled+"/cancel", "cancel", map[string]any{}); err != nil || a.Status != http.StatusOK {
		t.Fatalf("cancel: %v %d %s", err, a.Status, a.Body)
	}
	before := d.Get(t, noRoute).Sequence
	decide(t, d, noRoute, payment.Retry)
	awaitReviewAgain(t, d, noRoute, before)
	decide(t, d, noRoute, payment.CancelAction)

	for _, c := range []struct {
		id, name string
		end      payment.Status
	}{
		{ethereum, "settled-ethereum", payment.Settled},
		{solana, "settled-solana", payment.Settled},
		{approved, "approved-after-review", payment.Settled},
		{looked, "looked-in-review", payment.Settled},
		{rejected, "rejected-in-review", payment.Rejected},
		{canceled, "canceled-in-review", payment.Canceled},
		{noRoute, "no-route-retried-and-canceled", payment.Canceled},
	} {
		if got := d.Await(t, within, []string{c.id})[0]; got.Status != c.end {
			t.Errorf("%s: %s is %s, want %s", c.name, c.id, got.Status, c.end)
		}
		keep(t, d, c.id, c.name)
	}
}

// round runs one round of the upkeep and keeps its history.
func round(t *testing.T, d *deployment.Deployment, name, workflow string, args ...any) {
	t.Helper()
	id := name + "-history-" + d.TaskQueue
	if _, err := d.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: d.TaskQueue}, workflow, args...); err != nil {
		t.Fatal(err)
	}
	keep(t, d, id, name)
}

// order creates an intent with more fields than deployment.Order has.
func order(t *testing.T, d *deployment.Deployment, key string, chain payment.Chain, amount string, more map[string]any) string {
	t.Helper()
	body := map[string]any{"amount": amount, "asset": payment.USDC.Code,
		"destinations": []payment.Destination{{Chain: chain, Address: payeeOn(t, chain)}}}
	for k, v := range more {
		body[k] = v
	}
	a, err := d.Call(t.Context(), http.MethodPost, "/v1/payment_intents", key, body)
	if err != nil {
		t.Fatal(err)
	}
	return a.Intent(t).ID
}

func decide(t *testing.T, d *deployment.Deployment, id string, action payment.ReviewAction) {
	t.Helper()
	if err := d.Temporal.SignalWorkflow(t.Context(), id, "", workflows.ReviewSignal,
		payment.Review{Action: action, Actor: "ops@example.com", Reason: "recorded history"}); err != nil {
		t.Fatal(err)
	}
}

// awaitReviewAgain waits until the workflow asks again: a decision that came
// before the question would not count.
func awaitReviewAgain(t *testing.T, d *deployment.Deployment, id string, after int64) {
	t.Helper()
	eventually(t, func() bool {
		intent := d.Get(t, id)
		if intent.Sequence <= after || intent.Review == nil || intent.Review.Reason == "" {
			return false
		}
		asked := 0
		for _, e := range history(t, d, id, false).Events {
			if e.EventType == enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES {
				asked++
			}
		}
		return asked >= 2
	}, "%s is not in review again", id)
}

// child returns the id of the workflow that a payment started.
func child(t *testing.T, d *deployment.Deployment, id string) string {
	t.Helper()
	for _, e := range history(t, d, id, true).Events {
		if a := e.GetStartChildWorkflowExecutionInitiatedEventAttributes(); a != nil {
			if a.ParentClosePolicy != enums.PARENT_CLOSE_POLICY_ABANDON {
				t.Errorf("the delivery would end with its payment: %s", a.ParentClosePolicy)
			}
			return a.WorkflowId
		}
	}
	t.Fatalf("%s started no child", id)
	return ""
}

// history reads what the server kept of a workflow; closed waits for its end.
func history(t *testing.T, d *deployment.Deployment, id string, closed bool) *historypb.History {
	t.Helper()
	if closed {
		if err := d.Temporal.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil); err != nil {
			t.Fatalf("workflow %s: %v", id, err)
		}
	}
	all := d.Temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	h := &historypb.History{}
	for all.HasNext() {
		e, err := all.Next()
		if err != nil {
			t.Fatalf("history of %s: %v", id, err)
		}
		h.Events = append(h.Events, e)
	}
	return h
}

// keep replays the history of an ended workflow and, with -record, writes it.
func keep(t *testing.T, d *deployment.Deployment, id, name string) {
	t.Helper()
	h := history(t, d, id, true)
	replayer := worker.NewWorkflowReplayer()
	settleworker.RegisterWorkflows(replayer)
	if err := replayer.ReplayWorkflowHistory(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), h); err != nil {
		t.Errorf("%s: %s does not replay: %v", name, id, err)
	}
	if !*record {
		return
	}
	raw, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(anonymous(tree)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(historiesDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(historiesDir, name+".json"), text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// anonymous takes the names of processes and machines out of a history.
func anonymous(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if v["kind"] == "TASK_QUEUE_KIND_STICKY" {
			v["name"] = "recorded"
		}
		for k, x := range v {
			if k == "identity" {
				v[k] = "recorded"
				continue
			}
			v[k] = anonymous(x)
		}
	case []any:
		for i, x := range v {
			v[i] = anonymous(x)
		}
	}
	return v
}

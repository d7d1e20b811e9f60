package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/client"
	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/workflows"
)

// TestWebhooksFromTheCommandLine resends an event that waits for its next
// attempt, and receives a test event, with the real binary and workflows.
func TestWebhooksFromTheCommandLine(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{ReviewAbove: 1}) // payments stop at a person, and need no chain
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var endpoints []webhooks.Endpoint
	if err := json.Unmarshal([]byte(d.Run(t, "webhooks", "list", "--output", "json")), &endpoints); err != nil || len(endpoints) != 1 || !strings.HasPrefix(d.ReceiverAt, endpoints[0].URL) {
		t.Fatalf("%+v, %v", endpoints, err)
	}
	if list := d.Run(t, "webhooks", "list"); !strings.Contains(list, endpoints[0].ID) || !strings.Contains(list, "enabled") {
		t.Errorf("list:\n%s", list)
	}

	d.Receiver.FailNext(http.StatusInternalServerError, 2)
	id := d.Pay(t, "webhooks-1", deployment.To("ethereum", payeeOn(t, "ethereum"), "1.00")).ID
	d.Await(t, time.Minute, []string{id}, payment.ManualReview)
	var event string
	for _, e := range d.Events(t, id) {
		if e.Type == "payment_intent.manual_review" {
			event = e.ID
		}
	}
	path := "/v1/events/" + event + "/deliveries/" + endpoints[0].ID
	awaitAttempts(ctx, t, d, path, 2) // the next one is due in five minutes
	if out := d.Run(t, "webhooks", "resend", event, endpoints[0].ID); !strings.Contains(out, "pending") {
		t.Errorf("resend:\n%s", out)
	}
	if got, err := d.Receiver.Wait(ctx, id, "payment_intent.manual_review"); err != nil || got.ID != event {
		t.Fatalf("%+v, %v", got, err)
	}
	awaitAttempts(ctx, t, d, path, 3)
	if out, err := d.TryRun("webhooks", "resend", "evt_0", endpoints[0].ID); err == nil || !strings.Contains(out, "not_found") {
		t.Errorf("resend of nothing: %v\n%s", err, out)
	}
	if out := d.Run(t, "webhooks", "reseal"); !strings.Contains(out, "0 endpoints") {
		t.Errorf("reseal:\n%s", out)
	}
	listenAndTest(ctx, t, d)
}

// listenAndTest registers `settle webhooks listen` and sends it a test event.
func listenAndTest(ctx context.Context, t *testing.T, d *deployment.Deployment) {
	t.Helper()
	c, err := client.New(d.APIURL, d.Key)
	if err != nil {
		t.Fatal(err)
	}
	created, err := c.CreateWebhookEndpointWithResponse(ctx, client.WebhookEndpointRequest{URL: d.ReceiverAt})
	if err != nil {
		t.Fatal(err)
	}
	made := created.JSON201
	listen := exec.CommandContext(ctx, d.Binary, "webhooks", "listen", "--port", "0")
	listen.Env = append(os.Environ(), "SETTLE_WEBHOOK_SECRET="+made.Secret)
	out, err := listen.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listen.Process.Kill(); _ = listen.Wait() })
	lines := bufio.NewScanner(out)
	lines.Scan()
	at, ok := strings.CutPrefix(lines.Text(), "listening on ")
	if !ok {
		t.Fatalf("listen: %q", lines.Text())
	}
	if _, err := c.UpdateWebhookEndpointWithResponse(ctx, made.ID, client.UpdateWebhookEndpointRequest{URL: &at}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TestWebhookEndpointWithResponse(ctx, made.ID); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || !strings.Contains(lines.Text(), "webhook_endpoint.test") || !strings.Contains(lines.Text(), made.ID) {
		t.Errorf("listen printed %q", lines.Text())
	}
}

func awaitAttempts(ctx context.Context, t *testing.T, d *deployment.Deployment, path string, n int) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := d.Call(ctx, http.MethodGet, path, "", nil)
		if err != nil {
			t.Fatalf("%d attempts were not made: %v", n, err)
		}
		var got struct {
			Attempts []struct{} `json:"attempts"`
		}
		if a.Status != http.StatusOK || json.Unmarshal(a.Body, &got) != nil {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		if len(got.Attempts) >= n {
			return
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Endpoints that take connections and never answer, more of them than the worker
// has places, keep nobody from being paid or told: neither at first nor when an
// attempt must be repeated.
func TestDeadEndpointsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	const (
		dead     = 15
		payments = 10
		prompt   = 45 * time.Second // generous, and less than the requests of one payment take with 4 places: 15 s each
	)
	d := setup(t, deployment.Options{ReviewAbove: 1, Settings: []string{"SETTLE_WORKER_ACTIVITIES=4"}})
	for range dead {
		a, err := d.Call(t.Context(), http.MethodPost, "/v1/webhook_endpoints", "", map[string]any{"url": silent(t)})
		if err != nil || a.Status != http.StatusCreated {
			t.Fatalf("%d %s, %v", a.Status, a.Body, err)
		}
	}
	pay := func(n int) (eventID string) {
		t.Helper()
		id := d.Pay(t, fmt.Sprint("beside-the-dead-", n), deployment.To("ethereum", payeeOn(t, "ethereum"), "1.00")).ID
		ctx, cancel := context.WithTimeout(t.Context(), prompt)
		defer cancel()
		e, err := d.Receiver.Wait(ctx, id, "payment_intent.manual_review")
		if err != nil {
			t.Fatalf("the healthy endpoint was not told of payment %d within %s: %v", n, prompt, err)
		}
		return e.ID
	}
	for n := range payments {
		pay(n)
	}
	d.Receiver.FailNext(http.StatusInternalServerError, 1)
	event := pay(payments)
	if n := d.Receiver.Stats().Failed; n != 1 {
		t.Errorf("%d deliveries failed, want one to be repeated", n)
	}
	w, err := d.Temporal.DescribeWorkflowExecution(t.Context(), event+"/"+healthy(t, d), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.GetExecutionConfig().GetTaskQueue().GetName(); got != workflows.DeliveryQueue(d.TaskQueue) {
		t.Errorf("repeated on task queue %s", got)
	}
}

// silent is the URL of an endpoint that never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// healthy is the id of the endpoint at the deployment's receiver.
func healthy(t *testing.T, d *deployment.Deployment) string {
	t.Helper()
	var endpoints []webhooks.Endpoint
	if err := json.Unmarshal([]byte(d.Run(t, "webhooks", "list", "--output", "json")), &endpoints); err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		if strings.HasPrefix(d.ReceiverAt, e.URL) {
			return e.ID
		}
	}
	t.Fatalf("no endpoint at %s: %+v", d.ReceiverAt, endpoints)
	return ""
}

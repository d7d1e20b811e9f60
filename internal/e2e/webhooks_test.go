package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
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

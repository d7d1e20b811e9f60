package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/client"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

// The log holds more than payments, and an older program reads it, too.
func TestEveryEventIsALine(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for kind, c := range map[string]struct {
		object any
		want   string
	}{
		"payment_intent.settled":    {payment.Resource{ID: "pi_1", Object: "payment_intent", Amount: "3.000000", Asset: "USDC", Sequence: 5}, "pi_1  payment_intent.settled         5: 3.000000 USDC"},
		"batch.completed":           {payment.BatchResource{ID: "batch_1", Object: "batch", Lines: 7, Amount: "3.000000", Asset: "USDC"}, "batch_1  batch.completed                7 lines, 3.000000 USDC"},
		"schedule.run_failed":       {payment.RunResource{Object: "schedule_run", ScheduleID: "sch_1", DueAt: at, Failure: &payment.Failure{Message: "No money."}}, "sch_1  schedule.run_failed            due at 2026-11-21T12:00:00Z: No money."},
		"webhook_endpoint.disabled": {webhooks.Endpoint{ID: "we_1", Object: "webhook_endpoint", URL: "https://example.com"}, "we_1  webhook_endpoint.disabled      https://example.com"},
		"unheard.of":                {map[string]any{"object": "unheard"}, "evt_1  unheard.of"},
	} {
		text, err := json.Marshal(map[string]any{"id": "evt_1", "type": kind, "timestamp": at, "data": map[string]any{"object": c.object}})
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := printEvent(&out, client.Message{Event: text}, false); err != nil || strings.TrimSpace(out.String()) != "2026-11-21T12:00:00Z  "+c.want {
			t.Errorf("%q, %v, want %q", out.String(), err, c.want)
		}
	}
}

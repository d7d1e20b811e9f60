package e2e_test

import (
	"testing"

	enums "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/payment"
)

// What a payment that meets no trouble may cost Temporal.
const (
	maxEvents  = 28
	maxActions = 8
	// A busy machine can add a heartbeat of a workflow task or a second
	// attempt to one payment, so the best of several counts.
	samples = 3
)

// TestHappyPaymentIsLean reads the histories of payments that settled at once
// and counts events and actions.
func TestHappyPaymentIsLean(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	for _, chain := range []payment.Chain{"ethereum", "solana"} {
		var ids []string
		for range samples {
			ids = append(ids, d.Pay(t, "lean-"+string(chain)+payeeOn(t, chain), deployment.To(chain, payeeOn(t, chain), "1.5")).ID)
		}
		d.Await(t, within, ids, payment.Settled)
		var best *historypb.History
		for _, id := range ids {
			if h := history(t, d, id, true); best == nil || len(h.Events) < len(best.Events) {
				best = h
			}
		}
		events, actions := len(best.Events), countActions(best)
		t.Logf("%s: %d events, %d actions", chain, events, actions)
		if events > maxEvents || actions > maxActions {
			t.Errorf("%s: %d events and %d actions, want at most %d and %d", chain, events, actions, maxEvents, maxActions)
			for _, e := range best.Events {
				t.Logf("%3d %s", e.EventId, e.EventType)
			}
		}
	}
}

// countActions counts what Temporal Cloud would bill:
//
//   - a workflow's start, 1;
//   - a regular activity, 1, and 1 more for each repeated attempt;
//   - a timer, a signal, an upsert of search attributes, the start of a child
//     workflow, 1 each;
//   - local activities, 1 per workflow task that ran any.
func countActions(h *historypb.History) int {
	n := 0
	var taskWithLocal int64 // the workflow task that was counted last for its local activities
	for _, e := range h.Events {
		switch e.EventType {
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, enums.EVENT_TYPE_TIMER_STARTED,
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
			enums.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
			n++
		case enums.EVENT_TYPE_ACTIVITY_TASK_STARTED:
			n += int(e.GetActivityTaskStartedEventAttributes().Attempt) - 1
		case enums.EVENT_TYPE_MARKER_RECORDED:
			m := e.GetMarkerRecordedEventAttributes()
			if m.MarkerName == "LocalActivity" && m.WorkflowTaskCompletedEventId != taskWithLocal {
				taskWithLocal = m.WorkflowTaskCompletedEventId
				n++
			}
		default: // no action of its own
		}
	}
	return n
}

package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

// roundsOfBatch is how often a batch looks before it continues in a new history.
// Each look is an activity, a timer and two workflow tasks: 11 events.
const roundsOfBatch = 100

// fills scripts a batch by the number of the look and returns when it looked.
func fills(w *world, state func(look int) activities.BatchState) *[]time.Time {
	looks := new([]time.Time)
	step(w, "FillBatch", func(context.Context, activities.BatchRef) (activities.FilledBatch, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		*looks = append(*looks, w.env.Now())
		return activities.FilledBatch{BatchState: state(len(*looks))}, nil
	})
	return looks
}

func TestBatchEndsWithItsLastPayment(t *testing.T) {
	t.Parallel()
	for _, end := range []payment.BatchStatus{payment.BatchCompleted, payment.BatchCanceled} {
		w := newWorld(t)
		looks := fills(w, func(look int) activities.BatchState {
			if look == 3 {
				return activities.BatchState{Status: end, Payments: 20}
			}
			return activities.BatchState{Status: payment.BatchProcessing, Payments: 10 * look, Open: 10}
		})
		w.env.ExecuteWorkflow(workflows.BatchWorkflow, workflows.BatchInput{BatchID: "batch_1"})
		var got activities.BatchState
		if err := w.env.GetWorkflowResult(&got); err != nil || got.Status != end || len(*looks) != 3 {
			t.Errorf("%+v after %d looks, %v", got, len(*looks), err)
		}
	}
}

// What announces a batch's end goes on by itself.
func TestEndOfABatchIsAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	told := activities.DeliveryRef{EventID: "evt_1", EndpointID: "we_1"}
	step(w, "FillBatch", func(context.Context, activities.BatchRef) (activities.FilledBatch, error) {
		return activities.FilledBatch{BatchState: activities.BatchState{Status: payment.BatchCompleted}, Announced: []activities.DeliveryRef{told}}, nil
	})
	w.script["RetryWebhook"] = []any{delivered}
	w.env.SetDetachedChildWait(true)
	started := w.children()
	w.env.ExecuteWorkflow(workflows.BatchWorkflow, workflows.BatchInput{BatchID: "batch_1"})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"evt_1/we_1"}; !slices.Equal(*started, want) || len(w.retries) != 1 {
		t.Errorf("started %v, want %v; %d tries", *started, want, len(w.retries))
	}
}

// A batch that waits, for a person or for a chain, looks less and less often, and
// soon again once something has happened.
func TestBatchThatWaitsLooksLessOften(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	looks := fills(w, func(look int) activities.BatchState {
		switch {
		case look <= 20:
			return activities.BatchState{Status: payment.BatchProcessing, Payments: 10, Open: 1}
		case look == 21:
			return activities.BatchState{Status: payment.BatchProcessing, Payments: 11, Open: 1}
		}
		return activities.BatchState{Status: payment.BatchCompleted, Payments: 11}
	})
	w.env.ExecuteWorkflow(workflows.BatchWorkflow, workflows.BatchInput{BatchID: "batch_1"})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	between := func(n int) time.Duration { return (*looks)[n].Sub((*looks)[n-1]).Round(time.Second) }
	if between(1) != time.Second || between(2) != 2*time.Second || between(19) != time.Minute || between(21) != time.Second {
		t.Errorf("looked after %s, %s, ..., %s, and %s after something happened", between(1), between(2), between(19), between(21))
	}
}

// However long a batch is, a history of its workflow has a bounded number of rounds.
func TestBatchContinuesInANewHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	looks := fills(w, func(look int) activities.BatchState {
		return activities.BatchState{Status: payment.BatchProcessing, Payments: look, Open: 1}
	})
	w.env.ExecuteWorkflow(workflows.BatchWorkflow, workflows.BatchInput{BatchID: "batch_1"})
	var again *workflow.ContinueAsNewError
	if err := w.env.GetWorkflowError(); !errors.As(err, &again) || len(*looks) != roundsOfBatch {
		t.Fatalf("%v after %d looks, want to continue after %d", err, len(*looks), roundsOfBatch)
	}
	if again.WorkflowType.Name != workflows.BatchWorkflow {
		t.Errorf("continues as %s", again.WorkflowType.Name)
	}
}

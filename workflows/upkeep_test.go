package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

// newUpkeep scripts rounds that find nothing to do.
func newUpkeep(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.script["SweepSlots"] = []any{activities.Swept{}}
	w.script["TendLanes"] = []any{activities.Tended{}}
	w.script["Stranded"] = []any{activities.Waiting{}}
	step(w, "SweepSlots", func(context.Context, activities.ChainRef) (activities.Swept, error) {
		return next[activities.Swept](w, "SweepSlots"), nil
	})
	step(w, "Stranded", func(_ context.Context, after activities.Cursor) (activities.Waiting, error) {
		w.cursor = after
		return next[activities.Waiting](w, "Stranded"), nil
	})
	return w
}

func tending(w *world, err error) {
	step(w, "TendLanes", func(context.Context, activities.ChainRef) (activities.Tended, error) {
		return next[activities.Tended](w, "TendLanes"), err
	})
}

// A round reports what it did, and tells those who wait in vain. That nobody
// waits is no fault.
func TestUpkeepWakesWhomTheChainHasDecided(t *testing.T) {
	t.Parallel()
	w := newUpkeep(t)
	tending(w, nil)
	w.script["SweepSlots"] = []any{activities.Swept{Slots: 2, Settled: 1, Decided: []string{intentID, "pi_gone"}}}
	w.script["TendLanes"] = []any{activities.Tended{Lanes: 1, Resent: 3}}
	var told []string
	w.env.OnSignalExternalWorkflow("default-test-namespace", intentID, "", workflows.LookSignal, nil).
		Return(func(_, id, _, signal string, _ any) error { told = append(told, id+" "+signal); return nil })
	w.env.OnSignalExternalWorkflow("default-test-namespace", "pi_gone", "", workflows.LookSignal, nil).
		Return(errors.New("not found"))
	w.env.ExecuteWorkflow(workflows.UpkeepWorkflow, workflows.UpkeepInput{Chain: "ethereum"})
	var got workflows.UpkeepReport
	if err := w.env.GetWorkflowResult(&got); err != nil {
		t.Fatal(err)
	}
	if got.Swept.Settled != 1 || got.Tended.Resent != 3 {
		t.Errorf("report %+v", got)
	}
	if !slices.Equal(told, []string{intentID + " look"}) {
		t.Errorf("told %v", told)
	}
}

// A step that fails is seen, is not repeated in this round, and does not keep
// the other from its work.
func TestUpkeepShowsWhatFailed(t *testing.T) {
	t.Parallel()
	w := newUpkeep(t)
	tending(w, errors.New("no node answers"))
	w.env.ExecuteWorkflow(workflows.UpkeepWorkflow, workflows.UpkeepInput{Chain: "ethereum"})
	if err := w.env.GetWorkflowError(); err == nil {
		t.Error("the round looks well")
	}
	if w.count("SweepSlots") != 1 || w.count("TendLanes") != 1 {
		t.Errorf("steps %v, want each once", w.calls)
	}
}

// What is stranded gets its workflow again; a review knows that it was asked
// before. The next round goes on behind this one.
func TestRestartStartsWhatIsStranded(t *testing.T) {
	t.Parallel()
	w := newUpkeep(t)
	inReviewID, due := "pi_0190a0b0c0d0e0f00000000000000002", w.env.Now()
	open := func(id string, status payment.Status) activities.OpenPayment {
		return activities.OpenPayment{ID: id, MerchantID: "m_1", Status: status, Amount: payment.Units(5_000_000), Asset: "USDC",
			Destinations: []payment.Destination{{Chain: "ethereum", Address: "0xE"}}}
	}
	last, following := activities.Cursor{CreatedAt: due.Add(-time.Hour).UTC(), ID: "pi_1"}, activities.Cursor{CreatedAt: due.UTC(), ID: "pi_2"}
	w.script["Stranded"] = []any{activities.Waiting{
		Payments:   []activities.OpenPayment{open(intentID, payment.Submitted), open(inReviewID, payment.ManualReview)},
		Deliveries: []activities.DeliveryRef{{EventID: "evt_1", EndpointID: "we_1"}}, Next: following,
	}}
	w.script["RetryWebhook"] = []any{delivered}
	w.env.SetLastCompletionResult(last)
	w.env.SetDetachedChildWait(true)
	started := w.children()
	w.env.ExecuteWorkflow(workflows.RestartWorkflow)
	var got activities.Cursor
	if err := w.env.GetWorkflowResult(&got); err != nil {
		t.Fatal(err)
	}
	if want := []string{intentID, inReviewID, "evt_1/we_1"}; !sameElements(*started, want) {
		t.Errorf("started %v, want %v", *started, want)
	}
	if w.cursor != last || got != following {
		t.Errorf("began behind %+v and ended at %+v, want %+v and %+v", w.cursor, got, last, following)
	}
}

func sameElements(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// The upkeep has settled a payment that a person was asked about: its workflow
// need not wait for its hourly look.
func TestReviewLooksWhenTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview}
	w.script["Look"] = []any{settled}
	w.env.RegisterDelayedCallback(func() { w.env.SignalWorkflow(workflows.LookSignal, nil) }, time.Minute)
	start := w.env.Now()
	var seen time.Duration
	w.during["Look"] = func() { seen = w.env.Now().Sub(start).Round(time.Second) }
	if got := w.pay(); got != settled {
		t.Errorf("result %+v", got)
	}
	if seen != time.Minute {
		t.Errorf("looked after %s", seen)
	}
	w.ran([]string{"Screen", "DeliverWebhook", "Look", "DeliverWebhook"})
}

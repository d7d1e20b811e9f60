package workflows_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

func TestPaymentTakesItsStepsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.pay(); got != settled {
		t.Errorf("result %+v", got)
	}
	w.ran(happyWay, []string{"DeliverWebhook"})
	if len(w.settled) != 1 || w.settled[0].Kind != chains.Paid || w.settled[0].TxHash != "0x1" {
		t.Errorf("Settle was told %+v", w.settled)
	}
}

func TestPaymentEndsWhereAStepEndsIt(t *testing.T) {
	t.Parallel()
	for n, name := range happyWay[:3] {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.script[name] = []any{canceled}
			if got := w.pay(); got != canceled {
				t.Errorf("result %+v", got)
			}
			w.ran(happyWay[:n+1], []string{"DeliverWebhook"})
		})
	}
}

// A slot that is proven dead sends the payment round again: to a new route,
// with nothing left over from the first round.
func TestDeadSlotGoesRoundAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["AwaitConfirmation"] = []any{
		activities.Sighting{SlotID: "slot_1", Sighting: chains.Sighting{Kind: chains.Dead, SlotDead: true, Reason: "expired", BlockHeight: 7}},
		activities.Sighting{SlotID: "slot_2", Sighting: chains.Sighting{Kind: chains.Paid, TxHash: "0x2"}},
	}
	w.script["Settle"] = []any{routed, settled}
	w.pay()
	w.ran(happyWay, happyWay, []string{"DeliverWebhook"})
	if len(w.settled) != 2 || w.settled[0].Kind != chains.Dead {
		t.Fatalf("Settle was told %+v", w.settled)
	}
	if s := w.settled[1]; s.Kind != chains.Paid || s.SlotDead || s.Reason != "" || s.BlockHeight != 0 {
		t.Errorf("the second sighting has parts of the first: %+v", s)
	}
}

func TestReviewWaitsAndGoesOnAfterApproveOrRetry(t *testing.T) {
	t.Parallel()
	for _, action := range []payment.ReviewAction{payment.Approve, payment.Retry} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.script["Screen"] = []any{inReview, released}
			w.script["Review"] = []any{released}
			timers := 0
			w.env.SetOnTimerCanceledListener(func(string) { timers++ })
			w.signalAfter(10*time.Minute, decision(action))
			if got := w.pay(); got.Status != payment.Settled || got.ReviewReason != "" {
				t.Errorf("result %+v", got)
			}
			w.ran([]string{"Screen", "DeliverWebhook", "Review"}, happyWay, []string{"DeliverWebhook"})
			if !slices.Equal(w.reviews, []payment.Review{decision(action)}) {
				t.Errorf("decisions %+v", w.reviews)
			}
			if timers != 1 {
				t.Errorf("%d timers were canceled by the decision, want 1", timers)
			}
		})
	}
}

func TestReviewEndsWithRejectOrCancel(t *testing.T) {
	t.Parallel()
	for action, end := range map[payment.ReviewAction]activities.State{payment.Reject: rejected, payment.CancelAction: canceled} {
		t.Run(string(action), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.script["SelectRoute"] = []any{inReview}
			w.script["Review"] = []any{end}
			w.signalAfter(time.Minute, decision(action))
			if got := w.pay(); got != end {
				t.Errorf("result %+v", got)
			}
			w.ran([]string{"Screen", "SelectRoute", "DeliverWebhook", "Review", "DeliverWebhook"})
		})
	}
}

// The step decides what counts as a decision; the workflow keeps asking as
// long as the intent stays in review. What is no review at all is dropped.
func TestUnusableDecisionKeepsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview, released}
	refused := inReview
	refused.ReviewDetail, refused.Sequence = "last decision was not understood", 3
	w.script["Review"] = []any{refused, released}
	w.script["Look"] = []any{refused}
	w.signalAfter(time.Minute, payment.Review{Action: payment.Reject, Actor: "ops@example.com", Reason: "typo"})
	w.signalAfter(2*time.Minute, "no review")
	w.signalAfter(3*time.Minute, map[string]string{"action": "approve"})
	if got := w.pay(); got.Status != payment.Settled {
		t.Errorf("result %+v", got)
	}
	if len(w.reviews) != 2 {
		t.Fatalf("decisions %+v", w.reviews)
	}
	if r := w.reviews[1]; r != (payment.Review{Action: payment.Approve}) {
		t.Errorf("the second decision has parts of the first: %+v", r)
	}
}

// An approval of another question must not answer this one.
func TestDecisionBeforeTheQuestionIsNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview}
	w.script["Review"] = []any{rejected}
	w.during["Screen"] = func() { w.env.SignalWorkflow(workflows.ReviewSignal, decision(payment.Approve)) }
	w.signalAfter(time.Minute, decision(payment.Reject))
	w.pay()
	if !slices.Equal(w.reviews, []payment.Review{decision(payment.Reject)}) {
		t.Errorf("decisions %+v", w.reviews)
	}
}

// The API tells of a cancellation that is stored already, whenever that was.
func TestCancelBeforeTheQuestionIsCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview}
	w.script["Review"] = []any{canceled}
	w.during["Screen"] = func() {
		w.env.SignalWorkflow(workflows.ReviewSignal, decision(payment.Approve))
		w.env.SignalWorkflow(workflows.ReviewSignal, decision(payment.CancelAction))
	}
	if got := w.pay(); got != canceled {
		t.Errorf("result %+v", got)
	}
	w.ran([]string{"Screen", "Review", "DeliverWebhook"})
}

// The signal of a cancellation can be lost; the database is looked at hourly.
func TestReviewNoticesAChangeBehindItsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview}
	w.script["Look"] = []any{inReview, inReview, canceled}
	start := w.env.Now()
	var seen []time.Duration
	w.during["Look"] = func() { seen = append(seen, w.env.Now().Sub(start).Round(time.Minute)) }
	if got := w.pay(); got != canceled {
		t.Errorf("result %+v", got)
	}
	w.ran([]string{"Screen", "DeliverWebhook", "Look", "Look", "Look", "DeliverWebhook"})
	if !slices.Equal(seen, []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour}) {
		t.Errorf("looked after %v", seen)
	}
}

// A long review goes on in a new history, where decisions still count.
func TestLongReviewContinuesAsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview}
	w.env.SetContinueAsNewSuggested(true)
	w.env.ExecuteWorkflow(workflows.PaymentWorkflow, workflows.PaymentInput{IntentID: intentID})
	var again *workflow.ContinueAsNewError
	if err := w.env.GetWorkflowError(); !errors.As(err, &again) || again.WorkflowType.Name != workflows.PaymentWorkflow {
		t.Fatalf("%v, want continue as new", err)
	}
	var in workflows.PaymentInput
	if err := converter.GetDefaultDataConverter().FromPayloads(again.Input, &in); err != nil {
		t.Fatal(err)
	}

	w = newWorld(t)
	w.script["Screen"] = []any{inReview, released}
	w.script["Review"] = []any{released}
	w.during["Screen"] = func() {
		w.during["Screen"] = nil
		w.env.SignalWorkflow(workflows.ReviewSignal, decision(payment.Approve))
	}
	if got := w.payWith(in); got.Status != payment.Settled {
		t.Errorf("result %+v", got)
	}
}

func TestStateQueryTellsTheLastStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["Screen"] = []any{inReview}
	w.script["Review"] = []any{rejected}
	ask := func() (s activities.State) {
		answer, err := w.env.QueryWorkflow(workflows.StateQuery)
		if err == nil {
			err = answer.Get(&s)
		}
		if err != nil {
			t.Error(err)
		}
		return s
	}
	var waiting activities.State
	w.env.RegisterDelayedCallback(func() { waiting = ask() }, time.Minute)
	w.signalAfter(2*time.Minute, decision(payment.Reject))
	w.pay()
	if waiting != inReview {
		t.Errorf("while in review: %+v", waiting)
	}
	if got := ask(); got != rejected {
		t.Errorf("at the end: %+v", got)
	}
}

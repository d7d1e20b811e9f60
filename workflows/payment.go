package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
)

// steps names the activities; it is never called.
var steps *activities.Steps

// run is one payment on its way.
type run struct {
	ref   activities.Ref
	state activities.State
	seen  activities.Sighting
	asked bool // the reviewer's question was asked before this run began
}

// Payment takes one intent from acceptance to a terminal state. Each step
// reads the database first, so that going round again repeats nothing that is
// done: after a review, or after a slot was proven dead, the payment takes the
// same way once more.
func Payment(ctx workflow.Context, in PaymentInput) (activities.State, error) {
	r := &run{ref: activities.Ref{IntentID: in.IntentID}, asked: in.Asked}
	if err := workflow.SetQueryHandlerWithOptions(ctx, StateQuery, func() (activities.State, error) { return r.state, nil },
		workflow.QueryHandlerOptions{Description: "What the payment's last step left behind"}); err != nil {
		return r.state, err
	}

	for !r.closed() {
		if err := r.pay(ctx); err != nil {
			return r.state, err
		}
		if err := r.decide(ctx); err != nil {
			return r.state, err
		}
	}
	if err := r.deliverWebhooks(ctx); err != nil {
		return r.state, err
	}
	return r.state, r.publish(ctx)
}

// pay is the business process. It stops early when a person must decide or
// the payment ended.
func (r *run) pay(ctx workflow.Context) error {
	for _, step := range []func(workflow.Context) error{
		r.screen, r.selectRoute, r.reserveNonce, r.broadcast, r.awaitConfirmation, r.settle,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if r.closed() || r.state.Waiting() {
			return nil
		}
	}
	return nil
}

func (r *run) screen(ctx workflow.Context) error       { return r.local(ctx, steps.Screen) }
func (r *run) selectRoute(ctx workflow.Context) error  { return r.local(ctx, steps.SelectRoute) }
func (r *run) reserveNonce(ctx workflow.Context) error { return r.local(ctx, steps.ReserveNonce) }

func (r *run) broadcast(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, sending)
	return result(ctx, workflow.ExecuteActivity(ctx, steps.Broadcast, r.ref), &r.state)
}

func (r *run) awaitConfirmation(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, waiting)
	r.seen = activities.Sighting{} // decoding leaves fields alone that are missing
	return result(ctx, workflow.ExecuteActivity(ctx, steps.AwaitConfirmation, r.ref), &r.seen)
}

func (r *run) settle(ctx workflow.Context) error {
	ctx = workflow.WithLocalActivityOptions(ctx, database)
	in := activities.SettleInput{IntentID: r.ref.IntentID, Sighting: r.seen}
	return result(ctx, workflow.ExecuteLocalActivity(ctx, steps.Settle, in), &r.state)
}

// local runs a short database step inside the workflow task.
func (r *run) local(ctx workflow.Context, step any) error {
	ctx = workflow.WithLocalActivityOptions(ctx, database)
	return result(ctx, workflow.ExecuteLocalActivity(ctx, step, r.ref), &r.state)
}

// result waits for a step and replaces out by what it returned. Decoding into
// out itself would keep the old value of every field that the step left empty.
func result[T any](ctx workflow.Context, step workflow.Future, out *T) error {
	var next T
	if err := step.Get(ctx, &next); err != nil {
		return err
	}
	*out = next
	return nil
}

func (r *run) closed() bool { return r.state.Status.Valid() && r.state.Status.Terminal() }

// decide waits for a person as long as the payment is in review, and looks at
// the database every lookEvery, since the intent can be canceled without us
// hearing of it. Decisions that were sent before the question was asked are
// not counted, except to cancel: that is how the API tells of a cancellation
// it has already stored.
func (r *run) decide(ctx workflow.Context) error {
	if !r.state.Waiting() {
		return nil
	}
	signals := workflow.GetSignalChannelWithOptions(ctx, ReviewSignal, workflow.SignalChannelOptions{
		Description: "A reviewer's decision: {action: approve|reject|retry|cancel, actor, reason}"})
	if canceled, ok := r.early(signals); ok {
		return r.review(ctx, canceled)
	}
	if err := r.publish(ctx); err != nil {
		return err
	}
	if err := r.deliverWebhooks(ctx); err != nil {
		return err
	}
	for r.state.Waiting() {
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s**: %s", r.state.ReviewReason, r.state.ReviewDetail))
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && signals.Len() == 0 {
			return workflow.NewContinueAsNewError(ctx, PaymentWorkflow, PaymentInput{IntentID: r.ref.IntentID, Asked: true})
		}
		if err := r.hear(ctx, signals); err != nil {
			return err
		}
	}
	workflow.SetCurrentDetails(ctx, "")
	return nil
}

// early drops the decisions that came before the question, up to one to cancel.
func (r *run) early(signals workflow.ReceiveChannel) (canceled payment.Review, ok bool) {
	if r.asked {
		r.asked = false
		return payment.Review{}, false
	}
	for {
		var decision payment.Review
		if !signals.ReceiveAsync(&decision) {
			return payment.Review{}, false
		}
		if decision.Action == payment.CancelAction {
			return decision, true
		}
	}
}

// hear applies the next decision, or looks at the database if none comes in
// time, if what came is none, or if the upkeep says that the chain has decided.
func (r *run) hear(ctx workflow.Context, signals workflow.ReceiveChannel) error {
	var decision payment.Review
	var decided bool
	waiting, stop := workflow.WithCancel(ctx)
	defer stop()
	var failed error
	looks := workflow.GetSignalChannelWithOptions(ctx, LookSignal, workflow.SignalChannelOptions{
		Description: "Sent by the upkeep when the chain has decided what a person was asked"})
	workflow.NewSelector(ctx).
		AddReceive(signals, func(c workflow.ReceiveChannel, _ bool) { decided = c.ReceiveAsync(&decision) }).
		AddReceive(looks, func(c workflow.ReceiveChannel, _ bool) { c.ReceiveAsync(nil) }).
		AddFuture(workflow.NewTimer(waiting, lookEvery), func(f workflow.Future) { failed = f.Get(ctx, nil) }).
		Select(ctx)
	switch {
	case failed != nil:
		return failed
	case decided:
		return r.review(ctx, decision)
	}
	return r.local(ctx, steps.Look)
}

func (r *run) review(ctx workflow.Context, decision payment.Review) error {
	ctx = workflow.WithLocalActivityOptions(ctx, database)
	in := activities.ReviewInput{IntentID: r.ref.IntentID, Review: decision}
	return result(ctx, workflow.ExecuteLocalActivity(ctx, steps.Review, in), &r.state)
}

// deliverWebhooks makes the first attempts here. What fails goes to workflows
// of its own, which retry for days and do not hold up the payment.
func (r *run) deliverWebhooks(ctx workflow.Context) error {
	var sum activities.Deliveries
	actx := workflow.WithActivityOptions(ctx, delivering)
	if err := workflow.ExecuteActivity(actx, steps.DeliverWebhook, r.ref).Get(ctx, &sum); err != nil {
		return err
	}
	return startDeliveries(ctx, sum.Pending)
}

// publish makes the state searchable.
func (r *run) publish(ctx workflow.Context) error {
	attrs := []temporal.SearchAttributeUpdate{StatusKey.ValueSet(string(r.state.Status))}
	if r.state.Chain != "" {
		attrs = append(attrs, ChainKey.ValueSet(string(r.state.Chain)))
	}
	return workflow.UpsertTypedSearchAttributes(ctx, attrs...)
}

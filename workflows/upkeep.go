package workflows

import (
	"errors"

	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
)

// UpkeepInput names the chain of one Upkeep.
type UpkeepInput struct {
	Chain payment.Chain `json:"chain"`
}

// UpkeepReport is what one round did.
type UpkeepReport struct {
	Swept  activities.Swept  `json:"swept"`
	Tended activities.Tended `json:"tended"`
}

// Upkeep is one round of looking after what lives on a chain: slots and lane
// nonces, whatever the workflows of their payments do. A schedule repeats it.
// A round that failed is seen as such; the next one does what it left.
func Upkeep(ctx workflow.Context, in UpkeepInput) (UpkeepReport, error) {
	var out UpkeepReport
	ref := activities.ChainRef{Chain: in.Chain}
	actx := workflow.WithActivityOptions(ctx, upkeep)
	swept := workflow.ExecuteActivity(actx, steps.SweepSlots, ref)
	tended := workflow.ExecuteActivity(actx, steps.TendLanes, ref)
	err := errors.Join(swept.Get(ctx, &out.Swept), tended.Get(ctx, &out.Tended))
	wakeUp(ctx, out.Swept.Decided)
	return out, err
}

// wakeUp tells payments in review to look at the database. One without a
// workflow is started by Restart.
func wakeUp(ctx workflow.Context, intentIDs []string) {
	var sent []workflow.Future
	for _, id := range intentIDs {
		sent = append(sent, workflow.SignalExternalWorkflow(ctx, id, "", LookSignal, nil))
	}
	for i, f := range sent {
		if err := f.Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Info("nobody waits for the payment", "intent", intentIDs[i], "error", err)
		}
	}
}

// Restart is one round of starting workflows that may be gone: of payments that
// nobody has changed for a while, and of overdue webhook deliveries. Those that
// run are left alone. It returns where the next round goes on.
func Restart(ctx workflow.Context) (activities.Cursor, error) {
	var after activities.Cursor
	if workflow.HasLastCompletionResult(ctx) {
		if err := workflow.GetLastCompletionResult(ctx, &after); err != nil {
			return after, err
		}
	}
	var waiting activities.Waiting
	actx := workflow.WithActivityOptions(ctx, upkeep)
	if err := workflow.ExecuteActivity(actx, steps.Stranded, after).Get(ctx, &waiting); err != nil {
		return after, err
	}
	var payments []workflow.ChildWorkflowFuture
	for _, p := range waiting.Payments {
		payments = append(payments, startPayment(ctx, p))
	}
	err := startDeliveries(ctx, waiting.Deliveries)
	for _, p := range payments {
		err = errors.Join(err, started(ctx, p))
	}
	return waiting.Next, err
}

// startPayment starts a payment's workflow as StartOptions do, though one may
// have ended under its id.
func startPayment(ctx workflow.Context, p activities.OpenPayment) workflow.ChildWorkflowFuture {
	i := payment.Intent{ID: p.ID, MerchantID: p.MerchantID, Amount: p.Amount, Destinations: p.Destinations, Reference: p.Reference, RequestID: p.RequestID}
	i.Asset, _ = payment.AssetByCode(p.Asset) // one that was accepted
	o := apart(i.ID)
	o.TypedSearchAttributes = searchable(i, p.Status)
	o.Memo = memo(i)
	o.StaticSummary = summary(i)
	o.StaticDetails = details(i)
	in := PaymentInput{IntentID: p.ID, Asked: p.Status == payment.ManualReview}
	return workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), Payment, in)
}

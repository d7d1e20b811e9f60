package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
)

// BatchInput starts a Batch. Everything else is read from the database.
type BatchInput struct {
	BatchID string `json:"batch_id"`
}

// Batch drives one batch from its start to its end: from time to time it has
// further lines become payments, each with a workflow of its own, which it does not
// wait for; the database tells how many are open. After so many rounds
// it goes on in a new history, so that histories stay small however long a batch is.
func Batch(ctx workflow.Context, in BatchInput) (activities.BatchState, error) {
	actx := workflow.WithActivityOptions(ctx, filling)
	var state activities.BatchState
	pause := fillEvery
	for range batchRounds {
		var filled activities.FilledBatch
		if err := workflow.ExecuteActivity(actx, steps.FillBatch, activities.BatchRef(in)).Get(ctx, &filled); err != nil {
			return state, err
		}
		if filled.Status != payment.BatchProcessing {
			return filled.BatchState, startDeliveries(ctx, filled.Announced)
		}
		pause = min(2*pause, fillAtMost)
		if filled.BatchState != state {
			pause = fillEvery
		}
		state = filled.BatchState
		if err := workflow.Sleep(ctx, pause); err != nil {
			return state, err
		}
	}
	return state, workflow.NewContinueAsNewError(ctx, BatchWorkflow, in)
}

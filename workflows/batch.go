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
	ctx = workflow.WithActivityOptions(ctx, filling)
	var state activities.BatchState
	pause := fillEvery
	for range batchRounds {
		before := state
		if err := result(ctx, workflow.ExecuteActivity(ctx, steps.FillBatch, activities.BatchRef(in)), &state); err != nil {
			return state, err
		}
		if state.Status != payment.BatchProcessing {
			return state, nil
		}
		pause = min(2*pause, fillAtMost)
		if state != before {
			pause = fillEvery
		}
		if err := workflow.Sleep(ctx, pause); err != nil {
			return state, err
		}
	}
	return state, workflow.NewContinueAsNewError(ctx, BatchWorkflow, in)
}

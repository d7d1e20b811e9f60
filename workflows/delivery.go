package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
)

// WebhookDelivery retries one delivery until the endpoint takes it, or the
// schedule of attempts ends. The first attempt was usually made by the payment.
// If the endpoint is disabled over it, what announces that goes on by itself.
func WebhookDelivery(ctx workflow.Context, d activities.DeliveryRef) (activities.DeliveryResult, error) {
	if wait := d.NextDue.Sub(workflow.Now(ctx)); wait > 0 {
		if err := workflow.Sleep(ctx, wait); err != nil {
			return activities.DeliveryResult{}, err
		}
	}
	var result activities.DeliveryResult
	ctx = workflow.WithActivityOptions(ctx, redelivering)
	if err := workflow.ExecuteActivity(ctx, steps.RetryWebhook, d).Get(ctx, &result); err != nil {
		return result, err
	}
	return result, startDeliveries(ctx, result.Announced)
}

// startDeliveries has each delivery retried by a workflow of its own on the task
// queue of deliveries, unless one runs. They are started side by side.
func startDeliveries(ctx workflow.Context, ds []activities.DeliveryRef) error {
	children := make([]workflow.ChildWorkflowFuture, len(ds))
	for n, d := range ds {
		o := apart(deliveryID(d))
		o.TaskQueue = DeliveryQueue(workflow.GetInfo(ctx).TaskQueueName)
		children[n] = workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, o), WebhookDelivery, d)
	}
	for _, child := range children {
		if err := started(ctx, child); err != nil {
			return err
		}
	}
	return nil
}

// started waits until a child runs; one that ran already is as good.
func started(ctx workflow.Context, child workflow.ChildWorkflowFuture) error {
	err := child.GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return err
}

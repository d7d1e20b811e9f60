package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
)

// WebhookDelivery retries one delivery until the endpoint takes it, or the
// schedule of attempts ends. The first attempt was made by the payment.
func WebhookDelivery(ctx workflow.Context, d activities.DeliveryRef) (activities.DeliveryResult, error) {
	if wait := d.NextDue.Sub(workflow.Now(ctx)); wait > 0 {
		if err := workflow.Sleep(ctx, wait); err != nil {
			return activities.DeliveryResult{}, err
		}
	}
	var result activities.DeliveryResult
	ctx = workflow.WithActivityOptions(ctx, redelivering)
	err := workflow.ExecuteActivity(ctx, steps.RetryWebhook, d).Get(ctx, &result)
	return result, err
}

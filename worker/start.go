package worker

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

const startTimeout = 5 * time.Second

// starter starts workflows of payments. One that runs or ran is success.
func starter(c client.Client, taskQueue string) func(context.Context, payment.Intent) error {
	return func(ctx context.Context, i payment.Intent) error {
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		defer cancel()
		if _, err := c.ExecuteWorkflow(ctx, workflows.StartOptions(i, taskQueue), workflows.PaymentWorkflow, workflows.PaymentInput{IntentID: i.ID}); err != nil {
			return fmt.Errorf("start workflow of %s: %w", i.ID, err)
		}
		return nil
	}
}

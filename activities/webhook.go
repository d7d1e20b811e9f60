package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
)

// What workflows pass between webhook steps.
type (
	// Deliveries is what DeliverWebhook did.
	Deliveries = webhooks.Summary
	// DeliveryRef names one delivery.
	DeliveryRef = webhooks.DeliveryRef
	// DeliveryResult is what RetryWebhook did.
	DeliveryResult = webhooks.OneResult
)

// DeliverWebhook makes the first attempt at every delivery of the intent that
// is due, and returns those that must be tried again later.
func (s *Steps) DeliverWebhook(ctx context.Context, in Ref) (Deliveries, error) {
	defer beat(ctx)()
	return s.Deliverer.DeliverPending(telemetry.WithLogger(ctx, s.Log), in.IntentID)
}

// tryAgainAfter is the wait after an attempt that we could not make, however
// late it was in the schedule.
const tryAgainAfter = 30 * time.Second

// RetryWebhook makes one further attempt. While the schedule of attempts goes
// on it fails with the delay until the next one, which makes Temporal's retry
// policy the retry queue.
func (s *Steps) RetryWebhook(ctx context.Context, ref DeliveryRef) (DeliveryResult, error) {
	defer beat(ctx)()
	r, err := s.Deliverer.DeliverOne(telemetry.WithLogger(ctx, s.Log), ref.EventID, ref.EndpointID)
	if errors.Is(err, store.ErrNotFound) {
		return r, temporal.NewNonRetryableApplicationError("no such delivery", "NotFound", err)
	}
	if err != nil {
		return r, temporal.NewApplicationErrorWithOptions("the attempt could not be made", "WebhookNotTried",
			temporal.ApplicationErrorOptions{Cause: err, NextRetryDelay: tryAgainAfter})
	}
	if r.Done {
		return r, nil
	}
	return r, temporal.NewApplicationErrorWithOptions("delivery failed, next attempt is due later", "WebhookRetry",
		temporal.ApplicationErrorOptions{NextRetryDelay: r.NextDelay})
}

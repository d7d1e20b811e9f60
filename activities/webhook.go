package activities

import (
	"context"
	"errors"

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

// RetryWebhook makes one further attempt. While the schedule of attempts goes
// on it fails with the delay until the next one, which makes Temporal's retry
// policy the retry queue.
func (s *Steps) RetryWebhook(ctx context.Context, ref DeliveryRef) (DeliveryResult, error) {
	defer beat(ctx)()
	r, err := s.Deliverer.DeliverOne(telemetry.WithLogger(ctx, s.Log), ref.EventID, ref.EndpointID)
	if errors.Is(err, store.ErrNotFound) {
		return r, temporal.NewNonRetryableApplicationError("no such delivery", "NotFound", err)
	}
	if err != nil || r.Done {
		return r, err
	}
	return r, temporal.NewApplicationErrorWithOptions("delivery failed, next attempt is due later", "WebhookRetry",
		temporal.ApplicationErrorOptions{NextRetryDelay: r.NextDelay})
}

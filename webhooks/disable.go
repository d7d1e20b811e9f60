package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/telemetry"
)

// An endpoint is disabled after it has done nothing but fail for DisableAfter,
// in at least DisableFailures attempts.
const (
	DisableAfter    = 5 * 24 * time.Hour
	DisableFailures = 20
)

// giveUpOn says whether an endpoint is to be disabled after an attempt, and why.
// failures are its failed attempts since the last success, the first of them
// made failingFor ago.
func giveUpOn(outcome Outcome, failures int, failingFor time.Duration) (reason DisabledReason, ok bool) {
	switch {
	case outcome == Gone:
		return ByGone, true
	case outcome != Delivered && failures >= DisableFailures && failingFor >= DisableAfter:
		return ByFailing, true
	}
	return "", false
}

// disable stops sending to an endpoint and announces it, in one transaction.
// It returns the deliveries of the announcement, which are due now. An endpoint
// that is disabled already is left alone.
func (d *Deliverer) disable(ctx context.Context, id string, reason DisabledReason) ([]DeliveryRef, error) {
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	var announced []DeliveryRef
	err := d.store.Tx(writing, func(ctx context.Context, tx *store.Tx) error {
		announced = nil
		row, err := tx.GiveUpWebhookEndpoint(ctx, db.GiveUpWebhookEndpointParams{ID: id, Reason: string(reason)})
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		e := endpointOf(row)
		announced, err = Announce(ctx, tx, e.MerchantID, e.Mode, EndpointDisabled, e, row.UpdatedAt)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("disable webhook endpoint %s: %w", id, err)
	}
	telemetry.Logger(ctx).Warn("webhook.endpoint_disabled", zap.String("endpoint_id", id), zap.String("reason", string(reason)))
	return announced, nil
}

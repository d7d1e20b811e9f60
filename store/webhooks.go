package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/settlehq/settle/store/db"
)

// States of a webhook delivery. All but pending are final until somebody asks
// for the delivery again, except that delivered may still replace the other two.
const (
	DeliveryPending   = "pending"
	DeliveryDelivered = "delivered"
	DeliveryExhausted = "exhausted" // the schedule ended
	DeliveryDiscarded = "discarded" // the endpoint is disabled
)

// WebhookAttempt is one request that was made for a delivery.
type WebhookAttempt struct {
	EventID    string
	EndpointID string
	State      string        // one of the Delivery* states, to move the delivery to
	RetryIn    time.Duration // from now; only with DeliveryPending
	Status     int           // HTTP status; 0: no answer
	Error      string        // valid UTF-8 without NUL
	Response   []byte
	Duration   time.Duration
	SentAt     time.Time
}

// RecordAttempts appends attempts, at most one per delivery and in the order
// they were made, moves their deliveries on and keeps up the record of failures
// of their endpoints. It returns the deliveries as they are now, in no order,
// with the attempts counted and the failures of the endpoint since its last
// success.
//
// It is on the path of every payment and a single statement, which is a
// transaction of its own; so it is sent without BEGIN and COMMIT, and only
// what Postgres asks to run again goes through Tx.
func (s *Store) RecordAttempts(ctx context.Context, attempts []WebhookAttempt) ([]db.RecordAttemptsRow, error) {
	var p db.RecordAttemptsParams
	for _, a := range attempts {
		p.EventIds = append(p.EventIds, a.EventID)
		p.EndpointIds = append(p.EndpointIds, a.EndpointID)
		p.States = append(p.States, a.State)
		p.RetryInMs = append(p.RetryInMs, a.RetryIn.Milliseconds())
		p.Statuses = append(p.Statuses, int32(a.Status))
		p.Errors = append(p.Errors, a.Error)
		p.Responses = append(p.Responses, append([]byte{}, a.Response...)) // never nil, which would be NULL
		p.DurationsMs = append(p.DurationsMs, int32(a.Duration.Milliseconds()))
		p.SentAt = append(p.SentAt, a.SentAt)
	}
	addHealth(&p, attempts)
	rows, err := s.queries.RecordAttempts(ctx, p)
	if retriable[SQLState(err)] {
		err = s.Tx(ctx, func(ctx context.Context, tx *Tx) (err error) {
			rows, err = tx.RecordAttempts(ctx, p)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("record %d webhook attempts: %w", len(attempts), err)
	}
	return rows, nil
}

// addHealth sums up the attempts per endpoint: whether one succeeded, and how
// many failed after that, since when.
func addHealth(p *db.RecordAttemptsParams, attempts []WebhookAttempt) {
	for _, a := range attempts {
		i := slices.Index(p.HealthIds, a.EndpointID)
		if i < 0 {
			i = len(p.HealthIds)
			p.HealthIds = append(p.HealthIds, a.EndpointID)
			p.Succeeded = append(p.Succeeded, false)
			p.Failures = append(p.Failures, 0)
			p.FailingSince = append(p.FailingSince, a.SentAt)
		}
		switch {
		case a.State == DeliveryDelivered:
			p.Succeeded[i], p.Failures[i] = true, 0
		case p.Failures[i] == 0:
			p.Failures[i], p.FailingSince[i] = 1, a.SentAt
		default:
			p.Failures[i]++
		}
	}
}

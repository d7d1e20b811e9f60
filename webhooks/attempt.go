package webhooks

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/telemetry"
)

// errNotRecorded goes into the log of an attempt that was made and could not
// be written down; it will be made again.
var errNotRecorded = errors.New("attempt not recorded")

// due is one delivery with all that an attempt needs.
type due struct {
	eventID    string
	endpointID string
	intentID   string // "": the event is not about a payment
	attempts   int    // made before
	scheduled  int    // those of them that the schedule counts
	body       []byte
	url        string
	mode       payment.Mode
	secret     []byte // sealed
	previous   []byte // sealed; nil: none signs beside secret
	enabled    bool
	failing    bool // the endpoint has failed FailingAfter times in a row, or answers none of PerEndpoint requests
}

func (d *Deliverer) dueOf(r db.PendingDeliveriesRow) due {
	x := due{
		eventID: r.EventID, endpointID: r.EndpointID, attempts: int(r.Attempts), scheduled: int(r.Attempts - r.ScheduledFrom),
		body: r.Body, url: r.Url, mode: payment.Mode(r.Mode), secret: r.Secret, previous: r.PreviousSecret,
		enabled: r.EndpointState == string(Enabled), failing: r.Failures >= FailingAfter || d.slots.stuck(r.EndpointID, unanswered),
	}
	if r.IntentID != nil {
		x.intentID = *r.IntentID
	}
	return x
}

// secrets opens what an attempt signs with, the current secret first.
func (d *Deliverer) secrets(x due) ([][]byte, error) {
	key, err := d.sealer.Open(x.secret, x.endpointID)
	if err != nil || x.previous == nil {
		return [][]byte{key}, err
	}
	previous, err := d.sealer.Open(x.previous, x.endpointID)
	return [][]byte{key, previous}, err
}

// try is a due delivery after one attempt.
type try struct {
	due
	result  Result
	state   string        // of the delivery, as far as this attempt decides it
	retryIn time.Duration // with store.DeliveryPending
}

// attempt waits with patience for a slot of the endpoint and sends once. ok is
// false if no slot came free in time or ctx ended, and nothing was sent. An
// endpoint that keeps failing is given one slot, for which nobody waits.
func (d *Deliverer) attempt(ctx context.Context, x due, patience time.Duration) (t try, ok bool) {
	slots := d.slots
	if x.failing {
		slots, patience = d.probes, 0
	}
	release, ok := slots.acquire(ctx, x.endpointID, patience)
	if !ok {
		return try{}, false
	}
	defer release()
	t = try{due: x, state: store.DeliveryPending}
	keys, err := d.secrets(x)
	if err != nil {
		t.result = Result{Error: "signing secret: " + err.Error(), Outcome: Retry, Blame: BlameUs}
		return t, true
	}
	t.result = d.sender.Send(ctx, Request{
		URL: x.url, Mode: x.mode, Secrets: keys, EventID: x.eventID, Body: x.body,
	})
	switch t.result.Outcome {
	case Delivered:
		t.state = store.DeliveryDelivered
	case Gone:
		t.state = store.DeliveryDiscarded
	default:
		var again bool
		if t.retryIn, again = NextDelay(x.scheduled+1, t.result.RetryAfter, jitter()); !again {
			t.state = store.DeliveryExhausted
		}
	}
	return t, true
}

func (t try) record() store.WebhookAttempt {
	return store.WebhookAttempt{
		EventID: t.eventID, EndpointID: t.endpointID, State: t.state, RetryIn: t.retryIn,
		Status: t.result.Status, Error: t.result.Error, Response: t.result.Response,
		Duration: t.result.Duration, SentAt: t.result.SentAt,
	}
}

// log writes the one wide line of an attempt. row is the delivery after it, or
// nil if the attempt was not recorded: because it was never made (blame "us"),
// or because of err.
func (t try) log(ctx context.Context, row *db.RecordAttemptsRow, err error) {
	fields := []zap.Field{
		zap.String("event_id", t.eventID),
		zap.String("endpoint_id", t.endpointID),
		zap.String("intent_id", t.intentID),
		zap.Int("status", t.result.Status),
		zap.Int64("ms", t.result.Duration.Milliseconds()),
		zap.String("outcome", string(t.result.Outcome)),
	}
	if t.result.Error != "" {
		fields = append(fields, zap.String("reason", t.result.Error), zap.String("blame", string(t.result.Blame)))
	}
	if row == nil {
		fields = append(fields, zap.Int("attempt", t.attempts+1), zap.Bool("recorded", false), zap.Error(err))
		telemetry.Logger(ctx).Error("webhook.attempt", fields...)
		return
	}
	fields = append(fields, zap.Int32("attempt", row.Attempts), zap.String("state", row.State))
	if row.NextDue != nil {
		fields = append(fields, zap.Time("next_due", *row.NextDue))
	}
	if t.result.Outcome == Delivered {
		telemetry.Logger(ctx).Info("webhook.attempt", fields...)
		return
	}
	telemetry.Logger(ctx).Warn("webhook.attempt", fields...)
}

package webhooks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

const (
	// PerEndpoint is how many requests to one endpoint a process has under way
	// at once.
	PerEndpoint = 4
	// DeliverTimeout is enough time for one call of DeliverPending or
	// DeliverOne: waiting for a slot, one attempt, and the database.
	DeliverTimeout = 45 * time.Second

	// inlineWait is how long DeliverPending waits for answers.
	inlineWait = 2 * time.Second
	// patience is how long a first attempt waits for a slot.
	patience = time.Second
	// FailingAfter is how many attempts in a row fail before an endpoint is
	// probed by one request at a time only, and never while a payment waits. One
	// that takes requests and answers none is known before they have failed: see
	// unanswered.
	FailingAfter = 3
	// Probes is how many deliveries may wait for an endpoint that keeps failing
	// until new ones queue up behind them. Of that queue each round of the sweep
	// for overdue deliveries (OverdueDeliveries) has the oldest one tried, so that
	// it is soon known when the endpoint answers again; then all others are.
	Probes = 4
	// unanswered is for how long no slot of an endpoint comes free until it counts
	// as failing. It ends when one does.
	unanswered = 5 * time.Second
	// recordTimeout bounds the writing of attempts that were made.
	recordTimeout = 10 * time.Second
)

// Deliverer makes attempts and records them. It is safe for concurrent use;
// one per process keeps the bound per endpoint.
type Deliverer struct {
	store      *store.Store
	sealer     *Sealer
	sender     *Sender
	slots      *slots
	probes     *slots // of endpoints that keep failing
	patience   time.Duration
	inlineWait time.Duration
}

// NewDeliverer puts the parts together. Attempts are logged to the logger of
// the caller's context (telemetry.Logger).
func NewDeliverer(st *store.Store, sealer *Sealer, sender *Sender) *Deliverer {
	return &Deliverer{store: st, sealer: sealer, sender: sender, slots: newSlots(PerEndpoint), probes: newSlots(1),
		patience: patience, inlineWait: inlineWait}
}

// DeliveryRef names a delivery that goes on later.
type DeliveryRef struct {
	EventID    string
	EndpointID string
	NextDue    time.Time // zero: now
}

// OneResult is where a delivery stands after DeliverOne.
type OneResult struct {
	Done      bool          // the caller has nothing left to do
	State     string        // one of store.Delivery*
	NextDelay time.Duration // call again after this; 0 if Done
	Attempt   int           // attempts made so far
	Announced []DeliveryRef // deliveries that became due because the endpoint was disabled
}

// DeliverOne makes the next attempt of one delivery if it is due, and says
// when to call again. A delivery that has ended, or whose time has not come,
// is left alone, so a repeated call after a crash neither sends early nor uses
// up the schedule. When the schedule has ended the delivery is exhausted; when
// its endpoint is disabled it is discarded, which an attempt may bring about
// (410, or nothing but failures for DisableAfter). While another delivery probes
// an endpoint that keeps failing, this one stays pending and is left to the
// sweep for overdue deliveries.
//
// An error is ours (database, master key, shutdown) and the delivery is as
// before; store.ErrNotFound means that it does not exist.
func (d *Deliverer) DeliverOne(ctx context.Context, eventID, endpointID string) (OneResult, error) {
	row, err := d.store.Queries().Delivery(ctx, db.DeliveryParams{EventID: eventID, EndpointID: endpointID})
	if err != nil {
		return OneResult{}, fmt.Errorf("webhook %s for %s: %w", eventID, endpointID, err)
	}
	x := d.dueOf(db.PendingDeliveriesRow{
		EventID: row.EventID, EndpointID: row.EndpointID, IntentID: row.IntentID, Attempts: row.Attempts, ScheduledFrom: row.ScheduledFrom,
		Body: row.Body, Url: row.Url, Mode: row.Mode, Secret: row.Secret, PreviousSecret: row.PreviousSecret,
		EndpointState: row.EndpointState, Failures: row.Failures,
	})
	ahead := time.Duration(row.DueInMs) * time.Millisecond
	switch {
	case row.State != store.DeliveryPending:
		return OneResult{Done: true, State: row.State, Attempt: x.attempts}, nil
	case !x.enabled:
		if err := d.discard(ctx, []due{x}); err != nil {
			return OneResult{}, err
		}
		return OneResult{Done: true, State: store.DeliveryDiscarded, Attempt: x.attempts}, nil
	case ahead > 0:
		return OneResult{State: row.State, NextDelay: ahead, Attempt: x.attempts}, nil
	}

	t, ok := d.attempt(ctx, x, 0) // who retries comes back, and holds no place meanwhile
	switch {
	case ctx.Err() != nil && (!ok || t.result.Blame == BlameUs):
		return OneResult{}, fmt.Errorf("webhook %s for %s: %w", eventID, endpointID, ctx.Err())
	case !ok && x.failing:
		return OneResult{Done: true, State: row.State, Attempt: x.attempts}, nil
	case !ok:
		return OneResult{State: row.State, NextDelay: postponed(-ahead), Attempt: x.attempts}, nil
	case t.result.Blame == BlameUs:
		t.log(ctx, nil, nil)
		return OneResult{}, fmt.Errorf("webhook %s for %s: %s", eventID, endpointID, t.result.Error)
	}
	return d.conclude(ctx, t)
}

// conclude records the attempt of DeliverOne.
func (d *Deliverer) conclude(ctx context.Context, t try) (OneResult, error) {
	rows, announced, err := d.record(ctx, []try{t})
	if err != nil {
		return OneResult{}, err
	}
	if len(rows) != 1 {
		return OneResult{}, fmt.Errorf("webhook %s for %s: %w", t.eventID, t.endpointID, store.ErrNotFound)
	}
	res := OneResult{State: rows[0].State, Attempt: int(rows[0].Attempts), Announced: announced}
	if res.State == store.DeliveryPending && len(announced) > 0 { // the workflow ends here, so that it can start the others
		if err := d.discard(ctx, []due{t.due}); err != nil {
			return OneResult{}, err
		}
		res.State = store.DeliveryDiscarded
	}
	if res.Done = res.State != store.DeliveryPending; !res.Done {
		res.NextDelay = t.retryIn
	}
	return res, nil
}

// postponed is the wait of a delivery that has been due for a while and found
// no slot, without counting as a failure: a quarter of that while, so that a
// long queue before a slow endpoint costs no more the longer it gets.
func postponed(waited time.Duration) time.Duration {
	base := min(max(waited/4, schedule[0]), 30*time.Minute)
	return base + time.Duration(float64(base)*jitterShare*jitter())
}

func jitter() float64 { return 2*rand.Float64() - 1 }

// record writes attempts that were made, even if the caller gave up meanwhile,
// logs each, and disables endpoints that are to be given up. It returns the
// deliveries as they are now, and those that announce what was disabled.
func (d *Deliverer) record(ctx context.Context, tried []try) (rows []db.RecordAttemptsRow, announced []DeliveryRef, err error) {
	if len(tried) == 0 {
		return nil, nil, nil
	}
	attempts := make([]store.WebhookAttempt, len(tried))
	for i, t := range tried {
		attempts[i] = t.record()
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	rows, err = d.store.RecordAttempts(writing, attempts)
	for _, t := range tried {
		i := slices.IndexFunc(rows, func(r db.RecordAttemptsRow) bool {
			return r.EventID == t.eventID && r.EndpointID == t.endpointID
		})
		if i < 0 {
			t.log(ctx, nil, errors.Join(errNotRecorded, err))
			continue
		}
		t.log(ctx, &rows[i], nil)
		reason, ok := giveUpOn(t.result.Outcome, int(rows[i].Failures), time.Duration(rows[i].FailingSeconds*float64(time.Second)))
		if !ok {
			continue
		}
		refs, failed := d.disable(ctx, t.endpointID, reason)
		announced, err = append(announced, refs...), errors.Join(err, failed)
	}
	return rows, announced, err
}

func (d *Deliverer) discard(ctx context.Context, xs []due) error {
	if len(xs) == 0 {
		return nil
	}
	var p db.DiscardDeliveriesParams
	for _, x := range xs {
		p.EventIds = append(p.EventIds, x.eventID)
		p.EndpointIds = append(p.EndpointIds, x.endpointID)
	}
	return d.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		return tx.DiscardDeliveries(ctx, p)
	})
}

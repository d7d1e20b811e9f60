package webhooks

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/settlehq/settle/payment"
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

	// patience is how long after its start a call may still begin an attempt.
	patience = 10 * time.Second
	// recordTimeout bounds the writing of attempts that were made.
	recordTimeout = 10 * time.Second
)

// Deliverer makes attempts and records them. It is safe for concurrent use;
// one per process keeps the bound per endpoint.
type Deliverer struct {
	store    *store.Store
	sealer   *Sealer
	sender   *Sender
	slots    *slots
	patience time.Duration
}

// NewDeliverer puts the parts together. Attempts are logged to the logger of
// the caller's context (telemetry.Logger).
func NewDeliverer(st *store.Store, sealer *Sealer, sender *Sender) *Deliverer {
	return &Deliverer{store: st, sealer: sealer, sender: sender, slots: newSlots(PerEndpoint), patience: patience}
}

// DeliveryRef names a delivery that goes on later.
type DeliveryRef struct {
	EventID    string
	EndpointID string
	NextDue    time.Time
}

// Summary is what DeliverPending achieved.
type Summary struct {
	Delivered int           // deliveries that this call finished
	Pending   []DeliveryRef // all others of the intent that still have to arrive
}

// DeliverPending makes the first attempt of every delivery of an intent that
// has none yet: endpoints side by side, events of one endpoint in the order of
// their sequence. An endpoint that gives no answer at all, or whose slots are
// all taken, is not waited for again; what it is owed stays pending untried.
//
// Pending names everything that is left, also what earlier calls left: after a
// crash nothing is forgotten, and starting a WebhookDelivery workflow per
// reference is idempotent by its id. An error means that something could not be
// read or recorded, or that ctx ended; calling again is safe and may send
// again, with the same webhook-id.
func (d *Deliverer) DeliverPending(ctx context.Context, intentID string) (Summary, error) {
	rows, err := d.store.Queries().PendingDeliveries(ctx, intentID)
	if err != nil {
		return Summary{}, fmt.Errorf("pending webhooks of %s: %w", intentID, err)
	}
	var (
		sum     Summary
		wg      sync.WaitGroup
		batches []*batch
		startBy = time.Now().Add(d.patience)
	)
	for _, r := range rows {
		if r.Attempts > 0 && r.EndpointState == string(Enabled) {
			sum.Pending = append(sum.Pending, DeliveryRef{r.EventID, r.EndpointID, dueAt(r.NextDue)})
			continue
		}
		last := len(batches) - 1
		if last < 0 || batches[last].due[0].endpointID != r.EndpointID {
			batches = append(batches, &batch{})
			last++
		}
		batches[last].due = append(batches[last].due, dueOf(r))
	}
	for _, b := range batches {
		wg.Go(func() { d.sendInOrder(ctx, b, startBy) })
	}
	wg.Wait()
	return d.finish(ctx, sum, batches)
}

// batch is what one endpoint is owed, and what became of it. Every element of
// due ends in exactly one of the other three.
type batch struct {
	due       []due
	tried     []try
	deferred  []due
	discarded []due
}

// sendInOrder makes the attempts of one endpoint.
func (d *Deliverer) sendInOrder(ctx context.Context, b *batch, startBy time.Time) {
	if !b.due[0].enabled {
		b.discarded = b.due
		return
	}
	for i, x := range b.due {
		t, ok := d.attempt(ctx, x, time.Until(startBy))
		switch {
		case !ok:
			b.deferred = b.due[i:]
			return
		case t.result.Blame == BlameUs:
			t.log(ctx, nil, nil)
			b.deferred = b.due[i:]
			return
		}
		b.tried = append(b.tried, t)
		switch {
		case t.result.Outcome == Gone:
			b.discarded = b.due[i+1:]
			return
		case t.result.Status == 0:
			b.deferred = b.due[i+1:]
			return
		}
	}
}

// finish records what the batches did and adds it to sum.
func (d *Deliverer) finish(ctx context.Context, sum Summary, batches []*batch) (Summary, error) {
	var tried []try
	var deferred, discarded []due
	for _, b := range batches {
		tried = append(tried, b.tried...)
		deferred = append(deferred, b.deferred...)
		discarded = append(discarded, b.discarded...)
	}
	rows, err := d.record(ctx, tried)
	if err != nil {
		return Summary{}, err
	}
	if err := d.discard(ctx, discarded); err != nil {
		return Summary{}, err
	}
	for _, r := range rows {
		switch r.State {
		case store.DeliveryDelivered:
			sum.Delivered++
		case store.DeliveryPending:
			sum.Pending = append(sum.Pending, DeliveryRef{r.EventID, r.EndpointID, dueAt(r.NextDue)})
		}
	}
	if len(deferred) > 0 && ctx.Err() != nil {
		return Summary{}, fmt.Errorf("%d webhooks were not tried: %w", len(deferred), ctx.Err())
	}
	for _, x := range deferred {
		sum.Pending = append(sum.Pending, DeliveryRef{x.eventID, x.endpointID, time.Now().Add(postponed())})
	}
	return sum, nil
}

// OneResult is where a delivery stands after DeliverOne.
type OneResult struct {
	Done      bool          // nothing is left to do
	State     string        // one of store.Delivery*
	NextDelay time.Duration // call again after this; 0 if Done
	Attempt   int           // attempts made so far
}

// DeliverOne makes the next attempt of one delivery if it is due, and says
// when to call again. A delivery that has ended, or whose time has not come,
// is left alone, so a repeated call after a crash neither sends early nor uses
// up the schedule. When the schedule has ended the delivery is exhausted; when
// its endpoint is disabled or answers 410 it is discarded.
//
// An error is ours (database, master key, shutdown) and the delivery is as
// before; store.ErrNotFound means that it does not exist.
func (d *Deliverer) DeliverOne(ctx context.Context, eventID, endpointID string) (OneResult, error) {
	row, err := d.store.Queries().Delivery(ctx, db.DeliveryParams{EventID: eventID, EndpointID: endpointID})
	if err != nil {
		return OneResult{}, fmt.Errorf("webhook %s for %s: %w", eventID, endpointID, err)
	}
	x := due{
		eventID: row.EventID, endpointID: row.EndpointID, intentID: row.IntentID, attempts: int(row.Attempts),
		body: row.Body, url: row.Url, mode: payment.Mode(row.Mode), secret: row.Secret,
		enabled: row.EndpointState == string(Enabled),
	}
	switch {
	case row.State != store.DeliveryPending:
		return OneResult{Done: true, State: row.State, Attempt: x.attempts}, nil
	case !x.enabled:
		if err := d.discard(ctx, []due{x}); err != nil {
			return OneResult{}, err
		}
		return OneResult{Done: true, State: store.DeliveryDiscarded, Attempt: x.attempts}, nil
	case row.DueInMs > 0:
		wait := time.Duration(row.DueInMs) * time.Millisecond
		return OneResult{State: row.State, NextDelay: wait, Attempt: x.attempts}, nil
	}

	t, ok := d.attempt(ctx, x, d.patience)
	switch {
	case ctx.Err() != nil && (!ok || t.result.Blame == BlameUs):
		return OneResult{}, fmt.Errorf("webhook %s for %s: %w", eventID, endpointID, ctx.Err())
	case !ok:
		return OneResult{State: row.State, NextDelay: postponed(), Attempt: x.attempts}, nil
	case t.result.Blame == BlameUs:
		t.log(ctx, nil, nil)
		return OneResult{}, fmt.Errorf("webhook %s for %s: %s", eventID, endpointID, t.result.Error)
	}
	rows, err := d.record(ctx, []try{t})
	if err != nil {
		return OneResult{}, err
	}
	if len(rows) != 1 {
		return OneResult{}, fmt.Errorf("webhook %s for %s: %w", eventID, endpointID, store.ErrNotFound)
	}
	res := OneResult{Done: rows[0].State != store.DeliveryPending, State: rows[0].State, Attempt: int(rows[0].Attempts)}
	if !res.Done {
		res.NextDelay = t.retryIn
	}
	return res, nil
}

// postponed is the wait of a delivery that was due and could not be tried: as
// after a first failure, without counting as one.
func postponed() time.Duration {
	d, _ := NextDelay(1, 0, jitter())
	return d
}

func jitter() float64 { return 2*rand.Float64() - 1 }

func dueAt(t *time.Time) time.Time {
	if t == nil {
		return time.Now()
	}
	return *t
}

// record writes attempts that were made, even if the caller gave up meanwhile,
// and logs each.
func (d *Deliverer) record(ctx context.Context, tried []try) ([]db.RecordAttemptsRow, error) {
	if len(tried) == 0 {
		return nil, nil
	}
	attempts := make([]store.WebhookAttempt, len(tried))
	for i, t := range tried {
		attempts[i] = t.record()
	}
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	rows, err := d.store.RecordAttempts(writing, attempts)
	for _, t := range tried {
		i := slices.IndexFunc(rows, func(r db.RecordAttemptsRow) bool {
			return r.EventID == t.eventID && r.EndpointID == t.endpointID
		})
		if i < 0 {
			t.log(ctx, nil, errors.Join(errNotRecorded, err))
			continue
		}
		t.log(ctx, &rows[i], nil)
	}
	return rows, err
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

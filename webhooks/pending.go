package webhooks

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Summary is what DeliverPending achieved.
type Summary struct {
	Delivered int           // deliveries that this call finished
	Pending   []DeliveryRef // all others that still have to arrive
}

// DeliverPending makes the first attempt of every delivery of an intent that
// has none yet: endpoints side by side, events of one endpoint in the order of
// their sequence. No endpoint holds up the call, and with it the payment, or
// the record of another: after 2 s what has no answer is pending, and its
// request is left to end by itself. An endpoint that gives no answer at all, or
// whose slots are all taken, is not tried again in this call, and one that has
// been failing for a while is not tried in it at all.
//
// Pending names everything that is left, also what earlier calls left, and what
// announces an endpoint that was disabled: after a crash nothing is forgotten,
// and starting a WebhookDelivery workflow per reference is idempotent by its id.
// It leaves out what queues up before an endpoint that keeps failing: see Probes.
// An error means that something could not be read or recorded, or that ctx
// ended; calling again is safe and may send again, with the same webhook-id.
func (d *Deliverer) DeliverPending(ctx context.Context, intentID string) (Summary, error) {
	rows, err := d.store.Queries().PendingDeliveries(ctx, db.PendingDeliveriesParams{IntentID: intentID, Probes: Probes})
	if err != nil {
		return Summary{}, fmt.Errorf("pending webhooks of %s: %w", intentID, err)
	}
	var sum Summary
	var batches []*batch
	for _, r := range rows {
		x := d.dueOf(r)
		switch last := len(batches) - 1; {
		case x.enabled && x.failing && x.attempts == 0 && r.Behind: // left to the sweep
		case x.enabled && (x.attempts > 0 || x.failing):
			sum.Pending = append(sum.Pending, DeliveryRef{x.eventID, x.endpointID, dueAt(r.NextDue)})
		case last >= 0 && batches[last].due[0].endpointID == x.endpointID:
			batches[last].due = append(batches[last].due, x)
		default:
			batches = append(batches, &batch{due: []due{x}, done: make(chan struct{})})
		}
	}
	waited, stop := context.WithTimeout(ctx, d.inlineWait)
	defer stop()
	d.send(ctx, waited, batches)
	var failed error
	for _, b := range batches {
		failed = errors.Join(failed, sum.add(ctx, waited, b))
	}
	if failed != nil {
		return Summary{}, failed
	}
	return sum, nil
}

func dueAt(t *time.Time) time.Time {
	if t == nil {
		return time.Now()
	}
	return *t
}

// add waits for a batch and adds what it did. What is owed by one that is not
// done when waited ends is pending until its request must have ended.
func (s *Summary) add(ctx, waited context.Context, b *batch) error {
	select {
	case <-b.done:
	case <-waited.Done():
		if ctx.Err() != nil { // which breaks it off
			<-b.done
		}
	}
	select {
	case <-b.done:
		s.Delivered += b.sum.Delivered
		s.Pending = append(s.Pending, b.sum.Pending...)
		return b.err
	default:
		for _, x := range b.due {
			s.Pending = append(s.Pending, DeliveryRef{x.eventID, x.endpointID, time.Now().Add(SendTimeout)})
		}
		return nil
	}
}

// batch is what one endpoint is owed, and what became of it. Every element of
// due ends in exactly one of tried, deferred and discarded.
type batch struct {
	due       []due
	tried     []try
	deferred  []due
	discarded []due

	done chan struct{} // closed when sum and err are written
	sum  Summary
	err  error
}

// send has the batches sent and recorded. Requests that are under way when
// waited ends go on without their caller; if ctx ends before that, they break
// off.
func (d *Deliverer) send(ctx, waited context.Context, batches []*batch) {
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(waited, func() {
		if ctx.Err() != nil {
			cancel()
		}
	})
	var wg sync.WaitGroup
	for _, b := range batches {
		wg.Go(func() {
			defer close(b.done)
			d.sendInOrder(sending, waited, b)
			b.sum, b.err = d.finish(sending, b)
		})
	}
	go func() {
		wg.Wait()
		cancel()
	}()
}

// sendInOrder makes the attempts of one endpoint, and begins none when waited
// has ended.
func (d *Deliverer) sendInOrder(ctx, waited context.Context, b *batch) {
	if !b.due[0].enabled {
		b.discarded = b.due
		return
	}
	for i, x := range b.due {
		if waited.Err() != nil {
			b.deferred = b.due[i:]
			return
		}
		t, ok := d.attempt(ctx, x, d.patience)
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

// finish records what a batch did.
func (d *Deliverer) finish(ctx context.Context, b *batch) (Summary, error) {
	rows, announced, err := d.record(ctx, b.tried)
	if err != nil {
		return Summary{}, err
	}
	if err := d.discard(ctx, b.discarded); err != nil {
		return Summary{}, err
	}
	if len(b.deferred) > 0 && ctx.Err() != nil {
		return Summary{}, fmt.Errorf("%d webhooks were not tried: %w", len(b.deferred), ctx.Err())
	}
	sum := Summary{Pending: announced}
	for _, r := range rows {
		switch {
		case r.State == store.DeliveryDelivered:
			sum.Delivered++
		case r.State == store.DeliveryPending && r.NextDue != nil:
			sum.Pending = append(sum.Pending, DeliveryRef{r.EventID, r.EndpointID, *r.NextDue})
		}
	}
	for _, x := range b.deferred {
		sum.Pending = append(sum.Pending, DeliveryRef{x.eventID, x.endpointID, time.Now().Add(postponed(0))})
	}
	return sum, nil
}

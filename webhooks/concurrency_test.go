package webhooks_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// Losing a master key is our fault: it is reported, uses up nothing, and other
// endpoints get theirs.
func TestLostMasterKeyCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("*")
	id := b.intent()
	without := webhooks.NewDeliverer(b.store, newSealer(t, "k2", map[string][]byte{"k2": key(2)}), newSender(t, webhooks.SenderConfig{Guard: loopback}))
	sum, err := without.DeliverPending(b.ctx, id)
	if err != nil || len(sum.Pending) != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if _, err := without.DeliverOne(b.ctx, sum.Pending[0].EventID, e.ID); err == nil {
		t.Fatal("no error")
	}
	if d, attempts := b.delivery(sum.Pending[0]); d.Attempts != 0 || len(attempts) != 0 || d.State != store.DeliveryPending {
		t.Errorf("%+v, %d attempts", d, len(attempts))
	}
	if res := b.deliverOne(sum.Pending[0]); !res.Done || res.Attempt != 1 || r.Stats().Accepted != 1 {
		t.Errorf("with the key: %+v", res)
	}
}

func TestCanceledCallsAreNotAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inside, end := make(chan struct{}, 1), make(chan struct{})
	e, _ := b.subscribe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-end
	}), "*")
	b.Cleanup(func() { close(end) })
	id := b.intent()
	for name, call := range map[string]func(context.Context) error{
		"pending": func(ctx context.Context) error { _, err := b.deliverer.DeliverPending(ctx, id); return err },
		"one": func(ctx context.Context) error {
			_, err := b.deliverer.DeliverOne(ctx, b.ref(e, id).EventID, e.ID)
			return err
		},
	} {
		ctx, cancel := context.WithCancel(b.ctx)
		go func() { <-inside; cancel() }()
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d, attempts := b.delivery(b.ref(e, id)); d.Attempts != 0 || len(attempts) != 0 {
		t.Errorf("%+v", d)
	}
	if _, err := b.deliverer.DeliverOne(b.ctx, "evt_none", e.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("unknown event: %v", err)
	}
}

// Two runs of one delivery, as after a lost heartbeat, may send twice; their
// attempts are numbered apart, and a success stays one whoever records last.
func TestConcurrentRunsAreNumberedApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const runs = webhooks.PerEndpoint
	var arrived sync.WaitGroup
	arrived.Add(runs)
	var n atomic.Int32
	e, _ := b.subscribe(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		success := n.Add(1) == 1
		arrived.Done()
		arrived.Wait()
		if !success {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}), "*")
	id := b.intent()
	ref := b.ref(e, id)
	var wg sync.WaitGroup
	for range runs {
		wg.Go(func() {
			if _, err := b.deliverer.DeliverOne(b.ctx, ref.EventID, ref.EndpointID); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	d, attempts := b.delivery(ref)
	if d.State != store.DeliveryDelivered || d.Attempts != runs || len(attempts) != runs || d.NextDue != nil {
		t.Fatalf("%+v, %d attempts", d, len(attempts))
	}
	for i, a := range attempts {
		if a.Attempt != int32(i+1) {
			t.Errorf("attempt %d is numbered %d", i+1, a.Attempt)
		}
	}
}

func TestAtMostFourAtOncePerEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var now, most atomic.Int32
	full, open := make(chan struct{}), make(chan struct{})
	b.subscribe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == webhooks.PerEndpoint {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		<-open
	}), "*")
	var wg sync.WaitGroup
	const intents = 3 * webhooks.PerEndpoint
	for range intents {
		id := b.intent()
		wg.Go(func() {
			if sum, err := b.deliverer.DeliverPending(b.ctx, id); err != nil || sum.Delivered != 1 {
				t.Errorf("%+v, %v", sum, err)
			}
		})
	}
	<-full
	close(open)
	wg.Wait()
	if most.Load() != webhooks.PerEndpoint {
		t.Fatalf("%d at once", most.Load())
	}
}

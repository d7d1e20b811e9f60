package webhooks_test

import (
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/webhooks"
)

// hanging subscribes an endpoint that takes requests and never answers.
func (b *bundle) hanging(types ...string) webhooks.Endpoint {
	b.Helper()
	end := make(chan struct{})
	e, _ := b.subscribe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-end }), types...)
	b.Cleanup(func() { close(end) }) // runs before the server is closed, which waits for the handlers
	return e
}

// While endpoints hang, the others get a payment's events and have them
// recorded, and the payment is not held up.
func TestHangingEndpointsDelayNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ok, healthy := b.endpoint("*")
	dead := make(map[string]bool)
	for range 3 {
		dead[b.hanging("*").ID] = true
	}
	pay := func() (sum webhooks.Summary, took time.Duration) {
		t.Helper()
		began := time.Now()
		id := b.intent()
		sum = b.deliverPending(id)
		if sum.Delivered != 1 || len(ok.Deliveries(id)) != 1 {
			t.Fatalf("%+v", sum)
		}
		if d, _ := b.delivery(b.ref(healthy, id)); d.State != store.DeliveryDelivered {
			t.Errorf("the healthy delivery is %s", d.State)
		}
		for _, ref := range sum.Pending {
			if !dead[ref.EndpointID] {
				t.Errorf("pending: %+v", ref)
			}
		}
		return sum, time.Since(began)
	}
	for range webhooks.PerEndpoint + 1 { // more than may be under way at one endpoint
		if sum, took := pay(); len(sum.Pending) != len(dead) || took > webhooks.SendTimeout/2 {
			t.Fatalf("%+v in %s: a payment waited for the dead endpoints, or forgot them", sum, took)
		}
	}
	for n := 0; ; n++ {
		if sum, _ := pay(); len(sum.Pending) == 0 { // they queue up
			break
		}
		if n == 2*webhooks.PerEndpoint {
			t.Fatal("endpoints that answer nothing are tried for each payment")
		}
	}
}

// After repeated failures a payment does not try an endpoint any more: its
// delivery begins in a workflow of its own, one request at a time, until it
// answers again.
func TestFailingEndpointIsProbedApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("*")
	r.FailNext(500, 3)
	for range 3 {
		b.deliverPending(b.intent())
	}
	sum := b.deliverPending(b.intent())
	if sum.Delivered != 0 || len(sum.Pending) != 1 || time.Until(sum.Pending[0].NextDue) > 0 || r.Stats().Accepted != 0 {
		t.Fatalf("%+v, %+v", sum, r.Stats())
	}
	if got, err := webhooks.GetEndpoint(b.ctx, b.store, b.at(e)); err != nil || got.Failures != 3 || got.FailingSince == nil {
		t.Errorf("%+v, %v", got, err)
	}
	if res := b.deliverOne(sum.Pending[0]); res.State != store.DeliveryDelivered {
		t.Errorf("%+v", res)
	}
	if got, err := webhooks.GetEndpoint(b.ctx, b.store, b.at(e)); err != nil || got.Failures != 0 || got.FailingSince != nil {
		t.Errorf("after a success: %+v, %v", got, err)
	}
	if sum := b.deliverPending(b.intent()); sum.Delivered != 1 {
		t.Errorf("afterwards: %+v", sum)
	}
}

// However many deliveries wait for an endpoint that keeps failing, one at a time
// probes it: the oldest that is due, though those tried before it wait for their
// next attempt. When one has arrived, all others are due.
func TestQueueBeforeAFailingEndpointWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("payment_intent.created")
	const more = 5
	r.FailNext(http.StatusInternalServerError, webhooks.FailingAfter+1)
	var refs []webhooks.DeliveryRef
	for n := range webhooks.Probes + more {
		id := b.intent()
		refs = append(refs, b.ref(e, id))
		want := 0
		if n < webhooks.Probes {
			want = 1
		}
		if sum := b.deliverPending(id); sum.Delivered != 0 || len(sum.Pending) != want {
			t.Fatalf("delivery %d: %+v, want %d to be tried again", n+1, sum, want)
		}
		storetest.End(t, b.store, id, payment.Canceled)
	}
	overdue := func(want ...webhooks.DeliveryRef) {
		t.Helper()
		rows, err := b.store.Queries().OverdueDeliveries(b.ctx, db.OverdueDeliveriesParams{
			OverdueSeconds: 0, FailingAfter: webhooks.FailingAfter, MaxRows: 100})
		if err != nil {
			t.Fatal(err)
		}
		var got []webhooks.DeliveryRef
		for _, r := range rows {
			got = append(got, webhooks.DeliveryRef{EventID: r.EventID, EndpointID: r.EndpointID})
		}
		if !slices.Equal(got, want) {
			t.Errorf("to be tried: %v, want %v", got, want)
		}
	}
	untried := refs[webhooks.FailingAfter:] // the first of them should have begun by itself
	overdue(untried[0])
	if res := b.deliverOne(untried[0]); res.State != store.DeliveryPending || res.Done || res.NextDelay <= 0 {
		t.Fatalf("the endpoint still fails: %+v", res)
	}
	overdue(untried[1])
	if res := b.deliverOne(untried[1]); res.State != store.DeliveryDelivered {
		t.Fatalf("%+v", res)
	}
	overdue(untried[2:]...)
}

// A delivery that finds an endpoint which keeps failing probed by another one
// ends its workflow, and waits for its turn.
func TestProbedEndpointIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	e, _ := b.subscribe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answer
	}), "payment_intent.created")
	if _, err := b.sql.Exec(b.ctx, "UPDATE webhook_endpoints SET failures = $2, failing_since = now() WHERE id = $1", e.ID, webhooks.FailingAfter); err != nil {
		t.Fatal(err)
	}
	first, second := b.ref(e, b.intent()), b.ref(e, b.intent())
	var probe sync.WaitGroup
	probe.Go(func() {
		if res, err := b.deliverer.DeliverOne(b.ctx, first.EventID, e.ID); err != nil || res.State != store.DeliveryDelivered {
			t.Errorf("%+v, %v", res, err)
		}
	})
	<-asked
	if res := b.deliverOne(second); !res.Done || res.State != store.DeliveryPending || res.Attempt != 0 {
		t.Errorf("%+v", res)
	}
	close(answer)
	probe.Wait()
}

// Five days of nothing but failures disable an endpoint; a success in between,
// few attempts, or failures of ours do not.
func TestFailingForDaysDisables(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ok, _ := b.endpoint("webhook_endpoint.disabled")
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	e, _, err := webhooks.CreateEndpoint(b.ctx, b.store, b.sealer, loopback, webhooks.NewEndpoint{
		MerchantID: b.merchant, Mode: payment.Test, URL: "http://" + refused.Addr().String(), EventTypes: []string{"payment_intent.*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	failing := func(failures int, days float64) {
		if _, err := b.sql.Exec(b.ctx, "UPDATE webhook_endpoints SET failures = $2, failing_since = now() - $3 * interval '1 day' WHERE id = $1", e.ID, failures, days); err != nil {
			t.Fatal(err)
		}
	}
	state := func() webhooks.EndpointState {
		got, err := webhooks.GetEndpoint(b.ctx, b.store, b.at(e))
		if err != nil {
			t.Fatal(err)
		}
		return got.State
	}
	for _, c := range []struct {
		failures int // before this one
		days     float64
		want     webhooks.EndpointState
	}{
		{webhooks.DisableFailures + 100, 4.9, webhooks.Enabled},
		{webhooks.DisableFailures - 2, 30, webhooks.Enabled},
		{webhooks.DisableFailures - 1, 5.1, webhooks.Disabled},
	} {
		failing(c.failures, c.days)
		ref := b.ref(e, b.intent())
		res := b.deliverOne(ref)
		if state() != c.want || res.Attempt != 1 {
			t.Errorf("%d failures in %v days: %s, %+v", c.failures+1, c.days, state(), res)
		}
		if c.want == webhooks.Enabled {
			continue
		}
		if !res.Done || res.State != store.DeliveryDiscarded || len(res.Announced) != 1 {
			t.Fatalf("%+v", res)
		}
		if res := b.deliverOne(res.Announced[0]); res.State != store.DeliveryDelivered {
			t.Errorf("%+v", res)
		}
		if told := ok.Deliveries(e.ID); len(told) != 1 || told[0].Event.Type != webhooks.EndpointDisabled {
			t.Errorf("told %+v", told)
		}
	}
	// enabling begins a clean record
	if got, err := webhooks.EnableEndpoint(b.ctx, b.store, b.at(e)); err != nil || got.Failures != 0 || got.FailingSince != nil || got.DisabledReason != "" {
		t.Errorf("%+v, %v", got, err)
	}
	b.deliverOne(b.ref(e, b.intent()))
	if state() != webhooks.Enabled {
		t.Error("disabled by one failure after it was enabled")
	}
}

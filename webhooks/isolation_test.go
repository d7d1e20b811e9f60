package webhooks_test

import (
	"net"
	"net/http"
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
	began := time.Now()
	for range 2 * webhooks.PerEndpoint { // more than may be under way at one endpoint
		id := b.intent()
		sum := b.deliverPending(id)
		if sum.Delivered != 1 || len(sum.Pending) != len(dead) || len(ok.Deliveries(id)) != 1 {
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
	}
	if took := time.Since(began); took > 2*webhooks.PerEndpoint*webhooks.SendTimeout/2 {
		t.Errorf("took %v: each payment waited for the dead endpoints", took)
	}
	for _, ref := range b.deliverPending(b.intent()).Pending {
		if wait := time.Until(ref.NextDue); wait > 0 {
			t.Errorf("an endpoint that answers nothing was tried while the payment waited, and is tried again in %s", wait)
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

// However many deliveries wait for an endpoint that keeps failing, a few are
// tried. When one has arrived, all others are due.
func TestQueueBeforeAFailingEndpointWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("payment_intent.created")
	const more = 5
	r.FailNext(http.StatusInternalServerError, webhooks.FailingAfter)
	var ids []string
	for n := range webhooks.Probes + more {
		ids = append(ids, b.intent())
		want := 1
		if n >= webhooks.Probes {
			want = 0
		}
		if sum := b.deliverPending(ids[n]); sum.Delivered != 0 || len(sum.Pending) != want {
			t.Fatalf("delivery %d: %+v, want %d to be tried again", n+1, sum, want)
		}
		storetest.End(t, b.store, ids[n], payment.Canceled)
	}
	overdue := func() int {
		rows, err := b.store.Queries().OverdueDeliveries(b.ctx, db.OverdueDeliveriesParams{
			OverdueSeconds: -time.Hour.Seconds(), FailingAfter: webhooks.FailingAfter, Probes: webhooks.Probes, MaxRows: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	if n := overdue(); n != webhooks.Probes {
		t.Errorf("%d deliveries are to be tried while the endpoint fails, want %d", n, webhooks.Probes)
	}
	if res := b.deliverOne(b.ref(e, ids[webhooks.Probes-1])); res.State != store.DeliveryDelivered {
		t.Fatalf("%+v", res)
	}
	if n, all := overdue(), len(ids)-1; n != all {
		t.Errorf("%d deliveries are to be tried when it answers, want %d", n, all)
	}
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

package webhooks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/webhooks/receiver"
)

func TestEndsOfAPaymentArriveOnceAndVerify(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ends, _ := b.endpoint()
	all, _ := b.endpoint("*")
	id := b.intent()
	storetest.End(t, b.store, id, payment.Canceled)

	if sum := b.deliverPending(id); sum.Delivered != 3 || len(sum.Pending) != 0 {
		t.Fatalf("%+v", sum)
	}
	if got := ends.Events(id); len(got) != 1 || got[0].Type != "payment_intent.canceled" || got[0].Data.Object.Status != payment.Canceled {
		t.Errorf("ends: %+v", got)
	}
	if got := all.Deliveries(id); len(got) != 2 || got[0].Event.Type != "payment_intent.created" || got[1].Event.Data.Object.Sequence != 2 {
		t.Errorf("all: %+v", got)
	}
	if sum := b.deliverPending(id); sum.Delivered != 0 || len(sum.Pending) != 0 {
		t.Errorf("again: %+v", sum)
	}
	if s := all.Stats(); s != (receiver.Stats{Accepted: 2}) {
		t.Errorf("%+v", s)
	}
	// the bytes on the wire are the bytes of the event log
	i, err := b.store.Intent(b.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := b.store.IntentEvents(b.ctx, i.MerchantID, i.Mode, id, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for n, d := range all.Deliveries(id) {
		if string(d.Body) != string(rows[n].Body) || d.ID != rows[n].ID {
			t.Errorf("event %d differs from the log", n)
		}
	}
}

func TestRetryAfterFailureThenSuccess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("*")
	r.FailNext(500, 2)
	id := b.intent()

	sum := b.deliverPending(id)
	if sum.Delivered != 0 || len(sum.Pending) != 1 || sum.Pending[0].EndpointID != e.ID {
		t.Fatalf("%+v", sum)
	}
	ref := sum.Pending[0]
	if d := time.Until(ref.NextDue); d < 2*time.Second || d > 7*time.Second {
		t.Errorf("next due in %v", d)
	}
	// a call before its time, as after a crash, sends nothing
	if res := b.deliverOne(ref); res.Done || res.Attempt != 1 || res.NextDelay <= 0 || res.NextDelay > 7*time.Second {
		t.Errorf("early: %+v", res)
	}
	// and nothing is forgotten by the one who lost the summary
	if again := b.deliverPending(id); len(again.Pending) != 1 || !again.Pending[0].NextDue.Equal(ref.NextDue) {
		t.Errorf("again: %+v", again)
	}
	b.elapse(ref)
	if res := b.deliverOne(ref); res.Done || res.State != store.DeliveryPending || res.Attempt != 2 || res.NextDelay < 4*time.Minute || res.NextDelay > 6*time.Minute {
		t.Errorf("second: %+v", res)
	}
	b.elapse(ref)
	if res := b.deliverOne(ref); !res.Done || res.State != store.DeliveryDelivered || res.Attempt != 3 || res.NextDelay != 0 {
		t.Errorf("third: %+v", res)
	}
	if res := b.deliverOne(ref); !res.Done || res.Attempt != 3 {
		t.Errorf("fourth: %+v", res)
	}
	if s := r.Stats(); s != (receiver.Stats{Accepted: 1, Failed: 2}) {
		t.Errorf("%+v", s)
	}
	if d := r.Deliveries(id)[0]; d.ID != ref.EventID {
		t.Errorf("webhook-id %s of event %s", d.ID, ref.EventID)
	}
	_, attempts := b.delivery(ref)
	for i, want := range []int32{500, 500, 200} {
		if a := attempts[i]; a.Attempt != int32(i+1) || a.Status != want || (a.Error == "") != (want == 200) || (a.NextDue == nil) != (want == 200) || len(a.Response) == 0 {
			t.Errorf("attempt %d: %+v", i+1, a)
		}
	}
	if n := b.lines.FilterMessage("webhook.attempt").FilterField(zap.String("event_id", ref.EventID)).Len(); n != 3 {
		t.Errorf("%d log lines, want one per attempt", n)
	}
}

// Each attempt is signed anew under the same id, so receivers can dedupe and
// still refuse old timestamps.
func TestIDIsStableOverAttempts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	var ids []string
	b.subscribe(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		ids = append(ids, r.Header.Get("webhook-id"))
		w.WriteHeader(http.StatusBadGateway)
	}), "payment_intent.*")
	sum := b.deliverPending(b.intent())
	for range 2 {
		b.elapse(sum.Pending[0])
		b.deliverOne(sum.Pending[0])
	}
	for _, id := range ids {
		if id != sum.Pending[0].EventID {
			t.Fatalf("ids %v of event %s", ids, sum.Pending[0].EventID)
		}
	}
	if len(ids) != 3 {
		t.Fatalf("%d attempts", len(ids))
	}
}

func TestScheduleEndsExhausted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, _ := b.endpoint("*")
	r.FailNext(500, 1000)
	ref := b.deliverPending(b.intent()).Pending[0]
	var res webhooks.OneResult
	for range webhooks.MaxAttempts - 1 {
		if res.Done {
			t.Fatalf("ended early: %+v", res)
		}
		b.elapse(ref)
		res = b.deliverOne(ref)
	}
	if !res.Done || res.State != store.DeliveryExhausted || res.Attempt != webhooks.MaxAttempts {
		t.Fatalf("%+v", res)
	}
	if d, _ := b.delivery(ref); d.NextDue != nil {
		t.Error("an exhausted delivery is due again")
	}
}

func TestGoneDisablesTheEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("*")
	ok, _ := b.endpoint("*")
	id := b.intent()
	storetest.Advance(t, b.store, id, payment.Routed)
	other := b.intent()
	r.FailNext(410, 1)

	sum := b.deliverPending(id)
	if sum.Delivered != 2 || len(sum.Pending) != 1 || sum.Pending[0].EndpointID == e.ID {
		t.Fatalf("%+v", sum)
	}
	// the merchant's other endpoint is told
	if res := b.deliverOne(sum.Pending[0]); !res.Done || res.State != store.DeliveryDelivered {
		t.Errorf("announcement: %+v", res)
	}
	if told := ok.Deliveries(e.ID); len(told) != 1 || told[0].Event.Type != webhooks.EndpointDisabled || !strings.Contains(string(told[0].Body), `"disabled_reason":"gone"`) {
		t.Errorf("told %+v", told)
	}
	list, err := webhooks.ListEndpoints(b.ctx, b.store, b.merchant, payment.Test)
	if err != nil || len(list) != 2 || list[0].ID != e.ID || list[0].State != webhooks.Disabled || list[1].State != webhooks.Enabled {
		t.Fatalf("%+v, %v", list, err)
	}
	// what was due already is discarded, whichever way its turn comes
	if res := b.deliverOne(b.ref(e, other)); !res.Done || res.State != store.DeliveryDiscarded {
		t.Errorf("%+v", res)
	}
	if sum := b.deliverPending(other); sum.Delivered != 1 || len(sum.Pending) != 0 {
		t.Errorf("%+v", sum)
	}
	// and nothing new becomes due
	if sum := b.deliverPending(b.intent()); sum.Delivered != 1 || len(sum.Pending) != 0 {
		t.Errorf("%+v", sum)
	}
	if s := r.Stats(); s != (receiver.Stats{Failed: 1}) || len(ok.Deliveries(id)) != 2 {
		t.Errorf("%+v", s)
	}
}

func TestDisabledEndpointsAreDiscarded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("*")
	id := b.intent()
	if _, err := webhooks.DisableEndpoint(b.ctx, b.store, b.at(e)); err != nil {
		t.Fatal(err)
	}
	if sum := b.deliverPending(id); sum.Delivered != 0 || len(sum.Pending) != 0 {
		t.Fatalf("%+v", sum)
	}
	if d, attempts := b.delivery(b.ref(e, id)); d.State != store.DeliveryDiscarded || len(attempts) != 0 {
		t.Errorf("%+v, %d attempts", d, len(attempts))
	}
	if s := r.Stats(); s != (receiver.Stats{}) {
		t.Errorf("%+v", s)
	}
}

// An endpoint that does not answer at all is not asked again in the same call.
func TestSilentEndpointsAreTriedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var hits atomic.Int32
	b.subscribe(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		hits.Add(1)
		panic(http.ErrAbortHandler)
	}), "*")
	ok, _ := b.endpoint("*")
	id := b.intent()
	storetest.Advance(t, b.store, id, payment.Routed)
	if sum := b.deliverPending(id); sum.Delivered != 2 || len(sum.Pending) != 2 {
		t.Fatalf("%+v", sum)
	}
	if hits.Load() != 1 || len(ok.Deliveries(id)) != 2 {
		t.Errorf("%d hits, %d delivered", hits.Load(), len(ok.Deliveries(id)))
	}
}

func BenchmarkDeliverPending(b *testing.B) {
	s := storetest.Open(b)
	sealer, err := webhooks.NewSealer("k1", map[string][]byte{"k1": key(1)})
	if err != nil {
		b.Fatal(err)
	}
	sender := webhooks.NewSender(webhooks.SenderConfig{Guard: loopback})
	b.Cleanup(sender.Close)
	deliverer := webhooks.NewDeliverer(s, sealer, sender)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(srv.Close)
	m := storetest.Merchant(b, s, 0)
	storetest.Deposit(b, s, m.ID, payment.Test, 1_000_000_000)
	if _, _, err := webhooks.CreateEndpoint(b.Context(), s, sealer, loopback, webhooks.NewEndpoint{
		MerchantID: m.ID, Mode: payment.Test, URL: srv.URL, EventTypes: []string{"payment_intent.created"},
	}); err != nil {
		b.Fatal(err)
	}
	ids := make([]string, b.N)
	for i := range ids {
		order := storetest.Order(m.ID, 1)
		order.Mode = payment.Test
		storetest.Tx(b, s, func(ctx context.Context, tx *store.Tx) error {
			_, err := storetest.Accept(ctx, tx, order, fmt.Sprint(i))
			return err
		})
		ids[i] = order.ID
	}
	b.ResetTimer()
	for _, id := range ids {
		if sum, err := deliverer.DeliverPending(b.Context(), id); err != nil || sum.Delivered != 1 {
			b.Fatal(sum, err)
		}
	}
}

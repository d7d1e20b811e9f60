package workflows_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

var delivered = retry{result: activities.DeliveryResult{Done: true, State: "delivered", Attempt: 2}}

// refusedUntil is RetryWebhook's answer to a failed attempt.
func refusedUntil(delay time.Duration) retry {
	return retry{err: temporal.NewApplicationErrorWithOptions("delivery failed", "WebhookRetry", temporal.ApplicationErrorOptions{NextRetryDelay: delay})}
}

// children notes the ids of the workflows that a payment starts.
func (w *world) children() *[]string {
	var ids []string
	w.env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		ids = append(ids, info.WorkflowExecution.ID)
	})
	return &ids
}

// What could not be delivered at once goes on by itself: the payment ends
// before the retry is due.
func TestPendingDeliveriesOutliveThePayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	due := w.env.Now().Add(time.Hour)
	refs := []activities.DeliveryRef{{EventID: "evt_1", EndpointID: "we_1", NextDue: due}, {EventID: "evt_1", EndpointID: "we_2", NextDue: due}}
	w.script["DeliverWebhook"] = []any{activities.Deliveries{Pending: refs}}
	w.script["RetryWebhook"] = []any{delivered}
	w.env.SetDetachedChildWait(true)
	started := w.children()
	if got := w.pay(); got != settled {
		t.Errorf("result %+v", got)
	}
	if want := []string{"evt_1/we_1", "evt_1/we_2"}; !slices.Equal(*started, want) {
		t.Errorf("started %v, want %v", *started, want)
	}
	if len(w.retries) != 2 || w.retries[0].Before(due) {
		t.Errorf("retried at %v, due at %v", w.retries, due)
	}
	for _, id := range *started {
		if err := w.env.GetWorkflowErrorByID(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// The same delivery is pending at the review and at the end: its workflow
// runs already, which is as good as starting it.
func TestDeliveryThatRunsAlreadyIsFine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ref := activities.DeliveryRef{EventID: "evt_1", EndpointID: "we_1", NextDue: w.env.Now().Add(24 * time.Hour)}
	w.script["Screen"] = []any{inReview}
	w.script["Review"] = []any{rejected}
	w.script["DeliverWebhook"] = []any{activities.Deliveries{Pending: []activities.DeliveryRef{ref}}}
	w.script["RetryWebhook"] = []any{delivered}
	started := w.children()
	w.signalAfter(time.Minute, decision(payment.Reject))
	if got := w.pay(); got != rejected {
		t.Errorf("result %+v", got)
	}
	if w.count("DeliverWebhook") != 2 || len(*started) != 1 {
		t.Errorf("%d looks for webhooks started %v, want 2 and one workflow", w.count("DeliverWebhook"), *started)
	}
}

// The first retry waits until it is due, every further one as long as the
// step says.
func TestWebhookDeliveryKeepsTheSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := w.env.Now()
	ref := activities.DeliveryRef{EventID: "evt_1", EndpointID: "we_1", NextDue: start.Add(5 * time.Second)}
	w.script["RetryWebhook"] = []any{refusedUntil(5 * time.Minute), refusedUntil(30 * time.Minute), delivered}
	w.env.ExecuteWorkflow(workflows.DeliveryWorkflow, ref)
	var got activities.DeliveryResult
	if err := w.env.GetWorkflowResult(&got); err != nil || !reflect.DeepEqual(got, delivered.result) {
		t.Fatalf("result %+v, %v", got, err)
	}
	var after []time.Duration
	for _, at := range w.retries {
		after = append(after, at.Sub(start).Truncate(time.Second))
	}
	want := []time.Duration{5 * time.Second, 5*time.Minute + 5*time.Second, 35*time.Minute + 5*time.Second}
	if !slices.Equal(after, want) {
		t.Errorf("tried after %v, want %v", after, want)
	}
	if w.refs[0].EventID != ref.EventID || w.refs[0].EndpointID != ref.EndpointID {
		t.Errorf("tried %+v", w.refs[0])
	}
}

// The failure that has an endpoint disabled is told to the merchant's others.
func TestDisabledEndpointIsAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	told := activities.DeliveryRef{EventID: "evt_2", EndpointID: "we_2"}
	w.script["RetryWebhook"] = []any{
		retry{result: activities.DeliveryResult{Done: true, State: "discarded", Attempt: 20, Announced: []activities.DeliveryRef{told}}}, delivered}
	w.env.SetDetachedChildWait(true)
	started := w.children()
	w.env.ExecuteWorkflow(workflows.DeliveryWorkflow, activities.DeliveryRef{EventID: "evt_1", EndpointID: "we_1"})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"evt_2/we_2"}; !slices.Equal(*started, want) || len(w.retries) != 2 {
		t.Errorf("started %v, want %v; %d tries", *started, want, len(w.retries))
	}
}

// A delivery that is due already, because its start was late, is not waited for.
func TestOverdueDeliveryStartsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := w.env.Now()
	w.script["RetryWebhook"] = []any{delivered}
	w.env.ExecuteWorkflow(workflows.DeliveryWorkflow, activities.DeliveryRef{EventID: "evt_1", EndpointID: "we_1", NextDue: start.Add(-time.Hour)})
	if err := w.env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if waited := w.retries[0].Sub(start); waited > time.Second {
		t.Errorf("waited %s", waited)
	}
}

// A delivery that does not exist is nothing to be repeated for ever.
func TestUnknownDeliveryFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.script["RetryWebhook"] = []any{retry{err: temporal.NewNonRetryableApplicationError("no such delivery", "NotFound", nil)}}
	w.env.ExecuteWorkflow(workflows.DeliveryWorkflow, activities.DeliveryRef{EventID: "evt_1", EndpointID: "we_1"})
	if err := w.env.GetWorkflowError(); err == nil || len(w.retries) != 1 {
		t.Errorf("%v after %d tries", err, len(w.retries))
	}
}

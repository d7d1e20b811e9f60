package workflows_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/worker"
	"github.com/settlehq/settle/workflows"
)

const intentID = "pi_0190a0b0c0d0e0f00000000000000001"

// world runs one workflow in Temporal's test environment, which skips waiting
// times. Its steps do nothing but return what the test scripted.
type world struct {
	*testing.T
	env *testsuite.TestWorkflowEnvironment

	mu      sync.Mutex
	calls   []string          // steps in the order in which they ran
	reviews []payment.Review  // decisions that were applied
	settled []chains.Sighting // what Settle was told
	script  map[string][]any  // results by step, in order; the last one repeats
	during  map[string]func() // runs inside the step, before it returns
	retries []time.Time       // when RetryWebhook ran
	refs    []activities.DeliveryRef
	cursor  activities.Cursor // where Stranded was told to begin
}

// newWorld scripts a payment that settles on Ethereum with nothing to deliver.
func newWorld(t *testing.T) *world {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	w := &world{T: t, env: suite.NewTestWorkflowEnvironment(), during: map[string]func(){}, script: map[string][]any{
		"Screen":            {created},
		"SelectRoute":       {routed},
		"ReserveNonce":      {routed},
		"Broadcast":         {submitted},
		"AwaitConfirmation": {activities.Sighting{SlotID: "slot_1", Sighting: chains.Sighting{Kind: chains.Paid, TxHash: "0x1"}}},
		"Settle":            {settled},
		"DeliverWebhook":    {activities.Deliveries{}},
	}}
	w.env.SetTestTimeout(time.Minute)
	worker.RegisterWorkflows(w.env)
	for _, name := range []string{"Screen", "SelectRoute", "ReserveNonce", "Broadcast", "Look"} {
		step(w, name, func(context.Context, activities.Ref) (activities.State, error) {
			return next[activities.State](w, name), nil
		})
	}
	step(w, "AwaitConfirmation", func(context.Context, activities.Ref) (activities.Sighting, error) {
		return next[activities.Sighting](w, "AwaitConfirmation"), nil
	})
	step(w, "Settle", func(_ context.Context, in activities.SettleInput) (activities.State, error) {
		s := next[activities.State](w, "Settle")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.settled = append(w.settled, in.Sighting.Sighting)
		return s, nil
	})
	step(w, "Review", func(_ context.Context, in activities.ReviewInput) (activities.State, error) {
		s := next[activities.State](w, "Review")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reviews = append(w.reviews, in.Review)
		return s, nil
	})
	step(w, "DeliverWebhook", func(context.Context, activities.Ref) (activities.Deliveries, error) {
		return next[activities.Deliveries](w, "DeliverWebhook"), nil
	})
	step(w, "RetryWebhook", func(_ context.Context, ref activities.DeliveryRef) (activities.DeliveryResult, error) {
		r := next[retry](w, "RetryWebhook")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.retries, w.refs = append(w.retries, w.env.Now()), append(w.refs, ref)
		return r.result, r.err
	})
	return w
}

// retry is one scripted answer of RetryWebhook.
type retry struct {
	result activities.DeliveryResult
	err    error
}

func step(w *world, name string, fn any) {
	w.env.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
}

// next notes that a step ran and returns its next scripted result.
func next[R any](w *world, name string) R {
	w.mu.Lock()
	w.calls = append(w.calls, name)
	during := w.during[name]
	w.mu.Unlock()
	if during != nil {
		during()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	results := w.script[name]
	if len(results) == 0 {
		w.Errorf("%s ran, which nobody expected", name)
		var zero R
		return zero
	}
	if len(results) > 1 {
		w.script[name] = results[1:]
	}
	return results[0].(R)
}

// States that steps leave behind.
var (
	created   = activities.State{Status: payment.Created, Sequence: 1}
	routed    = activities.State{Status: payment.Routed, Chain: "ethereum", Sequence: 2}
	submitted = activities.State{Status: payment.Submitted, Substatus: payment.AwaitingBlock, Chain: "ethereum", Sequence: 3}
	settled   = activities.State{Status: payment.Settled, Chain: "ethereum", TxHash: "0x1", Sequence: 5}
	rejected  = activities.State{Status: payment.Rejected, Sequence: 3}
	canceled  = activities.State{Status: payment.Canceled, Sequence: 3}

	inReview = activities.State{Status: payment.ManualReview, ReviewReason: payment.ReviewPolicy, ReviewDetail: "above the limit", Sequence: 2}
	// released: a person decided, and the steps go on.
	released = activities.State{Status: payment.ManualReview, Sequence: 3}
)

var happyWay = []string{"Screen", "SelectRoute", "ReserveNonce", "Broadcast", "AwaitConfirmation", "Settle"}

func decision(action payment.ReviewAction) payment.Review {
	return payment.Review{Action: action, Actor: "ops@example.com", Reason: "checked with the merchant"}
}

// signalAfter sends a review signal when the workflow has run for d.
func (w *world) signalAfter(d time.Duration, payload any) {
	w.env.RegisterDelayedCallback(func() { w.env.SignalWorkflow(workflows.ReviewSignal, payload) }, d)
}

// pay runs a payment to its end and returns its result.
func (w *world) pay() activities.State {
	w.Helper()
	return w.payWith(workflows.PaymentInput{IntentID: intentID})
}

func (w *world) payWith(in workflows.PaymentInput) activities.State {
	w.Helper()
	w.env.ExecuteWorkflow(workflows.PaymentWorkflow, in)
	if !w.env.IsWorkflowCompleted() {
		w.Fatalf("the workflow did not end; steps: %v", w.calls)
	}
	var out activities.State
	if err := w.env.GetWorkflowResult(&out); err != nil {
		w.Fatalf("%v; steps: %v", err, w.calls)
	}
	return out
}

// ran fails the test unless exactly these steps ran, in this order.
func (w *world) ran(parts ...[]string) {
	w.Helper()
	if want := slices.Concat(parts...); !slices.Equal(w.calls, want) {
		w.Errorf("steps %v\nwant  %v", w.calls, want)
	}
}

func (w *world) count(name string) (n int) {
	for _, c := range w.calls {
		if c == name {
			n++
		}
	}
	return n
}

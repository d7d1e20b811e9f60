package api_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/workflows"
)

// overdue makes every waiting start due now.
func (b *bench) overdue() {
	b.t.Helper()
	if _, err := b.sql.Exec(b.t.Context(), "UPDATE intent_starts SET next_at = clock_timestamp() - interval '1 second'"); err != nil {
		b.t.Fatal(err)
	}
}

func TestAcceptedWhileTemporalIsDownIsStartedLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.temporal.set(func(c *temporalDouble) { c.down = true })
	id := b.create().id()
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 0 || err == nil {
		t.Errorf("started %d, %v while Temporal is down", n, err)
	}
	b.temporal.set(func(c *temporalDouble) { c.down = false })
	if n, err := b.server.Relay().Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("started %d, %v: it is not due yet", n, err)
	}
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 1 || err != nil || b.temporal.starts(id) != 1 {
		t.Errorf("started %d, %v", n, err)
	}
}

// Only the workflow's first step ends the sweeping; until then the start is
// repeated.
func TestSweepGoesOnUntilTheWorkflowIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	for n := 1; n <= 2; n++ {
		b.overdue()
		if _, err := b.server.Relay().Sweep(t.Context()); err != nil || b.temporal.starts(id) != n {
			t.Errorf("%d starts, want %d (%v)", b.temporal.starts(id), n, err)
		}
	}
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error { return tx.WorkflowSeen(ctx, id) })
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("started %d, %v after the workflow was seen", n, err)
	}
}

// A crash between commit and start: another process's sweep finds the intent.
func TestRunSweeps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id() // no relay runs: its offer stays in memory
	b.serve(peppers)      // another process
	b.overdue()
	b.relay()
	eventually(t, "the sweep starts the workflow", func() bool { return b.temporal.starts(id) == 1 })
}

func TestRunServesAndStopsCleanly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx, listener, 5*time.Second) }()
	resp, err := http.Get("http://" + listener.Addr().String() + "/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	cancel()
	if err := <-done; err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, Run: %v", resp.StatusCode, err)
	}
}

// starts counts the intents whose workflow is still to be started or told.
func (b *bench) starts() int { return b.rows()["intent_starts"] }

// A workflow that sleeps in manual review must hear of the cancellation even if
// Temporal was down when it was made.
func TestCanceledWhileTemporalIsDownIsToldLater(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	storetest.Advance(t, b.store, id, payment.ManualReview)
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error { return tx.WorkflowSeen(ctx, id) })

	b.temporal.set(func(c *temporalDouble) { c.down = true })
	b.do("POST", list+"/"+id+"/cancel", `{"reason":"order returned"}`).want(200)
	if n, err := b.server.Relay().Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("told %d, %v: it is not due yet", n, err)
	}
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 0 || err == nil {
		t.Errorf("told %d, %v while Temporal is down", n, err)
	}
	b.temporal.set(func(c *temporalDouble) { c.down = false })
	for n := 1; n <= 2; n++ { // until the workflow's next step is seen
		b.overdue()
		if told, err := b.server.Relay().Sweep(t.Context()); told != 1 || err != nil {
			t.Errorf("told %d, %v", told, err)
		}
		s := b.temporal.signals()
		if len(s) != n || s[0].Action != payment.CancelAction || s[0].Reason != "order returned" || b.temporal.starts(id) != 0 {
			t.Errorf("signals: %+v, %d starts", s, b.temporal.starts(id))
		}
	}
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error { return tx.WorkflowSeen(ctx, id) })
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("told %d, %v after the workflow was seen", n, err)
	}
}

// What the relay relies on, on a Temporal server: a workflow that waits gets the
// signal, one that was never started is started with it, and one that closed is
// neither started again nor asked for ever.
func TestTemporalIsToldOfACancellation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sb := sandbox.Start(t)
	temporal := sb.Temporal(t)
	b.serve(peppers, func(d *api.Deps) { d.Temporal, d.TaskQueue = temporal, sb.TaskQueue(t) })
	waiting := b.create().id()
	b.create() // goes on
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 2 || err != nil {
		t.Fatalf("started %d, %v", n, err)
	}
	unknown := b.create().id()
	for _, id := range []string{waiting, unknown} {
		b.do("POST", list+"/"+id+"/cancel", nil).want(200)
	}
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 3 || err != nil {
		t.Fatalf("handed %d, %v", n, err)
	}
	for _, id := range []string{waiting, unknown} {
		signaled := 0
		for events := temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
			e, err := events.Next()
			if err != nil {
				t.Fatal(err)
			}
			if e.GetWorkflowExecutionSignaledEventAttributes().GetSignalName() == workflows.ReviewSignal {
				signaled++
			}
		}
		if signaled != 1 {
			t.Errorf("%s: %d signals", id, signaled)
		}
		if err := temporal.TerminateWorkflow(t.Context(), id, "", "end of test"); err != nil {
			t.Fatal(err)
		}
	}
	b.overdue()
	if n, err := b.server.Relay().Sweep(t.Context()); n != 3 || err != nil || b.starts() != 1 {
		t.Errorf("handed %d, %v; %d rows are left, want that of the payment that goes on", n, err, b.starts())
	}
}

// Nothing that a merchant does waits for Temporal, also if it does not answer at all.
func TestPaymentsAreAcceptedWhileTemporalIsDown(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{"refuses": "127.0.0.1:1", "hangs": hanging(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			temporal, err := client.NewLazyClient(client.Options{HostPort: address, Logger: telemetry.TemporalLogger(zap.NewNop())})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(temporal.Close)
			b.serve(peppers, func(d *api.Deps) { d.Temporal, d.Log = temporal, zap.NewNop() })
			stop := b.relay()
			began := time.Now()
			accepted, canceled := b.create().id(), b.create().id()
			b.do("POST", list+"/"+canceled+"/cancel", nil).want(200)
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("three requests took %s", took)
			}
			if b.starts() != 2 {
				t.Errorf("%d workflows are to be started, want 2", b.starts())
			}
			stop()
			b.serve(peppers) // Temporal is back
			b.overdue()
			if n, err := b.server.Relay().Sweep(t.Context()); n != 2 || err != nil || b.temporal.starts(accepted) != 1 || len(b.temporal.signals()) != 1 {
				t.Errorf("handed %d, %v: %d starts, %d signals", n, err, b.temporal.starts(accepted), len(b.temporal.signals()))
			}
		})
	}
}

// hanging listens and never answers.
func hanging(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().String() // connections wait in the backlog
}

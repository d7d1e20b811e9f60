package api_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/store"
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
	if err := <-done; err != nil || resp.StatusCode != 200 {
		t.Errorf("status %d, Run: %v", resp.StatusCode, err)
	}
}

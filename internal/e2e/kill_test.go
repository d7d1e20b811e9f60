package e2e_test

import (
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/payment"
)

// TestKilledWorkerPaysOnce kills the worker with -9 while payments are at every
// step of their way, three times, and expects each payment to be made once.
func TestKilledWorkerPaysOnce(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	ids := pay(t, d, 16)
	for _, step := range []payment.Status{payment.Submitted, payment.Confirming, payment.Settled} {
		d.AwaitAny(t, within, ids, step)
		d.Workers[0].Kill()
		ids = append(ids, d.Pay(t, "while-dead-"+string(step), deployment.To("ethereum", payeeOn(t, "ethereum"), "3.25")).ID)
		d.Workers[0].Start()
	}
	proven(t, d, ids)
}

// TestKilledAPILosesNothing kills the API right after its answers: what was
// accepted is paid although its relay died with it.
func TestKilledAPILosesNothing(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	var ids []string
	for range 3 {
		ids = append(ids, d.Pay(t, "before-kill-"+time.Now().Format(time.RFC3339Nano), deployment.To("solana", payeeOn(t, "solana"), "1.5")).ID)
		d.API.Kill()
		d.API.Start()
	}
	proven(t, d, ids)
}

package e2e_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

// batchWithin bounds the wait for a whole batch on a busy machine.
const batchWithin = 8 * time.Minute

// TestKilledBatchPaysEachLineOnce kills the API and the worker with -9 twice each
// while a batch over both chains is paid. `make batch` does the same with
// 10,000 lines.
func TestKilledBatchPaysEachLineOnce(t *testing.T) {
	t.Parallel()
	const lines = 240
	d := setup(t, deployment.Options{EthereumLanes: 4, SolanaLanes: 2, LaneInFlight: 32, Settings: []string{"SETTLE_BATCH_WINDOW=60"}})
	orders := deployment.BatchOrders(t, lines, 20)
	id := d.Upload(t, "killed-batch", orders)
	d.ChangeBatch(t, id, "start")
	d.API.Kill() // perhaps before it has started the workflow
	d.API.Start()
	for n, p := range []*deployment.Process{d.Workers[0], d.API, d.Workers[0]} {
		d.AwaitBatch(t, batchWithin, id, func(b deployment.BatchState) bool { return b.Count(payment.Settled) >= (n+1)*lines/6 })
		p.Kill()
		// At no moment is there a difference within the books.
		if report, err := ledger.Check(t.Context(), d.Store); err != nil || !report.Clean() {
			t.Errorf("check: %v, %v", report.Differences, err)
		}
		p.Start()
	}
	d.AwaitBatch(t, batchWithin, id, func(b deployment.BatchState) bool { return b.Status == payment.BatchCompleted })
	count := d.CountBatch(t, id, orders)
	if count.Once != lines || count.Twice != 0 || count.Lost != 0 || len(count.Wrong) > 0 {
		t.Errorf("of %d lines %d were paid once, %d twice, %d are lost: %q", lines, count.Once, count.Twice, count.Lost, count.Wrong)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if _, err := d.Receiver.Wait(ctx, id, webhooks.BatchCompleted); err != nil {
		t.Errorf("the merchant was not told that the batch has ended: %v", err)
	}
	d.BooksClose(t)
}

// TestBatchMeetsTroubles: a line whose payee the chain refuses fails alone; a
// person is asked about a large one; a cancel midway keeps what is under way.
func TestBatchMeetsTroubles(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{ReviewAbove: 500_000_000, Settings: []string{"SETTLE_BATCH_WINDOW=4"}})
	orders := deployment.BatchOrders(t, 12, 6)
	orders[1].Address = d.Sandbox.Descriptor.Solana.USDCMint // is the token: refused when uploaded
	if id := d.Upload(t, "refused-batch", orders); d.Batch(t, id).Status != payment.BatchInvalid {
		t.Error("a batch with a forbidden payee is not invalid")
	}
	orders = deployment.BatchOrders(t, 12, 6)
	frozen := orders[1].Address
	d.Sandbox.Descriptor.Solana.Fund(t, frozen, 0, 1)
	d.Sandbox.Descriptor.Solana.Freeze(t, frozen, true)
	orders[2].Amount, orders[4].Amount, orders[6].Amount, orders[8].Amount = "600.000000", "601.000000", "602.000000", "603.000000"
	id := d.Upload(t, "troubled-batch", orders)
	d.ChangeBatch(t, id, "start")
	// Four wait for a person, which is all that may be open.
	d.AwaitBatch(t, batchWithin, id, func(b deployment.BatchState) bool {
		return b.Count(payment.ManualReview) == 4 && b.Count(payment.Settled) >= 3
	})
	d.BooksClose(t)
	canceled := d.ChangeBatch(t, id, "cancel")
	if canceled.Status != payment.BatchCanceled || canceled.Held != "0.000000" || canceled.Count(payment.ManualReview) != 4 {
		t.Errorf("canceled: %+v", canceled)
	}
	var ids []string
	for _, r := range d.BatchResults(t, id) {
		if r.Status == payment.ManualReview {
			decide(t, d, r.IntentID, payment.Approve)
		}
		if r.IntentID != "" {
			ids = append(ids, r.IntentID)
		}
	}
	d.Await(t, within, ids)
	results := d.BatchResults(t, id)
	if results[1].Status != payment.Failed || slices.ContainsFunc(results[9:], func(r deployment.BatchResult) bool { return r.Status != payment.Canceled }) {
		t.Errorf("results: %+v", results)
	}
	if refused := d.Get(t, results[1].IntentID); refused.Failure == nil || refused.Failure.Code != payment.AddressFrozen || refused.Batch == nil || refused.Batch.ID != id || refused.Batch.Line != 2 {
		t.Errorf("the refused line: %+v", refused)
	}
	if count := d.CountBatch(t, id, orders); count.Once != len(ids)-1 || len(count.Wrong) > 0 {
		t.Errorf("%+v", count)
	}
	for _, c := range d.Contradictions(t, ids) {
		t.Error(c)
	}
	d.BooksClose(t)
	if err := d.Temporal.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil); err != nil {
		t.Errorf("the batch's workflow: %v", err)
	}
}

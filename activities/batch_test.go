package activities_test

import (
	"context"
	"encoding/json"
	"reflect"
	"sync"
	"testing"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

// Lines become payments once each, however many runs there are at a time, and never
// more than the window and the backlog allow.
func TestBatchFillsItsWindow(t *testing.T) {
	t.Parallel()
	w := onEthereum(t, sandbox.Start(t).Ethereum(t))
	b, first := storetest.Batch(t, w.store, w.merchant.ID, 1, 2, 3, 4, 5, 6, 7, 8)
	var mu sync.Mutex
	started := map[string]int{first.ID: 1}
	w.steps.StartPayment = func(_ context.Context, i payment.Intent) error {
		mu.Lock()
		defer mu.Unlock()
		started[i.ID]++
		return nil
	}
	fill := func(payments, open int, status payment.BatchStatus) {
		t.Helper()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := w.steps.FillBatch(t.Context(), activities.BatchRef{BatchID: b.ID}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got, err := w.steps.FillBatch(t.Context(), activities.BatchRef{BatchID: b.ID})
		if want := (activities.BatchState{Status: status, Payments: payments, Open: open}); err != nil || got.BatchState != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		if len(started) != payments {
			t.Errorf("started %v, want %d", started, payments)
		}
		w.booksClose()
	}
	w.steps.BatchWindow = 3
	fill(3, 3, payment.BatchProcessing)
	storetest.End(t, w.store, first.ID, payment.Canceled)
	fill(4, 3, payment.BatchProcessing)
	w.steps.BatchWindow, w.steps.MaxBacklog = 100, 6 // four wait for their first step, the ended one included
	fill(6, 5, payment.BatchProcessing)
	w.steps.MaxBacklog = 0
	fill(8, 7, payment.BatchProcessing)
	for id, times := range started {
		if times != 1 {
			t.Errorf("%s was started %d times", id, times)
		}
		if id != first.ID {
			storetest.End(t, w.store, id, payment.Expired)
		}
	}
	fill(8, 0, payment.BatchCompleted)
	// Its end was announced once, with what GET shows.
	var told int
	var body []byte
	if err := w.sql.QueryRow(t.Context(), "SELECT count(*) OVER (), body FROM events WHERE type = $1", webhooks.BatchCompleted).Scan(&told, &body); err != nil || told != 1 {
		t.Fatalf("%d events, %v", told, err)
	}
	var event struct {
		Data struct{ Object payment.BatchResource }
	}
	if err := json.Unmarshal(body, &event); err != nil {
		t.Fatal(err)
	}
	ended, err := w.store.MerchantBatch(t.Context(), w.merchant.ID, payment.Live, b.ID)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := w.store.ShowBatch(t.Context(), ended); err != nil || want.Status != payment.BatchCompleted || !reflect.DeepEqual(event.Data.Object, want) {
		t.Errorf("told %+v, want %+v, %v", event.Data.Object, want, err)
	}
	if got, err := ledger.MerchantBalance(t.Context(), w.store, ledger.HolderOfBatch(b), payment.USDC); err != nil || !got.Held.IsZero() {
		t.Errorf("held %s, %v", got.Held, err)
	}
}

// While a chain cannot be asked, nothing is concluded about its lines.
func TestBatchWaitsForItsChains(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // serves no chain
	b, _ := storetest.Batch(t, w.store, w.merchant.ID, 1, 2)
	got, err := w.steps.FillBatch(t.Context(), activities.BatchRef{BatchID: b.ID})
	if err == nil || got.Payments != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	w.booksClose()
}

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func events(t *testing.T, s *store.Store, i payment.Intent) []store.EventRow {
	t.Helper()
	rows, err := s.IntentEvents(t.Context(), i.MerchantID, i.Mode, i.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// sameAsEvent wants GET and the newest event to show the intent alike, to the byte.
func sameAsEvent(t *testing.T, s *store.Store, id string, kind payment.EventType, previous payment.Status) {
	t.Helper()
	i, err := s.Intent(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := json.Marshal(i.Resource())
	if err != nil {
		t.Fatal(err)
	}
	rows := events(t, s, i)
	newest := rows[len(rows)-1]
	var body struct {
		ID        string            `json:"id"`
		Type      payment.EventType `json:"type"`
		Timestamp time.Time         `json:"timestamp"`
		Data      struct {
			Object         json.RawMessage `json:"object"`
			PreviousStatus payment.Status  `json:"previous_status"`
		} `json:"data"`
	}
	if err := json.Unmarshal(newest.Body, &body); err != nil {
		t.Fatal(err)
	}
	if string(body.Data.Object) != string(shown) {
		t.Errorf("GET and event differ:\n%s\n%s", shown, body.Data.Object)
	}
	if body.ID != newest.ID || body.Type != kind || newest.Type != string(kind) || body.Data.PreviousStatus != previous {
		t.Errorf("event %s %s after %q, stored as %s %s; want %s after %q",
			body.ID, body.Type, body.Data.PreviousStatus, newest.ID, newest.Type, kind, previous)
	}
	if newest.Sequence != i.Version || !body.Timestamp.Equal(i.UpdatedAt) || !newest.CreatedAt.Equal(i.UpdatedAt) {
		t.Errorf("event %d at %s and %s of version %d at %s", newest.Sequence, body.Timestamp, newest.CreatedAt, i.Version, i.UpdatedAt)
	}
}

func TestCreateIntentStoresWhatWasOrdered(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1_000_000)
	order := storetest.Order(m.ID, 12_345)
	maxFee, deadline := payment.Units(500), time.Now().Add(time.Hour) // in nanoseconds, which no column keeps
	order.MaxFee, order.Deadline, order.Reference = &maxFee, &deadline, "invoice 7 <&> ünïcode"
	order.Allowed = []payment.Chain{"solana", storetest.Chain}
	order.Metadata = map[string]string{"z": "1", "a": "\"quoted\"", "status": "settled"}

	var created payment.Intent
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		created, err = storetest.Accept(ctx, tx, order, "key")
		return err
	})
	if created.Status != payment.Created || created.Substatus != payment.AwaitingWorkflow || created.Version != 1 {
		t.Errorf("created as %s/%s, version %d", created.Status, created.Substatus, created.Version)
	}
	if !created.CreatedAt.Equal(created.UpdatedAt) || created.CreatedAt.IsZero() {
		t.Errorf("created at %s, updated at %s", created.CreatedAt, created.UpdatedAt)
	}
	read, err := s.Intent(t.Context(), order.ID)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(created)
	b, _ := json.Marshal(read)
	if string(a) != string(b) {
		t.Errorf("returned and stored differ:\n%s\n%s", a, b)
	}
	if read.Amount != order.Amount || *read.MaxFee != maxFee || read.Reference != order.Reference || read.Metadata["a"] != "\"quoted\"" {
		t.Errorf("stored %+v", read)
	}
	sameAsEvent(t, s, order.ID, "payment_intent.created", "")
}

func TestCreateIntentOncePerKey(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 100)
	storetest.Deposit(t, s, m.ID, payment.Test, 100)
	accept := func(mode payment.Mode) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			order := storetest.Order(m.ID, 10)
			order.Mode = mode
			_, err := storetest.Accept(ctx, tx, order, "key")
			return err
		})
	}
	if err := accept(payment.Live); err != nil {
		t.Fatal(err)
	}
	if err := accept(payment.Live); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same key: %v", err)
	}
	if err := accept(payment.Test); err != nil {
		t.Errorf("the same key in the other mode: %v", err)
	}
}

func TestSaveIntent(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1_000)

	save := func(id string, change func(*payment.Intent)) (payment.Intent, error) {
		var stored payment.Intent
		err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			before, err := tx.LockIntent(ctx, id)
			if err != nil {
				return err
			}
			after := before
			change(&after)
			stored, err = tx.SaveIntent(ctx, before, after)
			return err
		})
		return stored, err
	}

	t.Run("writes the change with its event", func(t *testing.T) {
		t.Parallel()
		i := storetest.Intent(t, s, m.ID, 1)
		got, err := save(i.ID, func(i *payment.Intent) {
			i.Status, i.Substatus = payment.ManualReview, payment.NoSubstatus
			i.ReviewReason, i.ReviewDetail = payment.ReviewPolicy, "too large"
			i.Chain, i.Address, i.TxHash, i.Approved = "ethereum", "0xto", "0xhash", true
			i.Failure = &payment.Failure{Code: "c", Message: "m"}
		})
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != 2 || got.Status != payment.ManualReview || got.ReviewDetail != "too large" || !got.Approved ||
			got.Failure == nil || *got.Failure != (payment.Failure{Code: "c", Message: "m"}) || !got.UpdatedAt.After(got.CreatedAt) {
			t.Errorf("stored %+v", got)
		}
		sameAsEvent(t, s, i.ID, "payment_intent.manual_review", payment.Created)

		if _, err := save(i.ID, func(i *payment.Intent) { i.Substatus, i.Failure = payment.RPCDegraded, nil }); err != nil {
			t.Fatal(err)
		}
		sameAsEvent(t, s, i.ID, payment.IntentUpdated, "")
	})
	t.Run("refuses what the state machine does not list", func(t *testing.T) {
		t.Parallel()
		i := storetest.Intent(t, s, m.ID, 1)
		if _, err := save(i.ID, func(i *payment.Intent) { i.Status = payment.Settled }); !errors.Is(err, store.ErrIllegalTransition) {
			t.Errorf("created became settled: %v", err)
		}
	})
	t.Run("refuses to change what ended", func(t *testing.T) {
		t.Parallel()
		i := storetest.Intent(t, s, m.ID, 1)
		storetest.End(t, s, i.ID, payment.Canceled)
		for _, status := range []payment.Status{payment.Canceled, payment.Routed} {
			if _, err := save(i.ID, func(i *payment.Intent) { i.Status, i.Substatus = status, "x" }); !errors.Is(err, store.ErrIllegalTransition) {
				t.Errorf("canceled changed to %s: %v", status, err)
			}
		}
		sameAsEvent(t, s, i.ID, "payment_intent.canceled", payment.Created)
	})
	t.Run("refuses another order", func(t *testing.T) {
		t.Parallel()
		i := storetest.Intent(t, s, m.ID, 1)
		for name, change := range map[string]func(*payment.Intent){
			"amount":       func(i *payment.Intent) { i.Amount = payment.Units(2) },
			"destinations": func(i *payment.Intent) { i.Destinations = nil },
			"merchant":     func(i *payment.Intent) { i.MerchantID = "mer_other" },
			"hold":         func(i *payment.Intent) { i.HoldID = "other" },
		} {
			if _, err := save(i.ID, change); !errors.Is(err, store.ErrRefused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("refuses a change of what is not there any more", func(t *testing.T) {
		t.Parallel()
		old := storetest.Intent(t, s, m.ID, 1)
		storetest.Advance(t, s, old.ID, payment.Routed)
		err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			after := old
			after.Status = payment.Canceled
			_, err := tx.SaveIntent(ctx, old, after)
			return err
		})
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("a stale change: %v", err)
		}
	})
	t.Run("needs an intent", func(t *testing.T) {
		t.Parallel()
		if _, err := save("pi_none", func(*payment.Intent) {}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no intent: %v", err)
		}
	})
}

// Concurrent writers of one intent take turns; no version is lost or doubled.
func TestLockIntentSerialisesWriters(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 10)
	i := storetest.Intent(t, s, m.ID, 10)
	const writers = 20
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				before, err := tx.LockIntent(ctx, i.ID)
				if err != nil {
					return err
				}
				after := before
				after.ReviewDetail += "x"
				_, err = tx.SaveIntent(ctx, before, after)
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err := s.Intent(t.Context(), i.ID)
	if err != nil || got.Version != 1+writers || len(got.ReviewDetail) != writers {
		t.Errorf("version %d, %d writes, %v", got.Version, len(got.ReviewDetail), err)
	}
	for n, e := range events(t, s, got) {
		if e.Sequence != int64(n)+1 {
			t.Fatalf("event %d has sequence %d", n, e.Sequence)
		}
	}
}

func TestDueStarts(t *testing.T) {
	t.Parallel()
	s, url := storetest.OpenURL(t)
	conn := storetest.SQL(t, url)
	m := storetest.Merchant(t, s, 100)
	var ids []string
	for range 6 {
		ids = append(ids, storetest.Intent(t, s, m.ID, 1).ID)
	}
	sweep := func(limit int) (found []string) {
		storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
			found = nil
			intents, err := tx.DueStarts(ctx, limit)
			for _, i := range intents {
				found = append(found, i.ID)
			}
			return err
		})
		return found
	}
	later := func(d string) {
		if _, err := conn.Exec(t.Context(), "UPDATE intent_starts SET next_at = next_at - $1::interval", d); err != nil {
			t.Fatal(err)
		}
	}

	if found := sweep(10); len(found) != 0 {
		t.Errorf("due at once: %v", found)
	}
	later("5 seconds")
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.WorkflowSeen(ctx, ids[0]) })
	if found := sweep(2); len(found) != 2 {
		t.Errorf("a limit of 2 took %v", found)
	}
	first := sweep(10)
	if len(first) != 3 || slices.Contains(first, ids[0]) {
		t.Errorf("the rest is %v", first)
	}
	if found := sweep(10); len(found) != 0 {
		t.Errorf("taken twice in a row: %v", found)
	}
	// 10 s, then 20, 40, 80, 160, and never more than 300.
	for _, wait := range []string{"10 seconds", "20 seconds", "40 seconds", "80 seconds", "160 seconds", "300 seconds", "300 seconds"} {
		later(wait)
		later("-5 seconds")
		if found := sweep(10); len(found) != 0 {
			t.Errorf("due 5 seconds before %s: %v", wait, found)
		}
		later("5 seconds")
		if found := sweep(10); len(found) != 5 {
			t.Errorf("due after %s: %v", wait, found)
		}
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.WorkflowSeen(ctx, ids[0]) }) // again: no error
}

// Two sweepers at the same time start different intents and do not wait.
func TestDueStartsSkipsWhatOthersHold(t *testing.T) {
	t.Parallel()
	s, url := storetest.OpenURL(t)
	m := storetest.Merchant(t, s, 100)
	for range 4 {
		storetest.Intent(t, s, m.ID, 1)
	}
	if _, err := storetest.SQL(t, url).Exec(t.Context(), "UPDATE intent_starts SET next_at = now()"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	storetest.Tx(t, s, func(ctx context.Context, one *store.Tx) error {
		mine, err := one.DueStarts(ctx, 2)
		if err != nil {
			return err
		}
		return s.Tx(ctx, func(ctx context.Context, two *store.Tx) error {
			others, err := two.DueStarts(ctx, 10)
			for _, i := range append(mine, others...) {
				if seen[i.ID] {
					t.Errorf("%s was taken twice", i.ID)
				}
				seen[i.ID] = true
			}
			return err
		})
	})
	if len(seen) != 4 {
		t.Errorf("%d of 4 were taken", len(seen))
	}
}

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func TestMerchantsSeeOnlyTheirOwn(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	mine, other := storetest.Merchant(t, s, 10), storetest.Merchant(t, s, 10)
	i := storetest.Intent(t, s, mine.ID, 10)

	if _, err := s.MerchantIntent(t.Context(), mine.ID, payment.Live, i.ID); err != nil {
		t.Error(err)
	}
	for _, stranger := range []struct {
		id   string
		mode payment.Mode
	}{{other.ID, payment.Live}, {mine.ID, payment.Test}} {
		if _, err := s.MerchantIntent(t.Context(), stranger.id, stranger.mode, i.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v reads the intent: %v", stranger, err)
		}
		list, more, err := s.ListIntents(t.Context(), store.ListFilter{MerchantID: stranger.id, Mode: stranger.mode}, nil, 10)
		if err != nil || len(list) != 0 || more {
			t.Errorf("%v lists %v, %v, %v", stranger, list, more, err)
		}
		rows, err := s.IntentEvents(t.Context(), stranger.id, stranger.mode, i.ID, 0, 10)
		if err != nil || len(rows) != 0 {
			t.Errorf("%v reads events %v, %v", stranger, rows, err)
		}
	}
}

func TestListIntentsPages(t *testing.T) {
	t.Parallel()
	s, url := storetest.OpenURL(t)
	m := storetest.Merchant(t, s, 1000)
	const total = 11
	for range total {
		storetest.Intent(t, s, m.ID, 1)
	}
	filter := store.ListFilter{MerchantID: m.ID, Mode: payment.Live}

	// Several of one time, as a fast merchant makes them: the id decides.
	conn := storetest.SQL(t, url)
	for _, sql := range []string{
		"ALTER TABLE payment_intents DISABLE TRIGGER USER",
		"UPDATE payment_intents SET created_at = date_trunc('minute', created_at)",
		"ALTER TABLE payment_intents ENABLE TRIGGER USER",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 3, total - 1, total, total + 1} {
		var seen []payment.Intent
		var cursor *store.Cursor
		for {
			page, more, err := s.ListIntents(t.Context(), filter, cursor, limit)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > limit || (more && len(page) < limit) {
				t.Fatalf("limit %d: a page of %d, more %v", limit, len(page), more)
			}
			seen = append(seen, page...)
			if !more {
				break
			}
			last := page[len(page)-1]
			cursor = &store.Cursor{CreatedAt: last.CreatedAt, ID: last.ID}
		}
		if len(seen) != total {
			t.Errorf("limit %d: %d of %d intents", limit, len(seen), total)
		}
		for n := 1; n < len(seen); n++ {
			a, b := seen[n-1], seen[n]
			if a.CreatedAt.Before(b.CreatedAt) || (a.CreatedAt.Equal(b.CreatedAt) && a.ID <= b.ID) {
				t.Errorf("limit %d: %s comes before %s", limit, a.ID, b.ID)
			}
		}
	}
}

func TestListIntentsFilters(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1000)
	first := storetest.Intent(t, s, m.ID, 1)
	routed := storetest.Intent(t, s, m.ID, 1)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockIntent(ctx, routed.ID)
		if err != nil {
			return err
		}
		after := before
		after.Status, after.Chain = payment.Routed, "ethereum"
		_, err = tx.SaveIntent(ctx, before, after)
		return err
	})
	named := storetest.Order(m.ID, 1)
	named.Reference = "invoice 7"
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		_, err := storetest.Accept(ctx, tx, named, "key")
		return err
	})
	at := func(d time.Duration) *time.Time { x := routed.CreatedAt.Add(d); return &x }

	tests := []struct {
		name   string
		filter store.ListFilter
		want   []string
	}{
		{"none", store.ListFilter{}, []string{named.ID, routed.ID, first.ID}},
		{"status", store.ListFilter{Statuses: []payment.Status{payment.Created}}, []string{named.ID, first.ID}},
		{"statuses", store.ListFilter{Statuses: []payment.Status{payment.Created, payment.Routed}}, []string{named.ID, routed.ID, first.ID}},
		{"chain", store.ListFilter{Chain: "ethereum"}, []string{routed.ID}},
		{"other chain", store.ListFilter{Chain: "solana"}, nil},
		{"reference", store.ListFilter{Reference: "invoice 7"}, []string{named.ID}},
		{"after, inclusive", store.ListFilter{CreatedAfter: at(0)}, []string{named.ID, routed.ID}},
		{"after", store.ListFilter{CreatedAfter: at(time.Microsecond)}, []string{named.ID}},
		{"before, exclusive", store.ListFilter{CreatedBefore: at(0)}, []string{first.ID}},
		{"between", store.ListFilter{CreatedAfter: at(0), CreatedBefore: at(time.Microsecond)}, []string{routed.ID}},
		{"all of it", store.ListFilter{Statuses: []payment.Status{payment.Routed}, Chain: "ethereum", CreatedAfter: at(0)}, []string{routed.ID}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.filter.MerchantID, tt.filter.Mode = m.ID, payment.Live
			list, _, err := s.ListIntents(t.Context(), tt.filter, nil, 10)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range list {
				got = append(got, i.ID)
			}
			a, _ := json.Marshal(got)
			b, _ := json.Marshal(tt.want)
			if string(a) != string(b) {
				t.Errorf("got %s, want %s", a, b)
			}
		})
	}
}

func TestIntentEventsPage(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 10)
	i := storetest.Intent(t, s, m.ID, 10)
	storetest.Advance(t, s, i.ID, payment.Routed, payment.Submitted, payment.Confirming)
	rows, err := s.IntentEvents(t.Context(), m.ID, payment.Live, i.ID, 1, 2)
	if err != nil || len(rows) != 2 || rows[0].Sequence != 2 || rows[1].Sequence != 3 {
		t.Errorf("events after 1, at most 2: %+v, %v", rows, err)
	}
}

func TestIntentAttempts(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 10)
	i := storetest.Intent(t, s, m.ID, 10)

	if attempts, err := s.IntentAttempts(t.Context(), i.ID); err != nil || len(attempts) != 0 {
		t.Errorf("before any attempt: %v, %v", attempts, err)
	}
	storetest.Settle(t, s, i.ID)
	attempts, err := s.IntentAttempts(t.Context(), i.ID)
	if err != nil || len(attempts) != 1 || len(attempts[0].Slots) != 1 {
		t.Fatalf("%+v, %v", attempts, err)
	}
	slot := attempts[0].Slots[0]
	if slot.State != "paid" || slot.Outcome == nil || slot.Outcome.Result != "paid" || *slot.Outcome.Amount != i.Amount {
		t.Errorf("slot %+v", slot)
	}
	if attempts[0].Seq != 1 || attempts[0].IntentID != i.ID {
		t.Errorf("attempt %+v", attempts[0])
	}
}

func TestIntentTransfers(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 10)
	i := storetest.Intent(t, s, m.ID, 10)
	storetest.Settle(t, s, i.ID)
	transfers, err := s.IntentTransfers(t.Context(), i.ID)
	if err != nil || len(transfers) != 2 {
		t.Fatalf("%+v, %v", transfers, err)
	}
	hold, settle := transfers[0], transfers[1]
	if hold.Reference != i.ID+":hold" || hold.Phase != "hold" || len(hold.Entries) != 0 || *hold.HoldAmount != i.Amount {
		t.Errorf("hold %+v", hold)
	}
	if settle.Reference != i.ID+":settle" || settle.Phase != "post" || *settle.PendingID != hold.ID || len(settle.Entries) != 6 {
		t.Errorf("settle %+v", settle)
	}
	if e := settle.Entries[0]; e.Kind != "merchant_available" || e.Owner != m.ID+":live" || e.Amount != "10" {
		t.Errorf("first entry %+v", e)
	}
	if e := settle.Entries[3]; e.Kind != "custody" || e.Asset != "USDC.ethereum" || e.Amount != "-10" {
		t.Errorf("fourth entry %+v", e)
	}
}

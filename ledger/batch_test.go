package ledger_test

import (
	"context"
	"errors"
	"testing"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// A batch's hold becomes the holds of its payments part by part: what is held
// changes only when a payment ends or what is left is released.
func TestHoldIsTakenInParts(t *testing.T) {
	t.Parallel()
	s, _ := storetest.OpenURL(t)
	m := storetest.Merchant(t, s, 1_000)
	held := func(want uint64) {
		t.Helper()
		b, err := ledger.MerchantBalance(t.Context(), s, live(m), payment.USDC)
		if err != nil || b.Held != payment.Units(want) {
			t.Errorf("held %s, %v, want %d", b.Held, err, want)
		}
		wantClean(t, s)
	}
	b, first := storetest.Batch(t, s, m.ID, 100, 200, 300)
	held(600)
	storetest.Settle(t, s, first.ID)
	held(500)
	part := func(amounts ...uint64) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			var intents []payment.Intent
			for _, amount := range amounts {
				intents = append(intents, storetest.Order(m.ID, amount))
			}
			_, err := ledger.HoldParts(ctx, tx, b, intents)
			if err == nil {
				err = errUndone
			}
			return err
		})
	}
	if err := part(500); !errors.Is(err, errUndone) {
		t.Errorf("what is left cannot be taken: %v", err)
	}
	for _, tooMuch := range [][]uint64{{501}, {200, 301}} {
		if err := part(tooMuch...); !errors.Is(err, ledger.ErrHoldInvalid) {
			t.Errorf("parts %v: %v", tooMuch, err)
		}
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		if err := ledger.VoidBatch(ctx, tx, b); err != nil {
			return err
		}
		_, err := tx.EndBatch(ctx, b.ID, payment.BatchCanceled)
		return err
	})
	held(0)
	if err := part(1); !errors.Is(err, ledger.ErrHoldInvalid) {
		t.Errorf("a part of a released hold: %v", err)
	}
}

// A part that is released gives back its own amount.
func TestVoidedPartIsAvailable(t *testing.T) {
	t.Parallel()
	s, _ := storetest.OpenURL(t)
	m := storetest.Merchant(t, s, 1_000)
	_, first := storetest.Batch(t, s, m.ID, 100, 200)
	storetest.End(t, s, first.ID, payment.Canceled)
	if b, err := ledger.MerchantBalance(t.Context(), s, live(m), payment.USDC); err != nil || b.Held != payment.Units(200) || b.Available != payment.Units(800) {
		t.Errorf("%+v, %v", b, err)
	}
	wantClean(t, s)
}

var errUndone = errors.New("undone")

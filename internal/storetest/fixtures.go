package storetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Chain is where the fixtures pay.
const Chain payment.Chain = "ethereum"

// Address is whom the fixtures pay.
const Address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"

// Tx runs fn in a transaction and fails the test if that does not commit.
func Tx(t testing.TB, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// Merchant makes a merchant with a live balance in base units of USDC.
func Merchant(t testing.TB, s *store.Store, balance uint64) store.Merchant {
	t.Helper()
	var m store.Merchant
	Tx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		m, err = tx.CreateMerchant(ctx, store.Merchant{Name: "Acme"})
		return err
	})
	if balance > 0 {
		Deposit(t, s, m.ID, payment.Live, balance)
	}
	return m
}

// Deposit adds base units of USDC to what a merchant has in a mode.
func Deposit(t testing.TB, s *store.Store, merchantID string, mode payment.Mode, units uint64) {
	t.Helper()
	Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return ledger.Deposit(ctx, tx, store.NewID("deposit"), ledger.Holder{MerchantID: merchantID, Mode: mode}, Chain, payment.USDC, payment.Units(units), time.Now())
	})
}

// Order is an intent of the merchant that is not stored yet.
func Order(merchantID string, amount uint64) payment.Intent {
	return payment.Intent{
		ID: store.NewID("pi"), MerchantID: merchantID, Mode: payment.Live, Asset: payment.USDC, Amount: payment.Units(amount),
		Destinations: []payment.Destination{{Chain: Chain, Address: Address}}, Priority: payment.Cheap, RequestID: store.NewID("req"),
	}
}

// Accept stores an order with its hold.
func Accept(ctx context.Context, tx *store.Tx, order payment.Intent, idempotencyKey string) (payment.Intent, error) {
	var err error
	if order.HoldID, err = ledger.Hold(ctx, tx, order); err != nil {
		return payment.Intent{}, err
	}
	return tx.CreateIntent(ctx, order, idempotencyKey)
}

// Intent makes an accepted intent of the merchant over base units of USDC.
func Intent(t testing.TB, s *store.Store, merchantID string, amount uint64) payment.Intent {
	t.Helper()
	var i payment.Intent
	Tx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		i, err = Accept(ctx, tx, Order(merchantID, amount), store.NewID("key"))
		return err
	})
	return i
}

// Advance moves an intent through open statuses and returns it as stored last.
func Advance(t testing.TB, s *store.Store, id string, statuses ...payment.Status) payment.Intent {
	t.Helper()
	var i payment.Intent
	for _, status := range statuses {
		Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
			before, err := tx.LockIntent(ctx, id)
			if err != nil {
				return err
			}
			after := before
			after.Status = status
			i, err = tx.SaveIntent(ctx, before, after)
			return err
		})
	}
	return i
}

// End moves an intent to a terminal status other than settled, and voids its hold.
func End(t testing.TB, s *store.Store, id string, status payment.Status) payment.Intent {
	t.Helper()
	var i payment.Intent
	Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockIntent(ctx, id)
		if err != nil {
			return err
		}
		if err := ledger.Void(ctx, tx, before); err != nil {
			return err
		}
		after := before
		after.Status = status
		i, err = tx.SaveIntent(ctx, before, after)
		return err
	})
	return i
}

// OpenAttempt gives an intent an attempt that began with a routing decision.
func OpenAttempt(ctx context.Context, tx *store.Tx, intentID string, route json.RawMessage) (attemptID string, err error) {
	attempt, err := tx.InsertAttempt(ctx, db.InsertAttemptParams{
		ID: store.NewID("att"), IntentID: intentID, Chain: string(Chain), Address: Address, Route: route,
	})
	return attempt.ID, err
}

// OpenSlot gives an intent an attempt with a live slot and returns the slot's id.
func OpenSlot(ctx context.Context, tx *store.Tx, intentID string) (slotID string, err error) {
	attemptID, err := OpenAttempt(ctx, tx, intentID, json.RawMessage("{}"))
	if err != nil {
		return "", err
	}
	slotID = store.NewID("slot")
	return slotID, tx.InsertSlot(ctx, db.InsertSlotParams{
		ID: slotID, AttemptID: attemptID, IntentID: intentID, Chain: string(Chain),
		Kind: "eip3009", Authority: "0xtreasury", Nonce: slotID,
	})
}

// Fee is the network fee of a settled fixture, in wei.
var Fee = payment.Units(21_000)

// Settle opens a slot for a created intent, has the chain pay it, and settles
// the intent with its posting, all in one transaction.
func Settle(t testing.TB, s *store.Store, id string) payment.Intent {
	t.Helper()
	Advance(t, s, id, payment.Routed, payment.Submitted)
	var settled payment.Intent
	Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockIntent(ctx, id)
		if err != nil {
			return err
		}
		slotID, err := OpenSlot(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := Pay(ctx, tx, before, slotID); err != nil {
			return err
		}
		err = ledger.Settle(ctx, tx, ledger.Settlement{
			IntentID: id, HoldID: before.HoldID, Holder: ledger.HolderOf(before), Chain: Chain, Asset: before.Asset,
			Amount: before.Amount, Fee: Fee, NativeAsset: "ETH", FeePaidByUs: true, EffectiveAt: time.Now(),
		})
		if err != nil {
			return err
		}
		after := before
		after.Status = payment.Settled
		settled, err = tx.SaveIntent(ctx, before, after)
		return err
	})
	return settled
}

// Pay stores the outcome that a slot paid its intent, and closes the slot.
func Pay(ctx context.Context, tx *store.Tx, i payment.Intent, slotID string) error {
	height, log := int64(7), int32(0)
	err := tx.InsertOutcome(ctx, db.InsertOutcomeParams{
		SlotID: slotID, IntentID: i.ID, Result: "paid", Chain: string(Chain), TxHash: "0xhash" + slotID, BlockHash: "0xblock",
		BlockHeight: &height, LogIndex: &log, Amount: &i.Amount, Address: Address, Fee: Fee, FeePayer: "0xlane",
		Proof: json.RawMessage("{}"), EffectiveAt: time.Now(),
	})
	if err != nil {
		return err
	}
	return tx.CloseSlot(ctx, db.CloseSlotParams{ID: slotID, State: "paid"})
}

// Batch makes a started batch with a line for each amount in base units of USDC, the
// first of which has become a payment.
func Batch(t testing.TB, s *store.Store, merchantID string, amounts ...uint64) (payment.Batch, payment.Intent) {
	t.Helper()
	b := payment.Batch{ID: store.NewID("batch"), MerchantID: merchantID, Mode: payment.Live, Asset: payment.USDC, RequestID: store.NewID("req")}
	if err := s.OpenUpload(t.Context(), b, store.IdempotencyKey{Key: b.ID}); err != nil {
		t.Fatal(err)
	}
	lines := make([]payment.BatchLine, len(amounts))
	for n, amount := range amounts {
		order := Order(merchantID, amount)
		lines[n] = payment.BatchLine{Line: n + 1, Amount: order.Amount, Destinations: order.Destinations, Priority: order.Priority, Metadata: map[string]string{}}
	}
	if err := s.AddLines(t.Context(), b.ID, lines); err != nil {
		t.Fatal(err)
	}
	var i payment.Intent
	Tx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		if b, err = tx.SealBatch(ctx, b, json.RawMessage("[]")); err != nil {
			return err
		}
		held, err := ledger.ReserveBatch(ctx, tx, b)
		if err != nil {
			return err
		}
		b, err = tx.StartBatch(ctx, b.ID, held.HoldID, held.At)
		return err
	})
	Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		i = b.Intent(lines[0])
		i.ID = store.NewID("pi")
		holds, err := ledger.HoldParts(ctx, tx, b, []payment.Intent{i})
		if err != nil {
			return err
		}
		i.HoldID = holds[i.ID]
		i, err = tx.CreateIntent(ctx, i, i.ID)
		return err
	})
	return b, i
}

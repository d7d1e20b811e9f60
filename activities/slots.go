package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// slot is a payment's live slot with every transaction signed for it.
type slot struct {
	id    string
	chain payment.Chain
	terms chains.Slot
	txs   []db.LiveSlotRow // oldest first, at least one
}

// liveSlot reads the live slot of an intent; ok is false if it has none.
func liveSlot(ctx context.Context, q *db.Queries, intentID string) (s slot, ok bool, err error) {
	rows, err := q.LiveSlot(ctx, intentID)
	if err != nil || len(rows) == 0 {
		return slot{}, false, err
	}
	row := rows[0].Slot
	terms := chains.Slot{Kind: chains.SlotKind(row.Kind), Authority: row.Authority, Nonce: row.Nonce, FromHeight: uint64(row.FromHeight),
		ExpiresAt: row.ExpiresAt, Authorization: row.Authorization}
	if row.ExpiresHeight != nil {
		terms.ExpiresHeight = uint64(*row.ExpiresHeight)
	}
	return slot{id: row.ID, chain: payment.Chain(row.Chain), terms: terms, txs: rows}, true, nil
}

func (s slot) newest() db.LiveSlotRow { return s.txs[len(s.txs)-1] }

// failed reports whether every transaction of the slot is finalized and failed.
func (s slot) failed() bool {
	for _, t := range s.txs {
		if t.Succeeded == nil || *t.Succeeded {
			return false
		}
	}
	return true
}

// expired reports whether the authorization's time is over by our clock; the
// chain's clock decides, so this only saves gas.
func (s slot) expired() bool {
	return s.terms.ExpiresAt != nil && time.Now().After(*s.terms.ExpiresAt)
}

func (s slot) stored() []chains.StoredTx {
	out := make([]chains.StoredTx, len(s.txs))
	for i, t := range s.txs {
		out[i] = chains.StoredTx{Hash: t.Hash, Raw: t.Raw}
	}
	return out
}

// takeLane chooses who pays the gas, among the lanes this worker is configured
// with. Where lanes have nonces it moves the
// nonce of one with room; ErrLanesBusy if none has any.
func takeLane(ctx context.Context, tx *store.Tx, info chains.Info) (chains.Lane, error) {
	chain := string(info.Name)
	if !info.LaneNonces {
		address, err := tx.PickLane(ctx, db.PickLaneParams{Chain: chain, Lanes: info.Lanes})
		if err != nil {
			return chains.Lane{}, fmt.Errorf("no active lane on %s: %w", chain, err)
		}
		return chains.Lane{Address: address}, nil
	}
	row, err := tx.TakeNonce(ctx, db.TakeNonceParams{Chain: chain, Lanes: info.Lanes})
	ok, err := found(err)
	if err != nil {
		return chains.Lane{}, err
	}
	if !ok {
		return chains.Lane{}, fmt.Errorf("%s: %w", chain, ErrLanesBusy)
	}
	if err := tx.InsertLaneNonce(ctx, db.InsertLaneNonceParams{Chain: chain, Lane: row.Address, Nonce: row.Nonce, Purpose: "payment"}); err != nil {
		return chains.Lane{}, err
	}
	return chains.Lane{Address: row.Address, Nonce: uint64(row.Nonce)}, nil
}

// storeSigned writes the signed bytes with their slot: a new one, or the live
// one whose authorization they submit again.
func storeSigned(ctx context.Context, tx *store.Tx, attempt db.Attempt, live *slot, signed chains.Signed) error {
	var slotID string
	if live != nil {
		slotID = live.id
	} else {
		slotID = store.NewID("slot")
		t := signed.Slot
		params := db.InsertSlotParams{ID: slotID, AttemptID: attempt.ID, IntentID: attempt.IntentID, Chain: attempt.Chain, Kind: string(t.Kind),
			Authority: t.Authority, Nonce: t.Nonce, FromHeight: int64(t.FromHeight), ExpiresAt: t.ExpiresAt, Authorization: t.Authorization}
		if t.ExpiresHeight > 0 {
			h := int64(t.ExpiresHeight)
			params.ExpiresHeight = &h
		}
		if err := tx.InsertSlot(ctx, params); err != nil {
			return err
		}
	}
	txID := store.NewID("tx")
	params := db.InsertTransactionParams{ID: txID, Chain: attempt.Chain, Hash: signed.Tx.Hash, Raw: signed.Tx.Raw, Sender: signed.Tx.Sender,
		GasLimit: int64(signed.Tx.GasLimit), FeeCap: signed.Tx.FeeCap, TipCap: signed.Tx.TipCap, MaxFee: signed.Tx.MaxFee}
	if signed.Tx.Nonce != nil {
		n := int64(*signed.Tx.Nonce)
		params.Nonce = &n
	}
	if err := tx.InsertTransaction(ctx, params); err != nil {
		return err
	}
	return tx.LinkTransaction(ctx, db.LinkTransactionParams{TransactionID: txID, AttemptID: attempt.ID, SlotID: slotID})
}

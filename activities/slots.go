package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Purposes of a transaction, and of the nonce it was given.
const (
	paying    = "payment"
	canceling = "cancel"  // makes the slot die that it is signed for
	filling   = "gapfill" // uses up a lane nonce and does nothing
)

// slot is a payment's live slot with every transaction signed for it.
type slot struct {
	id       string
	intentID string
	chain    payment.Chain
	terms    chains.Slot
	fence    fence
	txs      []db.LiveSlotsRow // oldest first, at least one payment
}

// liveSlot reads the live slot of an intent; ok is false if it has none.
func liveSlot(ctx context.Context, q *db.Queries, intentID string) (s slot, ok bool, err error) {
	all, err := liveSlots(ctx, q, []string{intentID})
	if err != nil || len(all) == 0 {
		return slot{}, false, err
	}
	return all[0], true, nil
}

// liveSlots reads the live slots of those intents that have one.
func liveSlots(ctx context.Context, q *db.Queries, intentIDs []string) ([]slot, error) {
	rows, err := q.LiveSlots(ctx, intentIDs)
	if err != nil {
		return nil, err
	}
	var out []slot
	for _, row := range rows {
		if len(out) == 0 || out[len(out)-1].id != row.Slot.ID {
			out = append(out, slotOf(row.Slot))
		}
		last := &out[len(out)-1]
		last.txs = append(last.txs, row)
	}
	return out, nil
}

func slotOf(row db.Slot) slot {
	terms := chains.Slot{Kind: chains.SlotKind(row.Kind), Authority: row.Authority, Nonce: row.Nonce, FromHeight: uint64(row.FromHeight),
		ExpiresAt: row.ExpiresAt, Authorization: row.Authorization}
	if row.ExpiresHeight != nil {
		terms.ExpiresHeight = uint64(*row.ExpiresHeight)
	}
	return slot{id: row.ID, intentID: row.IntentID, chain: payment.Chain(row.Chain), terms: terms, fence: fence(row.Fence)}
}

// newest is the payment that was signed last.
func (s slot) newest() db.LiveSlotsRow {
	for i := len(s.txs) - 1; i > 0; i-- {
		if s.txs[i].Purpose == paying {
			return s.txs[i]
		}
	}
	return s.txs[0]
}

// failed reports whether no payment that was signed for the slot can be mined
// any more, though none paid: a finalized block has it, failed, or another
// transaction of its lane nonce.
func (s slot) failed() bool {
	for _, t := range s.txs {
		if t.Purpose != paying {
			continue
		}
		if t.Succeeded != nil && *t.Succeeded || t.Succeeded == nil && !s.replaced(t) {
			return false
		}
	}
	return true
}

// replaced reports whether another transaction of the slot has finally used
// the lane nonce of t.
func (s slot) replaced(t db.LiveSlotsRow) bool {
	for _, x := range s.txs {
		if x.Succeeded != nil && x.LaneNonce != nil && t.LaneNonce != nil && *x.LaneNonce == *t.LaneNonce && x.Sender == t.Sender {
			return true
		}
	}
	return false
}

// expired reports whether the authorization's time is over by our clock; the
// chain's clock decides, so this only saves gas.
func (s slot) expired() bool {
	return s.terms.ExpiresAt != nil && time.Now().After(*s.terms.ExpiresAt)
}

// watched is what the chain needs to find out what became of the slot.
func (s slot) watched() chains.Watched {
	i := s.txs[0]
	w := chains.Watched{IntentID: s.intentID, SlotID: s.id, Slot: s.terms, To: i.Address, Amount: i.Amount}
	for _, t := range s.txs {
		w.Txs = append(w.Txs, chains.StoredTx{Hash: t.Hash, Raw: t.Raw})
	}
	return w
}

// takeLane chooses who pays the gas, among the given lanes. Where lanes have
// nonces it moves the nonce of one with room, for a purpose; ErrLanesBusy if
// none has any.
func takeLane(ctx context.Context, tx *store.Tx, info chains.Info, lanes []string, purpose string) (chains.Lane, error) {
	chain := string(info.Name)
	if !info.LaneNonces {
		address, err := tx.PickLane(ctx, db.PickLaneParams{Chain: chain, Lanes: lanes})
		if err != nil {
			return chains.Lane{}, fmt.Errorf("no active lane on %s: %w", chain, err)
		}
		return chains.Lane{Address: address}, nil
	}
	row, err := tx.TakeNonce(ctx, db.TakeNonceParams{Chain: chain, Lanes: lanes})
	ok, err := found(err)
	if err != nil {
		return chains.Lane{}, err
	}
	if !ok {
		return chains.Lane{}, fmt.Errorf("%s: %w", chain, ErrLanesBusy)
	}
	if err := tx.InsertLaneNonce(ctx, db.InsertLaneNonceParams{Chain: chain, Lane: row.Address, Nonce: row.Nonce, Purpose: purpose}); err != nil {
		return chains.Lane{}, err
	}
	return chains.Lane{Address: row.Address, Nonce: uint64(row.Nonce)}, nil
}

// storeSigned writes the signed bytes with their slot: a new one, or the live
// one that they are another transaction of.
func storeSigned(ctx context.Context, tx *store.Tx, attempt db.Attempt, live *slot, signed chains.Signed) (id string, err error) {
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
			return "", err
		}
	}
	return storeTx(ctx, tx, attempt.Chain, signed.Tx, paying, attempt.ID, slotID)
}

// account stores what a finalized block says of a transaction and books its
// fee. news is false if that was done before.
func account(ctx context.Context, tx *store.Tx, info chains.Info, id, hash, intentID string, r chains.TxResult) (news bool, err error) {
	n, err := tx.InsertTransactionResult(ctx, db.InsertTransactionResultParams{TransactionID: id, Succeeded: r.Succeeded, Reason: r.Reason,
		BlockHash: r.BlockHash, BlockHeight: int64(r.BlockHeight), Fee: r.Fee, EffectiveAt: r.BlockTime})
	if err != nil || n == 0 {
		return false, err
	}
	return true, ledger.NetworkFee(ctx, tx, feeReference(hash), info.Name, info.NativeAsset, r.Fee, r.BlockTime, intentID)
}

// feeReference names the booking of a transaction's fee, so that there is one.
func feeReference(hash string) string { return "tx:" + hash + ":fee" }

// storeTx writes signed bytes, and for which slot of which attempt they were
// signed; both may be empty.
func storeTx(ctx context.Context, tx *store.Tx, chain string, signed chains.SignedTx, purpose, attemptID, slotID string) (id string, err error) {
	id = store.NewID("tx")
	params := db.InsertTransactionParams{ID: id, Chain: chain, Hash: signed.Hash, Raw: signed.Raw, Sender: signed.Sender, Purpose: purpose,
		GasLimit: int64(signed.GasLimit), FeeCap: signed.FeeCap, TipCap: signed.TipCap, MaxFee: signed.MaxFee}
	if signed.Nonce != nil {
		n := int64(*signed.Nonce)
		params.Nonce = &n
	}
	if err := tx.InsertTransaction(ctx, params); err != nil || slotID == "" {
		return id, err
	}
	return id, tx.LinkTransaction(ctx, db.LinkTransactionParams{TransactionID: id, AttemptID: attemptID, SlotID: slotID})
}

// maxFee converts an intent's bound on the network fee into native base units
// at the desk's price; 0 is no bound. A bound of less than one unit stays one.
func (d *Desk) maxFee(i payment.Intent) (payment.Amount, error) {
	if i.MaxFee == nil || d.price.IsZero() {
		return payment.Amount{}, nil
	}
	coin, err := payment.ParseDecimal("1", d.Chain.Info().NativeDecimals)
	if err != nil {
		return payment.Amount{}, err
	}
	native, err := i.MaxFee.MulDiv(coin, d.price)
	if err == nil && native.IsZero() {
		native = payment.Units(1)
	}
	return native, err
}

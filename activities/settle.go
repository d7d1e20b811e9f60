package activities

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// maxDeadSlots is how many slots may die before a person is asked. It is no
// verdict on the payment: every death was proven.
const maxDeadSlots = 10

// Sighting is what AwaitConfirmation hands to Settle: what became of one slot.
// The zero Sighting is of none.
type Sighting struct {
	SlotID string `json:"slot_id,omitempty"`
	chains.Sighting
}

// deadly reports whether the sighting says that the slot can never pay.
func (s Sighting) deadly() bool {
	return s.Kind == chains.Dead || s.Kind == chains.Reverted && s.SlotDead
}

// SettleInput is a final sighting of one of an intent's slots.
type SettleInput struct {
	IntentID string   `json:"intent_id"`
	Sighting Sighting `json:"sighting"`
}

// Settle records what the chain finally did: outcome, ledger posting, status
// and event in one transaction. Paid settles the intent, whatever else was
// wanted of it. A dead slot, with its proof, ends the intent as its fence says,
// or sends it back to routing. A finalized failure asks a person, and so does
// a wait without end; if the chain refuses the payee for good, the payment goes
// another way or fails.
//
// Only a sighting of the live slot counts: a step that runs again late, when
// the payment has its next slot already, must not close that one with the
// death of the last. And a death counts only if it was concluded from every
// transaction of the slot.
func (s *Steps) Settle(ctx context.Context, in SettleInput) (State, error) {
	state, err := s.change(ctx, "settle", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		if err != nil || !ok || live.id != in.Sighting.SlotID {
			return nil, err
		}
		desk, err := s.desk(live.chain)
		if err != nil {
			return nil, err
		}
		if in.Sighting.deadly() && in.Sighting.LookedFor < len(live.txs) {
			return nil, nil // another transaction was signed since it was looked at, which may pay
		}
		p := posting{tx: tx, intent: i, slot: live, seen: in.Sighting.Sighting, info: desk.Chain.Info()}
		switch in.Sighting.Kind {
		case chains.Paid:
			return p.paid(ctx)
		case chains.Reverted:
			return p.reverted(ctx)
		case chains.Dead:
			return p.dead(ctx)
		case chains.Unseen, chains.Included:
			return p.stalled(), nil
		default:
			return nil, fmt.Errorf("sighting %q is not known", in.Sighting.Kind)
		}
	})
	if err == nil {
		s.passing(SettleCommitted)
	}
	return state, err
}

// posting is one final sighting being written down.
type posting struct {
	tx     *store.Tx
	intent payment.Intent
	slot   slot
	seen   chains.Sighting
	info   chains.Info
}

func (p posting) paid(ctx context.Context) (*payment.Intent, error) {
	if p.slot.fence != unfenced {
		if err := p.tx.Audit(ctx, store.AuditEntry{Actor: "system", Action: "fence.too_late", ObjectID: p.intent.ID, RequestID: p.intent.RequestID,
			Reason: fmt.Sprintf("%s came too late: the payment was made", p.slot.fence)}); err != nil {
			return nil, err
		}
	}
	_, news, err := p.result(ctx, true)
	if err != nil {
		return nil, err
	}
	if err := p.outcome(ctx, "paid"); err != nil {
		return nil, err
	}
	if err := ledger.Settle(ctx, p.tx, ledger.Settlement{
		IntentID: p.intent.ID, HoldID: p.intent.HoldID, Holder: ledger.HolderOf(p.intent), Chain: p.info.Name, Asset: p.intent.Asset,
		Amount: p.intent.Amount, Fee: p.seen.Fee, NativeAsset: p.info.NativeAsset, FeePaidByUs: news, EffectiveAt: p.seen.BlockTime,
	}); err != nil {
		return nil, err
	}
	i := p.intent
	i.Status, i.Substatus, i.TxHash = payment.Settled, payment.NoSubstatus, p.seen.TxHash
	i.ReviewReason, i.ReviewDetail = "", ""
	return &i, nil
}

func (p posting) reverted(ctx context.Context) (*payment.Intent, error) {
	ours, news, err := p.result(ctx, false)
	if err != nil || (ours && !news) {
		return nil, err // what follows from this transaction was done
	}
	if ours {
		if err := ledger.NetworkFee(ctx, p.tx, feeReference(p.seen.TxHash), p.info.Name, p.info.NativeAsset, p.seen.Fee, p.seen.BlockTime, p.intent.ID); err != nil {
			return nil, err
		}
	}
	if p.seen.Permanent && p.slot.fence == unfenced {
		if p.slot.fence, err = p.refused(ctx); err != nil {
			return nil, err
		}
	}
	i := p.intent
	i.TxHash = ""
	switch {
	case p.seen.SlotDead && p.slot.fence != unfenced:
		return p.dead(ctx)
	case p.seen.SlotDead:
		if err := p.outcome(ctx, "dead"); err != nil {
			return nil, err
		}
	case p.slot.fence != unfenced:
		i.Substatus = payment.Fencing
		return &i, nil
	}
	return review(i, payment.ReviewChainRevert, fmt.Sprintf("the chain refused transaction %s: %s; retry, or reject or cancel", p.seen.TxHash, p.seen.Reason)), nil
}

// refused fences the slot of a payee whom its chain does not let have money.
func (p posting) refused(ctx context.Context) (fence, error) {
	f := fenceFail
	other, err := elsewhere(ctx, p.tx, p.intent)
	if err != nil {
		return unfenced, err
	}
	if other {
		f = fenceReroute
	}
	return f, f.raise(ctx, p.tx, p.slot)
}

func (p posting) dead(ctx context.Context) (*payment.Intent, error) {
	if err := p.outcome(ctx, "dead"); err != nil {
		return nil, err
	}
	if p.slot.fence != unfenced {
		return p.slot.fence.after(ctx, p.tx, p.intent)
	}
	slots, err := p.tx.DeadSlots(ctx, p.intent.ID)
	if err != nil {
		return nil, err
	}
	if n := len(slots); n >= maxDeadSlots {
		i := p.intent
		i.TxHash = ""
		return review(i, payment.ReviewStalled, fmt.Sprintf("%d slots died without being paid; retry, reject or cancel", n)), nil
	}
	return unfenced.after(ctx, p.tx, p.intent)
}

// stalled asks a person about a payment that waits without end. It is still
// looked after, and what the chain says meanwhile ends the review.
func (p posting) stalled() *payment.Intent {
	if p.intent.Status != payment.Submitted && p.intent.Status != payment.Confirming {
		return nil
	}
	if p.seen.Reason != "" {
		return review(p.intent, payment.ReviewOutcomeUnknown, p.seen.Reason)
	}
	return review(p.intent, payment.ReviewStalled, fmt.Sprintf("sent to %s and in no block for long; it is sent again all the time; retry waits on, cancel or reject make it die first", p.slot.chain))
}

// result stores what the finalized block says of the transaction, if it is
// one of ours: somebody else may submit an authorization too. news is false if
// that was stored before.
func (p posting) result(ctx context.Context, succeeded bool) (ours, news bool, err error) {
	t, err := p.tx.TransactionByHash(ctx, db.TransactionByHashParams{Chain: string(p.info.Name), Hash: p.seen.TxHash})
	if ours, err = found(err); !ours {
		return false, false, err
	}
	inserted, err := p.tx.InsertTransactionResult(ctx, db.InsertTransactionResultParams{TransactionID: t.ID, Succeeded: succeeded, Reason: p.seen.Reason,
		BlockHash: p.seen.BlockHash, BlockHeight: int64(p.seen.BlockHeight), Fee: p.seen.Fee, EffectiveAt: p.seen.BlockTime})
	if err != nil {
		return false, false, err
	}
	return true, inserted > 0, p.tx.MarkLanesIncluded(ctx, []string{p.slot.id})
}

// outcome stores the proof and closes the slot with it.
func (p posting) outcome(ctx context.Context, result string) error {
	height, index := int64(p.seen.BlockHeight), int32(p.seen.LogIndex)
	row := db.InsertOutcomeParams{SlotID: p.slot.id, IntentID: p.intent.ID, Result: result, Chain: string(p.info.Name),
		TxHash: p.seen.TxHash, BlockHash: p.seen.BlockHash, BlockHeight: &height, LogIndex: &index,
		Fee: p.seen.Fee, FeePayer: p.seen.Sender, Proof: p.seen.Proof, EffectiveAt: p.seen.BlockTime}
	if result == "paid" {
		row.Amount, row.Address = &p.intent.Amount, p.intent.Address
	}
	if err := p.tx.InsertOutcome(ctx, row); err != nil {
		return err
	}
	return p.tx.CloseSlot(ctx, db.CloseSlotParams{ID: p.slot.id, State: result, Final: p.last()})
}

// last reports whether the upkeep need not look for what else may land of the
// slot: lanes with nonces tell, or the sighting names the only transaction.
func (p posting) last() bool {
	return p.info.LaneNonces || len(p.slot.txs) == 1 && p.seen.TxHash != "" && !p.seen.Early
}

package activities

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// closed is a slot with its outcome of which something may still land.
type closed struct {
	id, intentID, state string
	watched             chains.Watched
	txs                 []db.ClosedSlotsRow // oldest first
}

// closeUp looks after the closed slots of a chain whose transactions expire on
// their own, until nothing of them can land any more. It books what losing
// variants cost, and sends a payment that counted as paid early again until it
// is final.
func (s *Steps) closeUp(ctx context.Context, desk *Desk, out *Swept) error {
	chain, ok := desk.Chain.(chains.Expirer)
	if !ok {
		return nil
	}
	for after := ""; ; {
		rows, err := s.Store.Queries().ClosedSlots(ctx, db.ClosedSlotsParams{Chain: string(chain.Info().Name), AfterID: after, MaxRows: sweepPage})
		if err != nil || len(rows) == 0 {
			return err
		}
		after = rows[len(rows)-1].Slot.ID
		slots := closedSlots(rows)
		watched := make([]chains.Watched, len(slots))
		for i, c := range slots {
			watched[i] = c.watched
		}
		fates, err := chain.Fates(ctx, watched)
		if err != nil {
			return err
		}
		for i, c := range slots {
			if err := s.followUp(ctx, desk, c, fates[i], out); err != nil {
				return err
			}
		}
	}
}

func closedSlots(rows []db.ClosedSlotsRow) (out []closed) {
	for _, row := range rows {
		if len(out) == 0 || out[len(out)-1].id != row.Slot.ID {
			x := slotOf(row.Slot)
			out = append(out, closed{id: x.id, intentID: x.intentID, state: row.Slot.State,
				watched: chains.Watched{IntentID: x.intentID, SlotID: x.id, Slot: x.terms, To: row.Address, Amount: row.Amount}})
		}
		last := &out[len(out)-1]
		last.txs = append(last.txs, row)
		last.watched.Txs = append(last.watched.Txs, chains.StoredTx{Hash: row.Hash, Raw: row.Raw})
	}
	return out
}

// followUp does what the fates of one slot's transactions ask for.
func (s *Steps) followUp(ctx context.Context, desk *Desk, c closed, fates []chains.TxResult, out *Swept) error {
	over := !slices.ContainsFunc(fates, func(f chains.TxResult) bool { return !f.Final && !f.Dead })
	news := over
	for i, f := range fates {
		news = news || f.Final && !c.txs[i].Booked
		if c.txs[i].Decisive && !f.Final && !f.Dead {
			if err := s.again(ctx, desk, c.txs[i], out); err != nil {
				return err
			}
		}
	}
	if !news {
		return nil
	}
	return s.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		i, err := tx.LockIntent(ctx, c.intentID)
		if err != nil {
			return err
		}
		for n, f := range fates {
			if !f.Final {
				continue
			}
			booked, err := account(ctx, tx, desk.Chain.Info(), c.txs[n].TxID, c.txs[n].Hash, c.intentID, f)
			if err != nil {
				return err
			}
			if booked {
				tx.AfterCommit(func() { out.Booked++ })
			}
		}
		if !over {
			return nil
		}
		return finish(ctx, tx, desk, c, i, fates)
	})
}

// again sends a payment that is paid and not final.
func (s *Steps) again(ctx context.Context, desk *Desk, t db.ClosedSlotsRow, out *Swept) error {
	claimed, err := s.Store.Queries().ClaimResend(ctx, db.ClaimResendParams{ID: t.TxID, ResendAfterSeconds: desk.Chain.Info().ResendAfter.Seconds()})
	if err != nil || claimed == 0 {
		return err
	}
	out.Resent++
	desk.send(ctx, "sent again", t.Slot.IntentID, chains.StoredTx{Hash: t.Hash, Raw: t.Raw})
	return nil
}

// finish marks a slot of which nothing can land any more. If that contradicts
// its outcome, a person must know: a payment that counted as paid early is gone.
func finish(ctx context.Context, tx *store.Tx, desk *Desk, c closed, i payment.Intent, fates []chains.TxResult) error {
	n, err := tx.FinishSlot(ctx, c.id)
	if err != nil || n == 0 {
		return err
	}
	paid := slices.ContainsFunc(fates, func(f chains.TxResult) bool { return f.Succeeded })
	if paid == (c.state == "paid") {
		return nil
	}
	reason := fmt.Sprintf("slot %s is closed as %s, and the chain says finally that it is not", c.id, c.state)
	desk.log.Error("outcome contradicted", zap.String("intent", i.ID), zap.String("reason", reason))
	return tx.Audit(ctx, store.AuditEntry{Actor: "system", Action: "outcome.contradicted", ObjectID: i.ID, RequestID: i.RequestID, Reason: reason})
}

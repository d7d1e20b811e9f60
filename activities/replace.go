package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/treasury"
)

// tend brings a nonce closer to being used: by another transaction if one is
// due, else, for the lowest nonce, by the newest one again. That the former
// fails does not stop the latter. A lane that cannot pay is only sent again.
func (t *tending) tend(ctx context.Context, lease treasury.Lease, n nonce, lowest, funded bool) error {
	if funded {
		sent, err := t.replace(ctx, lease, n.number, lowest)
		if errors.Is(err, treasury.ErrLeaseLost) {
			return err
		}
		if err != nil {
			t.log.Warn("not replaced", zap.String("lane", lease.Address), zap.Uint64("nonce", n.number), zap.Error(err))
		}
		if sent != nil {
			t.done.Replaced++
			v := t.desk.send(ctx, "sent instead", sent.intentID, sent.tx)
			return t.steps.obey(ctx, t.desk, sent.intentID, lease.Address, v)
		}
	}
	if lowest {
		return t.again(ctx, lease, n)
	}
	return nil
}

// again sends the newest transaction of a nonce once more, unless somebody did
// lately, it was never sent, or its slot is fenced.
func (t *tending) again(ctx context.Context, lease treasury.Lease, n nonce) error {
	x, ok := n.newest()
	if !ok || x.Purpose == paying && x.Fence != "" && x.SlotState == live {
		return nil
	}
	claimed, err := t.steps.Store.Queries().ClaimResend(ctx, db.ClaimResendParams{ID: x.TxID, ResendAfterSeconds: t.info.ResendAfter.Seconds()})
	if err != nil || claimed == 0 {
		return err
	}
	t.done.Resent++
	v := t.desk.send(ctx, "sent again", x.IntentID, chains.StoredTx{Hash: x.Hash, Raw: x.Raw})
	return t.steps.obey(ctx, t.desk, x.IntentID, lease.Address, v)
}

// live is the state of a slot that can pay.
const live = "live"

// replacement is what was signed and is to be sent.
type replacement struct {
	intentID string
	tx       chains.StoredTx
}

// replace signs and stores another transaction under a nonce, if one is due,
// and commits that it is about to leave. It decides by what it reads with the
// payment and the lane locked. nil: none is due, or a cap forbids it.
func (t *tending) replace(ctx context.Context, lease treasury.Lease, number uint64, lowest bool) (*replacement, error) {
	var out *replacement
	err := t.steps.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = nil
		n, err := t.locked(ctx, tx, lease, number)
		if err != nil {
			return err
		}
		r, ok, err := t.due(ctx, tx, n, lease.Address, lowest)
		if err != nil || !ok {
			return err
		}
		signed, err := r.sign()
		if errors.Is(err, chains.ErrFeeCapped) {
			return r.explain(ctx, tx, payment.FeeCapped)
		}
		if err != nil {
			return err
		}
		id, err := storeTx(ctx, tx, string(t.info.Name), signed, r.purpose, r.attemptID, r.slotID)
		if err != nil {
			return err
		}
		out = &replacement{tx: chains.StoredTx{Hash: signed.Hash, Raw: signed.Raw}}
		if r.intent != nil {
			out.intentID = r.intent.ID
		}
		sub := payment.FeeBumped
		if signed.FeeCapped {
			sub = payment.FeeCapped
		}
		if r.purpose == paying {
			err = r.explain(ctx, tx, sub)
		}
		return errors.Join(err, tx.MarkSending(ctx, []string{id}))
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// locked reads a nonce again, with its payment and its lane locked in the
// order in which everybody locks them.
func (t *tending) locked(ctx context.Context, tx *store.Tx, lease treasury.Lease, number uint64) (nonce, error) {
	read := func() (nonce, error) {
		all, err := t.nonces(ctx, tx.Queries, lease.Address, number, number+1)
		if err != nil || len(all) == 0 {
			return nonce{number: number}, err
		}
		return all[0], nil
	}
	n, err := read()
	if err != nil {
		return n, err
	}
	if p, ok := n.payment(); ok {
		if _, err := tx.LockIntent(ctx, p.IntentID); err != nil {
			return n, err
		}
	}
	if err := lease.Hold(ctx, tx); err != nil {
		return n, err
	}
	return read()
}

// order is a transaction that is due under a nonce.
type order struct {
	purpose           string
	attemptID, slotID string // for what it is signed; may be empty
	intent            *payment.Intent
	sign              func() (chains.SignedTx, error)
}

// explain sets the substatus of the payment that the order is about.
func (o order) explain(ctx context.Context, tx *store.Tx, sub payment.Substatus) error {
	if o.intent == nil {
		return nil
	}
	next := explained(*o.intent, sub)
	if next == nil {
		return nil
	}
	_, err := tx.SaveIntent(ctx, *o.intent, *next)
	return err
}

// due is the transaction that a nonce needs now, if any.
func (t *tending) due(ctx context.Context, tx *store.Tx, n nonce, lane string, lowest bool) (order, bool, error) {
	newest, signed := n.newest()
	if newest.Counted { // if a reorg took it back, the same bytes must use the nonce again
		return order{}, false, nil
	}
	at := chains.Lane{Address: lane, Nonce: n.number}
	fill := order{purpose: filling, sign: func() (chains.SignedTx, error) { return t.chain.Fill(ctx, at, n.stored()) }}
	late := signed && t.late(newest, lowest)
	p, ok := n.payment()
	if !ok { // nothing was signed, or fills only
		return fill, !signed || late, nil
	}
	s, isLive, err := liveSlot(ctx, tx.Queries, p.IntentID)
	if err != nil {
		return order{}, false, err
	}
	if !isLive || s.id != p.SlotID {
		return fill, newest.Purpose == paying || late, nil
	}
	intent, err := tx.LockIntent(ctx, p.IntentID) // is locked; this reads it
	if err != nil {
		return order{}, false, err
	}
	fill.intent, fill.attemptID, fill.slotID = &intent, p.AttemptID, s.id
	own := s.terms.Kind == chains.SlotEVMNonce // the nonce is the slot
	cancel := fill
	cancel.purpose = canceling
	cancel.sign = func() (chains.SignedTx, error) { return t.chain.Fence(ctx, s.terms, at, n.stored()) }
	switch {
	case newest.Purpose == canceling || own && s.fence != unfenced:
		return cancel, newest.Purpose == paying || late, nil
	case newest.Purpose == filling:
		return fill, late, nil
	case s.fence != unfenced:
		return fill, true, nil
	case !late || s.expired():
		return order{}, false, nil
	}
	most, err := t.desk.maxFee(intent)
	if err != nil {
		return order{}, false, err
	}
	o := chains.Order{IntentID: intent.ID, Seq: int(p.Seq), To: s.txs[0].Address, Amount: intent.Amount, Lane: at, Reuse: &s.terms,
		Replaces: n.stored(), MaxFee: most, ValidFor: t.steps.AuthorizationValidity, Authorization: intent.Authorization, Now: time.Now()}
	bump := fill
	bump.purpose = paying
	bump.sign = func() (chains.SignedTx, error) {
		signed, err := t.chain.Sign(ctx, o)
		return signed.Tx, err
	}
	return bump, true, nil
}

// late reports whether a transaction is to be outbid: it is the lane's lowest
// and was sent long ago, or the market asks for more than it may pay. What was
// never sent is not late.
func (t *tending) late(x db.OpenNoncesRow, lowest bool) bool {
	if x.SentSeconds < 0 {
		return false
	}
	return lowest && x.SentSeconds >= t.info.BumpAfter.Seconds() || t.market.PricePerGas.Cmp(x.FeeCap) > 0
}

// fences cancels the authorizations of fenced slots, each once, under a fresh
// nonce of a lane that is tended here. A cancellation that has finally failed is
// repeated as soon as one that is stuck would be outbid.
func (t *tending) fences(ctx context.Context) error {
	ids, err := t.steps.Store.Queries().FencedSlots(ctx, db.FencedSlotsParams{Chain: string(t.info.Name), Treasury: t.info.Treasury, RetrySeconds: t.info.BumpAfter.Seconds()})
	if err != nil {
		return err
	}
	for _, id := range ids {
		sent, err := t.fence(ctx, id)
		if errors.Is(err, ErrLanesBusy) || errors.Is(err, chains.ErrFeeCapped) {
			t.log.Warn("not fenced yet", zap.String("intent", id), zap.Error(err))
			continue
		}
		if err != nil {
			return fmt.Errorf("fence of %s: %w", id, err)
		}
		if sent != nil {
			t.done.Fenced++
			t.desk.send(ctx, "sent fence", id, sent.tx)
		}
	}
	return nil
}

// fence signs and stores the cancellation of one authorization; nil if it is
// not due any more.
func (t *tending) fence(ctx context.Context, intentID string) (*replacement, error) {
	var out *replacement
	lanes := make([]string, len(t.leases))
	for i, l := range t.leases {
		lanes[i] = l.Address
	}
	err := t.steps.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = nil
		if _, err := tx.LockIntent(ctx, intentID); err != nil {
			return err
		}
		s, ok, err := liveSlot(ctx, tx.Queries, intentID)
		if err != nil || !ok || s.fence == unfenced || s.canceling() {
			return err
		}
		at, err := takeLane(ctx, tx, t.info, lanes, canceling)
		if err != nil {
			return err
		}
		for _, l := range t.leases {
			if l.Address == at.Address {
				err = l.Hold(ctx, tx)
			}
		}
		if err != nil {
			return err
		}
		signed, err := t.chain.Fence(ctx, s.terms, at, nil)
		if err != nil {
			return err
		}
		id, err := storeTx(ctx, tx, string(t.info.Name), signed, canceling, s.txs[0].Slot.AttemptID, s.id)
		if err != nil {
			return err
		}
		out = &replacement{intentID: intentID, tx: chains.StoredTx{Hash: signed.Hash, Raw: signed.Raw}}
		return tx.MarkSending(ctx, []string{id})
	})
	return out, err
}

// canceling reports whether a cancellation of the slot is under way.
func (s slot) canceling() bool {
	for _, t := range s.txs {
		if t.Purpose == canceling && t.Succeeded == nil && !s.replaced(t) {
			return true
		}
	}
	return false
}

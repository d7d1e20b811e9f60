package activities

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// outbid signs another, dearer transaction for a payment in no block whose
// guard account lets one of them pay, if one is due, and sends it once it is
// stored. That it cannot be signed is no failure of the round: what was signed
// before is sent again.
func (s *Steps) outbid(ctx context.Context, desk *Desk, seen slot) (sent bool) {
	if !desk.outbids(seen) {
		return false
	}
	var next chains.SignedTx
	_, err := s.change(ctx, "outbid", seen.intentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		sent = false
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		if err != nil || !ok || live.id != seen.id || !desk.outbids(live) {
			return nil, err
		}
		id, signed, err := s.reserve(ctx, tx, i, &live)
		switch {
		case errors.Is(err, chains.ErrSlotEnds):
			return nil, nil
		case errors.Is(err, chains.ErrFeeCapped):
			return explained(i, payment.FeeCapped), nil
		case err != nil || id == "":
			return nil, err
		}
		sent, next = true, signed
		sub := payment.FeeBumped
		if signed.FeeCapped {
			sub = payment.FeeCapped
		}
		return explained(i, sub), tx.MarkSending(ctx, []string{id})
	})
	if err == nil && sent {
		v := desk.send(ctx, "sent instead", seen.intentID, chains.StoredTx{Hash: next.Hash, Raw: next.Raw})
		err = s.obey(ctx, desk, seen.intentID, next.Sender, v)
	}
	if err != nil {
		desk.log.Warn("not outbid", zap.String("intent", seen.intentID), zap.Error(err))
		return false
	}
	return sent
}

// outbids reports whether another transaction is due for a slot in no block:
// it may have several, may still pay, and the newest left us long ago.
func (d *Desk) outbids(s slot) bool {
	after, sent := d.Chain.Info().BumpAfter, s.newest().SendIntentAt
	return s.terms.Kind == chains.SlotGuard && s.fence == unfenced && after > 0 && sent != nil && time.Since(*sent) >= after
}

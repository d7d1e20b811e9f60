package activities

import (
	"context"
	"errors"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// ErrLanesBusy says that every lane of the chain has as many transactions in flight as
// it may have. Nothing was reserved; try again.
var ErrLanesBusy = errors.New("all lanes of the chain are busy")

// ReserveNonce binds the open attempt to a slot: it takes a lane nonce, signs,
// and stores slot, bytes and hash in one transaction, before anything is sent.
// A payment that has a live slot keeps it. If every transaction of that slot
// failed at a finalized block while its authorization is still open, the same
// authorization is signed into a further transaction: the token contract lets
// at most one of them pay.
func (s *Steps) ReserveNonce(ctx context.Context, in Ref) (State, error) {
	return s.change(ctx, "reserve_nonce", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		if i.Status != payment.Routed {
			return nil, nil
		}
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		switch {
		case err != nil:
			return nil, err
		case ok && live.fence == unfenced && live.failed() && !live.expired():
			_, _, err := s.reserve(ctx, tx, i, &live)
			return nil, err
		case ok:
			return nil, nil
		case overdue(i):
			return end(ctx, tx, i, payment.Expired, "deadline_passed", "The deadline passed before the payment could be sent.")
		}
		_, _, err = s.reserve(ctx, tx, i, nil)
		return nil, err
	})
}

// reserve signs and stores one transaction, for a new slot or for a live one,
// and returns it with its id; none, with no error, if a new route is due.
func (s *Steps) reserve(ctx context.Context, tx *store.Tx, i payment.Intent, live *slot) (id string, made chains.SignedTx, err error) {
	attempt, err := tx.OpenAttempt(ctx, i.ID)
	if open, err := found(err); !open || err != nil {
		return "", made, err // the last slot has died since the route was looked at: the next round chooses another
	}
	desk, err := s.desk(payment.Chain(attempt.Chain))
	if err != nil {
		return "", made, err
	}
	order := chains.Order{IntentID: i.ID, Seq: int(attempt.Seq), To: attempt.Address, Amount: i.Amount,
		ValidFor: s.AuthorizationValidity, Now: time.Now()}
	info := desk.Chain.Info()
	if live != nil {
		order.Reuse = &live.terms
		if !info.LaneNonces {
			order.Replaces = live.watched().Txs
		}
	}
	if order.MaxFee, err = desk.maxFee(i); err != nil {
		return "", made, err
	}
	if order.Lane, err = takeLane(ctx, tx, info, info.Lanes, paying); err != nil {
		return "", made, err
	}
	signed, err := desk.Chain.Sign(ctx, order)
	if err != nil {
		return "", made, err
	}
	s.passing(ReserveSigned)
	id, err = storeSigned(ctx, tx, attempt, live, signed)
	return id, signed.Tx, err
}

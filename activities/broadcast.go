package activities

import (
	"context"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Broadcast hands the stored bytes of the live slot to the network. That they
// are about to leave is committed first, so that "never sent" can be trusted.
// From then on the bytes count as sent, and are sent again until the chain
// shows them or proves them dead. Those of a fenced slot stay here.
func (s *Steps) Broadcast(ctx context.Context, in Ref) (State, error) {
	var send *db.LiveSlotsRow
	state, err := s.change(ctx, "broadcast", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		send = nil
		if i.Status != payment.Routed && i.Status != payment.Submitted {
			return nil, nil
		}
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		if err != nil || !ok {
			return nil, err
		}
		if live.fence == unfenced {
			newest := live.newest()
			if err := tx.MarkSending(ctx, []string{newest.TxID}); err != nil {
				return nil, err
			}
			send = &newest
		}
		if i.Status == payment.Submitted {
			return nil, nil
		}
		i.Status, i.Substatus = payment.Submitted, payment.AwaitingBlock
		return &i, nil
	})
	if err != nil || send == nil {
		return state, err
	}
	desk, err := s.desk(state.Chain)
	if err != nil {
		return state, err
	}
	s.passing(BroadcastCommitted)
	v := desk.send(ctx, "sent", in.IntentID, chains.StoredTx{Hash: send.Hash, Raw: send.Raw})
	return state, s.obey(ctx, desk, in.IntentID, send.Sender, v)
}

package activities

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// Broadcast hands the stored bytes of the live slot to the network. That they
// are about to leave is committed first, so that "never sent" can be trusted.
// Whatever the nodes answer, the bytes count as sent from then on; the watcher
// sends them again until the chain shows them or proves them dead.
func (s *Steps) Broadcast(ctx context.Context, in Ref) (State, error) {
	var send *chains.StoredTx
	state, err := s.change(ctx, "broadcast", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		send = nil
		if i.Status != payment.Routed && i.Status != payment.Submitted {
			return nil, nil
		}
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		if err != nil || !ok {
			return nil, err
		}
		newest := live.newest()
		if err := tx.MarkSending(ctx, []string{newest.TxID}); err != nil {
			return nil, err
		}
		send = &chains.StoredTx{Hash: newest.Hash, Raw: newest.Raw}
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
	began := time.Now()
	v := desk.Chain.Send(ctx, *send)
	s.Log.Info("sent", zap.String("intent", in.IntentID), zap.String("chain", string(state.Chain)), zap.String("tx", send.Hash),
		zap.String("acceptance", string(v.Acceptance)), zap.String("class", v.Class), zap.String("detail", v.Detail), zap.Duration("took", time.Since(began)))
	return state, nil
}

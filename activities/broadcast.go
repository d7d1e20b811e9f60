package activities

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Broadcast hands the stored bytes of the live slot to the network. That they
// are about to leave is committed first, so that "never sent" can be trusted.
// From then on the bytes count as sent, and are sent again until the chain
// shows them or proves them dead. Those of a fenced slot stay here.
//
// A sponsored payment is tried out before its bytes leave for the first time.
// If nodes agree that it would fail, gas would be spent on nothing: its slot is
// fenced, and waits for what the chain makes of the authorization.
func (s *Steps) Broadcast(ctx context.Context, in Ref) (State, error) {
	d, err := s.departure(ctx, in, untried)
	if err == nil && d.untried != nil {
		var t trial
		if t, err = s.rehearse(ctx, in, d); err == nil {
			d, err = s.departure(ctx, in, t)
		}
	}
	if err != nil || d.send == nil {
		return d.state, err
	}
	desk, err := s.desk(d.state.Chain)
	if err != nil {
		return d.state, err
	}
	s.passing(BroadcastCommitted)
	v := desk.send(ctx, "sent", in.IntentID, chains.StoredTx{Hash: d.send.Hash, Raw: d.send.Raw})
	return d.state, s.obey(ctx, desk, in.IntentID, d.send.Sender, v)
}

// departure is what is to happen with the bytes of a live slot: send is to be
// sent, untried to be tried out first; or nothing.
type departure struct {
	state         State
	send, untried *db.LiveSlotsRow
}

// trial is what came of trying out a sponsored payment.
type trial int

const (
	untried trial = iota
	passed
	refused
)

// departure decides about the bytes of a live slot, and commits that they are
// about to leave.
func (s *Steps) departure(ctx context.Context, in Ref, t trial) (departure, error) {
	var out departure
	state, err := s.change(ctx, "broadcast", in.IntentID, func(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
		out = departure{}
		if i.Status != payment.Routed && i.Status != payment.Submitted {
			return nil, nil
		}
		live, ok, err := liveSlot(ctx, tx.Queries, i.ID)
		if err != nil || !ok {
			return nil, err
		}
		newest, sub := live.newest(), payment.AwaitingBlock
		switch first := newest.SendIntentAt == nil; {
		case live.fence != unfenced:
		case i.Sponsored() && first && t == untried:
			out.untried = &newest
			return nil, nil
		case i.Sponsored() && first && t == refused:
			if err := fenceFail.raise(ctx, tx, live); err != nil {
				return nil, err
			}
			sub = payment.Fencing
		default:
			if err := tx.MarkSending(ctx, []string{newest.TxID}); err != nil {
				return nil, err
			}
			out.send = &newest
		}
		if i.Status == payment.Submitted {
			return nil, nil
		}
		i.Status, i.Substatus = payment.Submitted, sub
		return &i, nil
	})
	out.state = state
	return out, err
}

// rehearse tries out a sponsored payment on its chain.
func (s *Steps) rehearse(ctx context.Context, in Ref, d departure) (trial, error) {
	desk, err := s.desk(d.state.Chain)
	if err != nil {
		return untried, err
	}
	chain, ok := desk.Chain.(chains.Sponsor)
	if !ok {
		return untried, fmt.Errorf("%s does not submit payers' authorizations", d.state.Chain)
	}
	refusal, err := chain.Rehearse(ctx, chains.StoredTx{Hash: d.untried.Hash, Raw: d.untried.Raw})
	switch {
	case err != nil:
		return untried, err
	case refusal != "":
		s.Log.Info("not sent: it would fail", zap.String("intent", in.IntentID), zap.String("chain", string(d.state.Chain)), zap.String("refusal", refusal))
		return refused, nil
	}
	return passed, nil
}

package activities

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

const (
	// sweepPage is how many slots a sweep scans at once.
	sweepPage = 500
	// degradedAfter is how long a chain may be out of sight before its payments say so.
	degradedAfter = time.Minute
)

// Swept is what SweepSlots did.
type Swept struct {
	Slots   int `json:"slots"`   // live ones that were looked at
	Resent  int `json:"resent"`  // whose bytes were sent again
	Settled int `json:"settled"` // of which a final sighting was stored
	Outbid  int `json:"outbid"`  // that got another, dearer transaction
	Booked  int `json:"booked"`  // transactions of closed slots whose fee was booked
	// Decided lists intents whose review the chain has ended: their workflows
	// wait for a person, and do not know.
	Decided []string `json:"decided"`
}

// SweepSlots looks after the live slots of a chain that are older than
// SweepAfter, whatever their workflows do: it records progress, sends unseen
// bytes again, or dearer ones where a slot may have several, and settles what is
// final. It may run beside the watchers and the steps of the same payments. It
// leaves those alone whose first bytes are still to be sent, or whose status is
// on its way through the steps. Closed slots are looked after until nothing of
// them can land any more.
func (s *Steps) SweepSlots(ctx context.Context, in ChainRef) (Swept, error) {
	desk, err := s.desk(in.Chain)
	if err != nil {
		return Swept{}, err
	}
	var out Swept
	for after := ""; ; {
		ids, err := s.Store.Queries().OldLiveSlots(ctx, db.OldLiveSlotsParams{Chain: string(in.Chain), AfterID: after,
			AgeSeconds: s.sweepAge(desk.Chain.Info()).Seconds(), MaxRows: sweepPage})
		if err != nil {
			return out, err
		}
		if len(ids) == 0 {
			return out, s.closeUp(ctx, desk, &out)
		}
		after = ids[len(ids)-1]
		if err := s.sweep(ctx, desk, ids, &out); err != nil {
			return out, err
		}
	}
}

// sweepAge is the age from which a live slot is looked after: in time to outbid
// its transaction where only this does.
func (s *Steps) sweepAge(info chains.Info) time.Duration {
	if info.BumpAfter > 0 && !info.LaneNonces {
		return min(s.sweepAfter(), info.BumpAfter)
	}
	return s.sweepAfter()
}

// sweep looks after one page of slots.
func (s *Steps) sweep(ctx context.Context, desk *Desk, intentIDs []string, out *Swept) error {
	all, err := liveSlots(ctx, s.Store.Queries(), intentIDs)
	if err != nil {
		return err
	}
	var slots []slot
	var watched []chains.Watched
	for _, x := range all {
		if x.status() != payment.Routed {
			slots, watched = append(slots, x), append(watched, x.watched())
		}
	}
	if err := s.degrade(ctx, desk, slots); err != nil || len(slots) == 0 {
		return err
	}
	sightings, err := desk.Chain.Scan(ctx, watched)
	if err != nil {
		return err
	}
	out.Slots += len(slots)
	var progress []chains.Progress
	var unseen []string
	var late []slot
	for i, seen := range sightings {
		x := slots[i]
		switch {
		case seen.Kind.Final():
			if err := s.sweepFinal(ctx, x, seen, out); err != nil {
				return err
			}
		case seen.Kind == chains.Included && x.status() == payment.Submitted, seen.Kind == chains.Unseen && x.status() == payment.Confirming:
			progress = append(progress, chains.Progress{Watched: watched[i], Sighting: seen})
		}
		if seen.Kind == chains.Unseen {
			unseen = append(unseen, x.id)
			late = append(late, x)
		}
	}
	if len(progress) > 0 {
		if err := desk.progressed(ctx, progress); err != nil {
			return err
		}
	}
	for _, x := range late {
		if s.outbid(ctx, desk, x) {
			out.Outbid++
		}
	}
	n, err := desk.resend(ctx, unseen)
	out.Resent += n
	return err
}

// sweepFinal settles one slot.
func (s *Steps) sweepFinal(ctx context.Context, x slot, seen chains.Sighting, out *Swept) error {
	state, err := s.Settle(ctx, SettleInput{IntentID: x.intentID, Sighting: Sighting{SlotID: x.id, Sighting: seen}})
	if err != nil {
		return err
	}
	if state.Sequence != x.txs[0].Version {
		out.Settled++
		if x.status() == payment.ManualReview {
			out.Decided = append(out.Decided, x.intentID)
		}
	}
	return nil
}

// status is the intent's when the slot was read.
func (s slot) status() payment.Status { return payment.Status(s.txs[0].Status) }

// degrade tells payments that are in no block whether their chain is out of
// sight.
func (s *Steps) degrade(ctx context.Context, desk *Desk, slots []slot) error {
	degraded := time.Since(desk.unseenSince()) >= degradedAfter
	if degraded {
		desk.log.Warn("the chain is out of sight", zap.String("chain", string(desk.Chain.Info().Name)), zap.Int("payments", len(slots)))
	}
	for _, x := range slots {
		var err error
		switch was := payment.Substatus(x.txs[0].Substatus); {
		case x.status() != payment.Submitted:
		case degraded && was != payment.RPCDegraded:
			err = s.explain(ctx, x.intentID, payment.RPCDegraded)
		case !degraded && was == payment.RPCDegraded:
			err = s.explain(ctx, x.intentID, payment.AwaitingBlock, payment.RPCDegraded)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// explain sets the substatus of a payment that is in no block, once; with was,
// only if it was one of these.
func (s *Steps) explain(ctx context.Context, intentID string, sub payment.Substatus, was ...payment.Substatus) error {
	_, err := s.change(ctx, "explain", intentID, func(_ context.Context, _ *store.Tx, i payment.Intent) (*payment.Intent, error) {
		if len(was) > 0 && !slices.Contains(was, i.Substatus) {
			return nil, nil
		}
		return explained(i, sub), nil
	})
	return err
}

// explained is a payment that is in no block with another substatus; nil if
// there is nothing to change.
func explained(i payment.Intent, sub payment.Substatus) *payment.Intent {
	if i.Status != payment.Submitted || i.Substatus == sub || i.Substatus == payment.Fencing {
		return nil
	}
	i.Substatus = sub
	return &i
}

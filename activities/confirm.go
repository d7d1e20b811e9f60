package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// heartbeatEvery keeps a waiting activity known to be alive; the SDK sends a
// heartbeat only when its timeout needs one.
const heartbeatEvery = 5 * time.Second

// AwaitConfirmation waits for the final sighting of the live slot. The
// worker's watcher looks for all waiting payments of a chain at once. If there
// is no live slot the zero Sighting is returned: the payment is decided.
//
// From time to time it looks at the database, where the upkeep may have signed
// further transactions for the slot, or closed it. A payment that was in no
// block for very long ends the wait with a sighting that is not final: a person
// is to look.
func (s *Steps) AwaitConfirmation(ctx context.Context, in Ref) (Sighting, error) {
	stop := beat(ctx)
	defer stop()
	for {
		live, ok, err := liveSlot(ctx, s.Store.Queries(), in.IntentID)
		if err != nil || !ok {
			return Sighting{}, err
		}
		desk, err := s.desk(live.chain)
		if err != nil {
			return Sighting{}, err
		}
		seen, err := desk.await(ctx, live, s.sweepAfter())
		if err != nil {
			return Sighting{}, err
		}
		if seen.Kind.Final() {
			return Sighting{SlotID: live.id, Sighting: seen}, nil
		}
		if reason, stalled := s.stalled(desk, live, seen); stalled {
			return Sighting{SlotID: live.id, Sighting: chains.Sighting{Kind: chains.Unseen, Reason: reason}}, nil
		}
	}
}

// await watches a slot for a while. That a payment of a fenced slot has failed
// is no news: its slot is still to die.
func (d *Desk) await(ctx context.Context, live slot, patience time.Duration) (chains.Sighting, error) {
	turn, done := context.WithTimeout(ctx, patience)
	defer done()
	seen, err := d.Watcher.Await(turn, live.watched())
	if err == nil && live.fence != unfenced && seen.Kind == chains.Reverted && !seen.SlotDead {
		select {
		case <-turn.Done():
		case <-time.After(d.Chain.Info().PollInterval):
		}
		seen, err = chains.Sighting{Kind: chains.Unseen}, ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = nil
	}
	return seen, err
}

// stalled reports whether a person should look at a payment that is not final:
// what is on chain contradicts what was signed, or the chain is out of sight, or
// without a reason, it is merely in no block, all that for long.
func (s *Steps) stalled(desk *Desk, live slot, seen chains.Sighting) (reason string, stalled bool) {
	since, bound := live.txs[0].UpdatedAt, s.stalledAfter()
	if sent := live.newest().SendIntentAt; sent != nil && sent.After(since) {
		since = *sent
	}
	out := time.Since(desk.unseenSince())
	switch {
	case live.fence != unfenced || time.Since(since) < bound:
		return "", false
	case seen.Reason != "":
		return seen.Reason, true
	case out >= max(bound, degradedAfter):
		return fmt.Sprintf("%s has not been observed for %s", live.chain, out.Round(time.Minute)), true
	}
	return "", seen.Kind != chains.Included && live.status() == payment.Submitted
}

// beat sends heartbeats until stop is called. A step that is called outside of
// Temporal has nobody to send them to.
func beat(ctx context.Context) (stop func()) {
	if !activity.IsActivity(ctx) {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		t := time.NewTicker(heartbeatEvery)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-t.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return func() { close(done) }
}

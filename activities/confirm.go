package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/settlehq/settle/chains"
)

// heartbeatEvery keeps a waiting activity known to be alive; the SDK sends a
// heartbeat only when its timeout needs one.
const heartbeatEvery = 5 * time.Second

// AwaitConfirmation waits for the final sighting of the live slot. The
// worker's watcher looks for all waiting payments of a chain at once. If there
// is no live slot the zero Sighting is returned: the payment is decided.
func (s *Steps) AwaitConfirmation(ctx context.Context, in Ref) (Sighting, error) {
	i, err := s.Store.Intent(ctx, in.IntentID)
	if err != nil {
		return Sighting{}, err
	}
	live, ok, err := liveSlot(ctx, s.Store.Queries(), in.IntentID)
	if err != nil || !ok {
		return Sighting{}, err
	}
	desk, err := s.desk(live.chain)
	if err != nil {
		return Sighting{}, err
	}
	stop := beat(ctx)
	defer stop()
	sentAt := time.Time{}
	if last := live.newest().LastSentAt; last != nil {
		sentAt = *last
	}
	seen, err := desk.Watcher.Await(ctx, chains.Watched{IntentID: i.ID, SlotID: live.id, Slot: live.terms, To: i.Address, Amount: i.Amount, Txs: live.stored()}, sentAt)
	return Sighting{SlotID: live.id, Sighting: seen}, err
}

// beat sends heartbeats until stop is called.
func beat(ctx context.Context) (stop func()) {
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

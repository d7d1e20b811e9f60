package activities

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// resendWorkers is how many Sends a desk has under way at once.
const resendWorkers = 8

// resend hands the newest payment of each slot to the network again, unless
// the slot is closed or fenced, or the bytes were sent lately by whomever. It
// returns how many were sent.
func (d *Desk) resend(ctx context.Context, slotIDs []string) (int, error) {
	due, err := d.store.Queries().ClaimResends(ctx, db.ClaimResendsParams{SlotIds: slotIDs, ResendAfterSeconds: d.Chain.Info().ResendAfter.Seconds()})
	if err != nil {
		return 0, err
	}
	var g errgroup.Group
	g.SetLimit(resendWorkers)
	for _, t := range due {
		g.Go(func() error {
			d.send(ctx, "sent again", t.IntentID, chains.StoredTx{Hash: t.Hash, Raw: t.Raw})
			return nil
		})
	}
	return len(due), g.Wait()
}

// send hands stored bytes to the network and logs what the nodes said.
func (d *Desk) send(ctx context.Context, what, intentID string, tx chains.StoredTx) chains.Verdict {
	began := time.Now()
	v := d.Chain.Send(ctx, tx)
	d.log.Info(what, zap.String("intent", intentID), zap.String("chain", string(d.Chain.Info().Name)), zap.String("tx", tx.Hash),
		zap.String("acceptance", string(v.Acceptance)), zap.String("class", v.Class), zap.String("detail", v.Detail), zap.Duration("took", time.Since(began)))
	return v
}

// obey acts on the two answers that nothing else would act on: a lane whose key
// or network is set up wrongly is frozen, and a payment whose lane has no native
// coin says so. Everything else waits for the next look.
func (s *Steps) obey(ctx context.Context, desk *Desk, intentID, lane string, v chains.Verdict) error {
	switch {
	case v.Class == chains.VerdictMisconfigured && v.Acceptance == chains.Rejected:
		return s.freeze(ctx, desk, lane, "a node refused its transaction: "+v.Detail)
	case v.Class == chains.VerdictFunds && intentID != "":
		return s.explain(ctx, intentID, payment.AwaitingGas)
	}
	return nil
}

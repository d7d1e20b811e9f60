package activities

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/store"
)

// publishEvery bounds how often a desk writes what it sees of its chain.
const publishEvery = 2 * time.Second

// Desk is one chain as this worker serves it: the chain, its watcher, and
// what was last seen of it.
type Desk struct {
	Chain   chains.Chain
	Watcher *chains.Watcher

	price  payment.Amount // asset base units per whole native coin
	store  *store.Store
	worker string
	log    *zap.Logger
	opened time.Time

	mu        sync.Mutex
	network   routing.Network
	seen      bool
	published time.Time
}

// NewDesk opens a desk. nativePrice is in asset base units per whole native
// coin; worker names this process in chain_health.
func NewDesk(c chains.Chain, nativePrice payment.Amount, st *store.Store, worker string, log *zap.Logger) *Desk {
	d := &Desk{Chain: c, price: nativePrice, store: st, worker: worker, log: log, opened: time.Now()}
	d.Watcher = chains.NewWatcher(c, chains.WatcherHooks{Observed: d.observed, Progressed: d.progressed, Unseen: d.unseen}, log)
	return d
}

// Network returns what routing may know of the chain; ok is false before the
// first observation.
func (d *Desk) Network() (n routing.Network, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.network, d.seen
}

// unseenSince is when the chain was last observed, or if it never was, when the
// desk was opened.
func (d *Desk) unseenSince() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen {
		return d.network.ObservedAt
	}
	return d.opened
}

// observed keeps the newest conditions for routing, and shares them with the
// other processes every publishEvery.
func (d *Desk) observed(ctx context.Context, c chains.Conditions) {
	d.mu.Lock()
	due := time.Since(d.published) >= publishEvery
	d.mu.Unlock()
	if !due {
		return
	}
	info := d.Chain.Info()
	committed, err := d.store.Queries().CommittedOnChain(ctx, string(info.Name))
	if err != nil {
		d.log.Warn("liquidity unknown", zap.String("chain", string(info.Name)), zap.Error(err))
		return
	}
	liquidity, err := c.TreasuryBalance.Sub(committed)
	if err != nil {
		liquidity = payment.Units(0)
	}
	n := routing.Network{
		Chain: info.Name, CAIP2: info.CAIP2, NativeAsset: info.NativeAsset, NativeDecimals: info.NativeDecimals, NativePrice: d.price,
		FeePerPayment: c.FeePerPayment, Liquidity: liquidity, ETASeconds: int64(info.FinalityETA / time.Second),
		Head: c.Head, Finalized: c.Finalized, HeadTime: c.HeadTime, ObservedAt: c.ObservedAt, LatencyMillis: c.LatencyMillis,
	}
	n.Nodes, n.HealthyNodes, n.ErrorRate = fitness(c.Nodes)
	d.mu.Lock()
	d.network, d.seen, d.published = n, true, time.Now()
	d.mu.Unlock()
	body, err := json.Marshal(n)
	if err == nil {
		err = d.store.SaveConditions(ctx, info.Name, d.worker, body, c.ObservedAt)
	}
	if err != nil {
		d.log.Warn("conditions not published", zap.String("chain", string(info.Name)), zap.Error(err))
	}
}

// fitness sums up a chain's nodes; errorRate is their mean in basis points.
func fitness(nodes []rpcpool.Stats) (all, healthy int, errorRate int64) {
	var sum float64
	for _, n := range nodes {
		sum += n.ErrorRate
		if n.State == rpcpool.Healthy {
			healthy++
		}
	}
	if len(nodes) == 0 {
		return 0, 0, 0
	}
	return len(nodes), healthy, int64(sum / float64(len(nodes)) * 10000)
}

// unseen sends again what the watcher found in no block.
func (d *Desk) unseen(ctx context.Context, ps []chains.Watched) {
	ids := make([]string, len(ps))
	for i, p := range ps {
		ids[i] = p.SlotID
	}
	if _, err := d.resend(ctx, ids); err != nil {
		d.log.Warn("nothing was sent again", zap.String("chain", string(d.Chain.Info().Name)), zap.Error(err))
	}
}

// progressed records payments that entered a block, or fell out of one, in
// one transaction for all of them. Intents come sorted by id, which is the
// order everyone locks them in.
func (d *Desk) progressed(ctx context.Context, progress []chains.Progress) error {
	return d.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var included []string
		for _, p := range progress {
			intent, err := tx.LockIntent(ctx, p.Watched.IntentID)
			if err != nil {
				return err
			}
			next := intent
			switch {
			case p.Sighting.Kind == chains.Included && intent.Status == payment.Submitted:
				next.Status, next.Substatus, next.TxHash = payment.Confirming, payment.AwaitingFinality, p.Sighting.TxHash
				included = append(included, p.Watched.SlotID)
			case p.Sighting.Kind == chains.Unseen && intent.Status == payment.Confirming:
				next.Status, next.Substatus, next.TxHash = payment.Submitted, payment.Reorged, ""
			default:
				continue
			}
			if _, err := tx.SaveIntent(ctx, intent, next); err != nil {
				return err
			}
		}
		if len(included) == 0 {
			return nil
		}
		return tx.MarkLanesIncluded(ctx, included)
	})
}

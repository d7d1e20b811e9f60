package chains

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Bounds of one watcher.
const (
	scanChunk   = 500              // payments per Scan call
	lookTimeout = 30 * time.Second // for one look at everything
)

// Progress is a change that the watcher saw and that is not final.
type Progress struct {
	Watched  Watched
	Sighting Sighting // Included, or Unseen again after a reorg
}

// WatcherHooks are told what the watcher learns. They run on its goroutine,
// one at a time. A failed Progressed is repeated on the next tick. Unseen is
// told of the payments that are in no block, at least twice in Info.ResendAfter:
// their bytes must be sent again that often, since nodes drop what they accepted.
type WatcherHooks struct {
	Observed   func(context.Context, Conditions)
	Progressed func(context.Context, []Progress) error
	Unseen     func(context.Context, []Watched)
}

// Watcher looks after all payments of one chain that wait in this process: it
// refreshes the chain's Conditions, scans for outcomes in batches, and tells
// what is unseen. What it does can be repeated and interrupted anywhere;
// several watchers may serve the same payment.
type Watcher struct {
	chain Chain
	hooks WatcherHooks
	log   *zap.Logger

	told time.Time // when Unseen was told; of Run's goroutine

	mu      sync.Mutex
	waiting map[string]*wait // by slot id
}

type wait struct {
	watched Watched
	last    SightingKind    // what Progressed was told
	seen    Sighting        // not final; the zero Sighting before the first look
	done    []chan Sighting // one per caller: a retried activity may overlap its zombie
}

// NewWatcher returns a watcher that works while Run does.
func NewWatcher(c Chain, hooks WatcherHooks, log *zap.Logger) *Watcher {
	return &Watcher{chain: c, hooks: hooks, log: log.With(zap.String("chain", string(c.Info().Name))),
		waiting: map[string]*wait{}}
}

// Await blocks until the payment has a final sighting, or ctx ends: then it
// returns the last sighting, which is not final, with the error of ctx.
func (w *Watcher) Await(ctx context.Context, p Watched) (Sighting, error) {
	done := make(chan Sighting, 1)
	w.mu.Lock()
	x, ok := w.waiting[p.SlotID]
	if !ok {
		x = &wait{last: Unseen}
		w.waiting[p.SlotID] = x
	}
	x.watched = p
	x.done = append(x.done, done)
	w.mu.Unlock()
	defer w.leave(p.SlotID, done)

	select {
	case s := <-done:
		return s, nil
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		return x.seen, ctx.Err()
	}
}

func (w *Watcher) leave(slotID string, done chan Sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	x, ok := w.waiting[slotID]
	if !ok {
		return
	}
	x.done = slices.DeleteFunc(x.done, func(c chan Sighting) bool { return c == done })
	if len(x.done) == 0 {
		delete(w.waiting, slotID)
	}
}

// Waiting is the number of payments being watched.
func (w *Watcher) Waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting)
}

// Run watches until ctx ends. A failed look changes nothing and is repeated.
func (w *Watcher) Run(ctx context.Context) {
	ticker := time.NewTicker(w.chain.Info().PollInterval)
	defer ticker.Stop()
	for {
		w.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Look is one round of Run: it refreshes the Conditions, and scans for all that
// wait. When it returns, who waited for what is final has been told. One round
// at a time.
func (w *Watcher) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := w.chain.Refresh(ctx); err != nil {
		w.log.Warn("chain not observed", zap.Error(err))
	} else if c, ok := w.chain.Conditions(); ok && w.hooks.Observed != nil {
		w.hooks.Observed(ctx, c)
	}
	for chunk := range slices.Chunk(w.snapshot(), scanChunk) {
		watched := make([]Watched, len(chunk))
		for i, x := range chunk {
			watched[i] = x.watched
		}
		sightings, err := w.chain.Scan(ctx, watched)
		if err != nil {
			w.log.Warn("scan without answer", zap.Int("payments", len(watched)), zap.Error(err))
			continue
		}
		w.apply(ctx, chunk, sightings)
	}
}

// snapshot copies the waits in a stable order, so that hooks see payments in
// the same order on every worker and locks are taken in one order.
func (w *Watcher) snapshot() []wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]wait, 0, len(w.waiting))
	for _, x := range w.waiting {
		all = append(all, *x)
	}
	slices.SortFunc(all, func(a, b wait) int {
		if a.watched.IntentID < b.watched.IntentID {
			return -1
		}
		return 1
	})
	return all
}

func (w *Watcher) apply(ctx context.Context, waits []wait, sightings []Sighting) {
	var progress []Progress
	var unseen []Watched
	for i, s := range sightings {
		x := waits[i]
		if s.Kind.Final() {
			w.finish(x.watched.SlotID, s)
			continue
		}
		w.note(x, s)
		if s.Kind != x.last {
			progress = append(progress, Progress{Watched: x.watched, Sighting: s})
		}
		if s.Kind == Unseen {
			unseen = append(unseen, x.watched)
		}
	}
	if len(progress) > 0 && w.hooks.Progressed != nil {
		if err := w.hooks.Progressed(ctx, progress); err != nil {
			w.log.Warn("progress not recorded", zap.Int("payments", len(progress)), zap.Error(err))
		} else {
			w.remember(progress)
		}
	}
	if len(unseen) > 0 && w.hooks.Unseen != nil && (len(waits) == scanChunk || time.Since(w.told) >= w.chain.Info().ResendAfter/2) {
		w.told = time.Now()
		w.hooks.Unseen(ctx, unseen)
	}
}

// note keeps a sighting that is not final, and logs once why a payment waits:
// nodes that disagree, or something that a person must look at.
func (w *Watcher) note(before wait, s Sighting) {
	p := before.watched
	if s.Reason != "" && s.Reason != before.seen.Reason {
		w.log.Warn("payment waits", zap.String("intent", p.IntentID), zap.String("seen", string(s.Kind)), zap.String("reason", s.Reason))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if x, ok := w.waiting[p.SlotID]; ok {
		x.seen = s
	}
}

func (w *Watcher) finish(slotID string, s Sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if x, ok := w.waiting[slotID]; ok {
		for _, done := range x.done {
			done <- s // buffered; each channel gets exactly one sighting
		}
		delete(w.waiting, slotID)
	}
}

func (w *Watcher) remember(progress []Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range progress {
		if x, ok := w.waiting[p.Watched.SlotID]; ok {
			x.last = p.Sighting.Kind
		}
	}
}

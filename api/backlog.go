package api

import (
	"context"
	"sync"
	"time"

	"github.com/settlehq/settle/store"
)

// backlogTTL is how long an answer to "is the backlog full" counts.
const backlogTTL = time.Second

// backlog refuses new payments while more than max of those accepted wait for
// the first step of their workflow: because workers are few or gone, or Temporal
// is down. Postgres knows that even then, and counting stops at the bound. What
// is accepted within backlogTTL may exceed it.
type backlog struct {
	store *store.Store
	max   int // 0: no bound
	now   func() time.Time

	mu    sync.Mutex
	full  bool
	until time.Time // that full counts
}

// check refuses if the backlog is full.
func (b *backlog) check(ctx context.Context) error {
	if b.max == 0 {
		return nil
	}
	full, err := b.isFull(ctx)
	if err != nil {
		return err
	}
	if full {
		return fail(BacklogFull, "")
	}
	return nil
}

// isFull lets one request ask, and the others wait for its answer.
func (b *backlog) isFull(ctx context.Context) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); !now.Before(b.until) {
		n, err := b.store.Backlog(ctx, b.max+1)
		if err != nil {
			return false, err
		}
		b.full, b.until = n > b.max, now.Add(backlogTTL)
	}
	return b.full, nil
}

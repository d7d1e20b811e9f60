package witness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// Block is a finalized block.
type Block struct {
	Height uint64 // block number or slot
	Hash   string
}

// FinalBlock reads one finalized block through a node: the newest, or the one
// at a height. A node that does not have it, or not as final, returns an error.
type FinalBlock func(ctx context.Context, n *rpcpool.Node, at *uint64) (Block, error)

// Anchor remembers a finalized block and looks from time to time whether it is
// still there. If as many nodes as make a quorum show another block in its
// place, finality has failed: the chain is frozen until a person has found out
// why and restarts (F7). It is safe for concurrent use.
type Anchor struct {
	pool  *rpcpool.Pool
	read  FinalBlock
	every time.Duration
	now   func() time.Time

	mu      sync.Mutex
	block   *Block
	checked time.Time
	frozen  error
}

// NewAnchor returns an anchor that remembers nothing yet.
func NewAnchor(pool *rpcpool.Pool, every time.Duration, read FinalBlock) *Anchor {
	return &Anchor{pool: pool, read: read, every: every, now: time.Now}
}

// Err wraps chains.ErrFrozen once finality has failed.
func (a *Anchor) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.frozen
}

// Watch checks in the background if it is time to. Whoever refreshes the
// chain's conditions calls it.
func (a *Anchor) Watch(ctx context.Context) {
	a.mu.Lock()
	due := a.now().Sub(a.checked) >= a.every && a.frozen == nil
	if due {
		a.checked = a.now()
	}
	a.mu.Unlock()
	if due {
		go a.check(context.WithoutCancel(ctx)) // every call has a bound of its own
	}
}

// check looks at the remembered block and, if it is there, remembers the
// newest one in its place.
func (a *Anchor) check(ctx context.Context) {
	need := a.pool.Quorum()
	a.mu.Lock()
	known := a.block
	a.mu.Unlock()
	if known != nil {
		switch now := standing(*known, a.ask(ctx, a.pool.Size(), nil, &known.Height), need); now {
		case rpcpool.Yes:
		case rpcpool.No:
			a.mu.Lock()
			a.frozen = fmt.Errorf("%w: finalized block %d was %s, and %d nodes show another in its place", chains.ErrFrozen, known.Height, known.Hash, need)
			a.mu.Unlock()
			return
		default:
			return // too few answers, or contradictions: keep what two nodes once agreed on
		}
	}
	newest := a.ask(ctx, 1, nil, nil)
	for _, v := range newest {
		if v.Err != nil {
			continue
		}
		others := a.ask(ctx, need-1, []*rpcpool.Node{v.Node}, &v.Said.Height)
		if standing(v.Said, append(others, v), need) == rpcpool.Yes {
			a.mu.Lock()
			a.block = &v.Said
			a.mu.Unlock()
		}
	}
}

func (a *Anchor) ask(ctx context.Context, count int, except []*rpcpool.Node, at *uint64) []rpcpool.Vote[Block] {
	return rpcpool.Ask(ctx, a.pool, count, except, func(ctx context.Context, n *rpcpool.Node) (Block, error) { return a.read(ctx, n, at) })
}

// standing says whether a block is still what nodes show at its height.
func standing(known Block, votes []rpcpool.Vote[Block], need int) rpcpool.Truth {
	same := make([]rpcpool.Vote[bool], len(votes))
	for i, v := range votes {
		same[i] = rpcpool.Vote[bool]{Node: v.Node, Said: v.Said == known, Err: v.Err}
		if v.Err == nil && v.Said.Height != known.Height {
			same[i].Err = fmt.Errorf("%s answered for height %d, asked for %d", v.Node.Name(), v.Said.Height, known.Height)
		}
	}
	return rpcpool.Tally(same, need)
}

package witness

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// Look reads through one node what became of the payments, one Sighting each,
// in order, and the height of the node's head at the time. Its final sightings
// carry a proof that is a JSON object.
type Look func(ctx context.Context, n *rpcpool.Node, w []chains.Watched) (s []chains.Sighting, head uint64, err error)

// maxRemembered bounds the memory of what was included; without it a payment
// that vanished is noticed at the next audit only.
const maxRemembered = 100_000

// Scanner looks for payments on several nodes. It is safe for concurrent use.
type Scanner struct {
	pool       *rpcpool.Pool
	look       Look
	anchor     *Anchor
	auditEvery time.Duration
	now        func() time.Time

	mu       sync.Mutex
	included map[slot]bool // was Included when last looked at
	head     uint64        // of the node that answered last
	audited  time.Time
}

// slot identifies a payment's slot on its chain.
type slot struct{ authority, nonce string }

// NewScanner returns a scanner. Every auditEvery, what the preferred node says
// is compared with another's, whatever it says.
func NewScanner(pool *rpcpool.Pool, anchor *Anchor, auditEvery time.Duration, look Look) *Scanner {
	return &Scanner{pool: pool, look: look, anchor: anchor, auditEvery: auditEvery, now: time.Now, included: map[slot]bool{}}
}

// Scan looks through the best node. Another one is asked, at the same time for
// all payments that need it, about what that node calls final, about payments
// that have vanished from it, and from time to time about all; further nodes
// where the two do not agree. The error wraps chains.ErrUnknown.
func (s *Scanner) Scan(ctx context.Context, w []chains.Watched) ([]chains.Sighting, error) {
	if len(w) == 0 {
		return nil, nil
	}
	var first rpcpool.Vote[[]chains.Sighting]
	err := s.pool.Read(ctx, s.floor(), func(ctx context.Context, n *rpcpool.Node) error {
		said, head, err := s.look(ctx, n, w)
		if err == nil {
			first.Node, first.Said = n, said
			s.reached(n, head)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: scan: %w", chains.ErrUnknown, err)
	}
	out := first.Said
	if s.pool.Quorum() > 1 {
		out = s.confirm(ctx, w, first)
	}
	s.hold(out)
	s.remember(w, out)
	for i := range out {
		out[i].LookedFor = len(w[i].Txs)
	}
	return out, nil
}

// floor is the height below which a node must not answer: an earlier scan has
// seen more. A height that no other node confirms does not bind.
func (s *Scanner) floor() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.head, s.pool.Agreed())
}

func (s *Scanner) reached(n *rpcpool.Node, head uint64) {
	n.Saw(head)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.head = head
}

// confirm asks further nodes where one is not enough.
func (s *Scanner) confirm(ctx context.Context, w []chains.Watched, first rpcpool.Vote[[]chains.Sighting]) []chains.Sighting {
	need := s.pool.Quorum()
	out := make([]chains.Sighting, len(w))
	views := make([][]view, len(w))
	var open []int
	audit := s.auditDue()
	for i, x := range first.Said {
		views[i] = []view{{first.Node.Name(), x}}
		out[i] = x
		if audit || x.Kind.Final() || x.Kind == chains.Unseen && s.wasIncluded(w[i]) {
			open = append(open, i)
		}
	}
	asked := []*rpcpool.Node{first.Node}
	byName := map[string]*rpcpool.Node{first.Node.Name(): first.Node}
	for _, count := range []int{need - 1, s.pool.Size()} {
		if len(open) == 0 {
			break
		}
		subset := pick(w, open)
		votes := rpcpool.Ask(ctx, s.pool, count, asked, func(ctx context.Context, n *rpcpool.Node) ([]chains.Sighting, error) {
			said, head, err := s.look(ctx, n, subset)
			if err == nil {
				n.Saw(head)
			}
			return said, err
		})
		for _, v := range votes {
			asked = append(asked, v.Node)
			byName[v.Node.Name()] = v.Node
			if v.Err != nil {
				continue
			}
			for j, i := range open {
				views[i] = append(views[i], view{v.Node.Name(), v.Said[j]})
			}
		}
		var contested []int
		for _, i := range open {
			settled := false
			if out[i], settled = agree(views[i], need); !settled {
				contested = append(contested, i)
			}
		}
		for _, i := range open {
			for _, v := range outvoted(views[i], out[i], need) {
				byName[v.node].Outvoted()
			}
		}
		open = contested
	}
	return out
}

func pick(w []chains.Watched, at []int) []chains.Watched {
	out := make([]chains.Watched, len(at))
	for j, i := range at {
		out[j] = w[i]
	}
	return out
}

func (s *Scanner) auditDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.audited) >= s.auditEvery {
		s.audited = now
		return true
	}
	return false
}

func (s *Scanner) wasIncluded(w chains.Watched) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.included[slot{w.Slot.Authority, w.Slot.Nonce}]
}

func (s *Scanner) remember(w []chains.Watched, seen []chains.Sighting) {
	if s.pool.Quorum() < 2 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.included) >= maxRemembered {
		clear(s.included)
	}
	for i, x := range seen {
		key := slot{w[i].Slot.Authority, w[i].Slot.Nonce}
		if x.Kind == chains.Included {
			s.included[key] = true
		} else {
			delete(s.included, key)
		}
	}
}

// hold takes the finality away from what was seen on a frozen chain.
func (s *Scanner) hold(seen []chains.Sighting) {
	frozen := s.anchor.Err()
	if frozen == nil {
		return
	}
	for i, x := range seen {
		if !x.Kind.Final() {
			continue
		}
		kind := chains.Included
		if x.Kind == chains.Dead {
			kind, seen[i] = chains.Unseen, chains.Sighting{}
		}
		seen[i].Kind, seen[i].Early, seen[i].SlotDead, seen[i].Proof = kind, false, false, nil
		seen[i].Reason = fmt.Sprintf("seen as %s, but %v", x.Kind, frozen)
	}
}

package evm

import "github.com/settlehq/settle/chains"

const (
	// rescan is how many finalized blocks are asked for again: a node behind a
	// load balancer may answer for blocks that it does not have yet.
	rescan = 64
	// maxProgress bounds the memory; beyond it everything is scanned from the
	// slots' first block again.
	maxProgress = 100_000
)

// progress is, by node and authorization, the block up to which a scan found
// nothing and which is final. Losing it costs time only. What one node did not
// find says nothing about the others.
type progress map[progressKey]uint64

type progressKey struct {
	node string
	authorizationKey
}

// unscanned is the first block that may hold the fate of the authorization.
func (c *Chain) unscanned(node string, l *look) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(l.slot.FromHeight, c.progress[progressKey{node, authorizationKey{l.from, l.nonce}}])
}

// remember notes how far the payment has been looked for. If the token says
// that the authorization is used although no log was found, a log was missed:
// look from the start again.
func (c *Chain) remember(node string, l *look, x chains.Sighting, final uint64) {
	if !l.authorized() {
		return
	}
	key := progressKey{node, authorizationKey{l.from, l.nonce}}
	missed := l.used == nil && l.canceled == nil && l.state != nil && *l.state
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case x.Kind.Final() || missed:
		delete(c.progress, key)
	case l.used == nil && l.canceled == nil && final > rescan:
		if c.progress == nil || len(c.progress) >= maxProgress {
			c.progress = progress{}
		}
		c.progress[key] = max(c.progress[key], final-rescan)
	}
}

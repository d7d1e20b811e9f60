package rpcpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ErrWrongChain is definite: the node serves another network.
var ErrWrongChain = errors.New("the node serves another network")

// Node is one endpoint. It is safe for concurrent use.
type Node struct {
	pool *Pool
	url  string
	name string // host and port
	rate *rate.Limiter

	watching atomic.Bool // a probe of Watch is under way

	mu      sync.Mutex
	health  health
	probing bool // one request is finding out whether an open breaker may close
	client  string
	calls   uint64
	errors  uint64
	unknown map[string]uint64 // unclassified errors, by method
}

// Name is the host and port, or with several nodes behind one of them also its
// number: what logs and proofs may show, since paths hold API keys.
func (n *Node) Name() string { return n.name }

// Do makes the calls, in as few requests as [Config.BatchLimit] allows, once
// the node has named its network. The error is about the way to the node and
// back: then no answer may be used. A node's error to a single call is in the
// call.
func (n *Node) Do(ctx context.Context, calls ...*Call) error {
	if err := n.identify(ctx); err != nil {
		return err
	}
	return n.do(ctx, calls)
}

func (n *Node) do(ctx context.Context, calls []*Call) error {
	for len(calls) > 0 {
		size := min(len(calls), n.pool.cfg.BatchLimit)
		if err := n.batch(ctx, calls[:size]); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		calls = calls[size:]
	}
	return nil
}

// batch is one request: its turn under the rate limit, its time, and what it
// says about the node.
func (n *Node) batch(ctx context.Context, calls []*Call) error {
	if !n.admit() {
		return errBreaker
	}
	body, err := encode(calls)
	if err != nil {
		n.abandon()
		return err
	}
	within, cancel := context.WithTimeout(ctx, n.pool.cfg.CallTimeout)
	defer cancel()
	if err := n.rate.WaitN(within, len(calls)); err != nil {
		n.abandon()
		return fmt.Errorf("no room under the rate limit: %w", err)
	}
	start := n.pool.cfg.Now()
	answer, err := n.post(within, body)
	if err == nil {
		err = decode(calls, answer)
	}
	n.learn(calls, err, n.pool.cfg.Now().Sub(start), ctx)
	return err
}

var errBreaker = errors.New("did not answer lately, and it is not time to ask again")

// admit lets requests pass while the breaker is closed, and one probe when its
// time is over.
func (n *Node) admit() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.health.openUntil.IsZero() {
		return true
	}
	if n.probing || n.health.open(n.pool.cfg.Now()) {
		return false
	}
	n.probing = true
	return true
}

// abandon is the end of a request that never left.
func (n *Node) abandon() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.probing = false
}

// learn notes how a request went. That a caller went away says nothing about
// the node.
func (n *Node) learn(calls []*Call, err error, took time.Duration, ctx context.Context) { //nolint:revive // ctx is what is looked at, not what is acted under
	n.mu.Lock()
	defer n.mu.Unlock()
	n.probing = false
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	n.calls += uint64(len(calls))
	limit := false
	for _, c := range calls {
		if err == nil && c.Err != nil {
			n.errors++
			limit = limit || c.Err.limited()
		}
	}
	if err != nil {
		n.errors += uint64(len(calls))
	}
	if err != nil || limit {
		n.health = n.health.failed(n.pool.cfg.Now(), n.pool.cfg.Rest)
		return
	}
	n.health = n.health.answered(took)
}

// identify asks the node for its network until it has named the right one.
func (n *Node) identify(ctx context.Context) error {
	n.mu.Lock()
	right := n.health.identity == matches
	n.mu.Unlock()
	if right {
		return nil
	}
	return n.probe(ctx)
}

// Identity is the call that asks for the network. A caller that adds it to
// calls of its own hands the answer to [Node.Identified].
func (n *Node) Identity() *Call {
	return NewCall(n.pool.cfg.Identity.Method, n.pool.cfg.Identity.Params...)
}

// Identified judges an answer to [Node.Identity]. ErrWrongChain takes the node
// out of use; another error means that it did not say.
func (n *Node) Identified(c *Call) error {
	err := n.pool.cfg.Identity.Check(c)
	if err != nil && !errors.Is(err, ErrWrongChain) {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.mu.Lock()
	n.health = n.health.identified(err == nil, n.pool.cfg.Now())
	n.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	return nil
}

// Saw tells the pool the node's height, as read by the caller.
func (n *Node) Saw(height uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.health = n.health.saw(height, n.pool.cfg.Now())
}

// Unclassified counts an error answer to a method that no table knows.
func (n *Node) Unclassified(method string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.unknown == nil {
		n.unknown = map[string]uint64{}
	}
	n.unknown[method]++
}

// Outvoted tells the pool that two other nodes agreed on something else.
func (n *Node) Outvoted() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.health = n.health.outvoted(n.pool.cfg.Now(), n.pool.cfg.Rest)
}

// probe asks for network and height, and once for the client's name.
func (n *Node) probe(ctx context.Context) error {
	id := n.Identity()
	height := NewCall(n.pool.cfg.Height.Method, n.pool.cfg.Height.Params...)
	calls := []*Call{id, height}
	n.mu.Lock()
	named := n.client != "" || n.pool.cfg.Client.Method == ""
	n.mu.Unlock()
	var client *Call
	if !named {
		client = NewCall(n.pool.cfg.Client.Method)
		calls = append(calls, client)
	}
	if err := n.do(ctx, calls); err != nil {
		return err
	}
	if err := n.Identified(id); err != nil {
		return err
	}
	is, err := n.pool.cfg.Height.Parse(height)
	if err != nil {
		return fmt.Errorf("%s: %w", n.name, err)
	}
	n.Saw(is)
	if client != nil {
		n.mu.Lock()
		n.client = n.pool.cfg.Client.Parse(client)
		n.mu.Unlock()
	}
	return nil
}

// reach makes sure that the node is at a height or beyond it, and asks it if
// it was not when last heard of.
func (n *Node) reach(ctx context.Context, height uint64) error {
	if n.snapshot().height >= height {
		return nil
	}
	if err := n.probe(ctx); err != nil {
		return err
	}
	if is := n.snapshot().height; is < height {
		return fmt.Errorf("%s: is at height %d, %d is needed", n.name, is, height)
	}
	return nil
}

func (n *Node) snapshot() health {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.health
}

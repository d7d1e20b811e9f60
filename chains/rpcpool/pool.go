package rpcpool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ErrNoAnswer is that no node gave a usable answer. Nothing was learned.
var ErrNoAnswer = errors.New("no node answered")

// Config of a pool. Fields with a default may be left out.
type Config struct {
	URLs     []string // HTTP JSON-RPC
	Identity Identity
	Height   Height
	Client   Client // optional

	LagBlocks       uint64        // this many behind the others, a node is asked after them; default 3
	OutOfSyncBlocks uint64        // this many away from the others, it is not asked; default 64
	CallsPerSecond  float64       // of one node, calls in a batch count each; default no limit
	CallTimeout     time.Duration // of one HTTP request; default 5 s
	ProbeEvery      time.Duration // nodes that nobody asks are asked for their height this often; default 4 s
	Rest            time.Duration // a node that fails three times in a row is left alone this long, then twice as long, up to 30 times; one that two others contradict is asked last for 300 times as long; default 1 s
	BatchLimit      int           // calls per HTTP request; default 100, providers refuse more
	MaxResponse     int64         // bytes of one answer; default 64 MiB

	Now func() time.Time // default time.Now
}

// Identity says how a node names its network.
type Identity struct {
	Method string
	Params []any
	Check  func(*Call) error // nil: the right one; ErrWrongChain: another; else it did not say
}

// Height says how a node names its newest block or slot.
type Height struct {
	Method string
	Params []any
	Parse  func(*Call) (uint64, error)
}

// Client says how a node names its software, for the counters.
type Client struct {
	Method string
	Parse  func(*Call) string
}

// Pool is the nodes of one chain. It is safe for concurrent use.
type Pool struct {
	cfg   Config
	web   *http.Client
	nodes []*Node

	primary atomic.Pointer[Node] // was read from last
}

// New returns a pool that has not asked anybody yet.
func New(cfg Config) (*Pool, error) {
	cfg.setDefaults()
	p := &Pool{cfg: cfg, web: &http.Client{
		Timeout: cfg.CallTimeout,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: cfg.CallTimeout / 2, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   cfg.CallTimeout / 2,
			ResponseHeaderTimeout: cfg.CallTimeout,
			MaxIdleConns:          128,
			MaxIdleConnsPerHost:   32,
			IdleConnTimeout:       90 * time.Second,
			ForceAttemptHTTP2:     true,
		},
	}}
	names := map[string]int{}
	for _, raw := range cfg.URLs {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return nil, errors.New("an rpc endpoint is not a URL")
		}
		if slices.ContainsFunc(p.nodes, func(n *Node) bool { return n.url == raw }) {
			return nil, fmt.Errorf("the rpc endpoint at %s is listed twice: one node must not count as two", u.Host)
		}
		name := u.Host
		if names[u.Host]++; names[u.Host] > 1 {
			name = fmt.Sprintf("%s#%d", u.Host, names[u.Host])
		}
		limit, burst := rate.Inf, cfg.BatchLimit
		if cfg.CallsPerSecond > 0 {
			limit, burst = rate.Limit(cfg.CallsPerSecond), max(burst, int(cfg.CallsPerSecond))
		}
		p.nodes = append(p.nodes, &Node{pool: p, url: raw, name: name, rate: rate.NewLimiter(limit, burst)})
	}
	if len(p.nodes) == 0 {
		return nil, errors.New("no rpc endpoint is configured")
	}
	return p, nil
}

func (c *Config) setDefaults() {
	c.LagBlocks = cmp.Or(c.LagBlocks, 3)
	c.OutOfSyncBlocks = cmp.Or(c.OutOfSyncBlocks, 64)
	c.CallTimeout = cmp.Or(c.CallTimeout, 5*time.Second)
	c.ProbeEvery = cmp.Or(c.ProbeEvery, 4*time.Second)
	c.Rest = cmp.Or(c.Rest, time.Second)
	c.BatchLimit = cmp.Or(c.BatchLimit, 100)
	c.MaxResponse = cmp.Or(c.MaxResponse, 64<<20)
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Size is the number of configured nodes.
func (p *Pool) Size() int { return len(p.nodes) }

// Quorum is how many nodes must say the same before it counts: two, or all if
// only one is configured.
func (p *Pool) Quorum() int { return min(2, len(p.nodes)) }

// Connect asks all nodes at once. It wraps ErrWrongChain if one of them serves
// another network, since that is a mistake in the configuration, and
// ErrNoAnswer if none answers.
func (p *Pool) Connect(ctx context.Context) error {
	failures := make([]error, len(p.nodes))
	var all sync.WaitGroup
	for i, n := range p.nodes {
		all.Go(func() { failures[i] = n.probe(ctx) })
	}
	all.Wait()
	if err := errors.Join(failures...); errors.Is(err, ErrWrongChain) {
		return err
	} else if !slices.Contains(failures, nil) {
		return fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	return nil
}

// Read runs fn on the best node; where that fails, on the next. One run of fn
// uses one node only, so that what it reads fits together. Nodes below height
// are passed over. The error wraps ErrNoAnswer.
func (p *Pool) Read(ctx context.Context, height uint64, fn func(context.Context, *Node) error) error {
	var failures []error
	for _, n := range p.readable() {
		err := n.identify(ctx)
		if err == nil {
			err = n.reach(ctx, height)
		}
		if err == nil {
			err = fn(ctx, n)
		}
		if err == nil {
			p.primary.Store(n)
			return nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failures) == 0 {
		return fmt.Errorf("%w: none of %d is fit", ErrNoAnswer, len(p.nodes))
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, errors.Join(failures...))
}

// candidate is a node as the order of reads sees it.
type candidate struct {
	node  *Node
	rank  int
	score float64
}

// loyalty keeps reads on one node while another is only a little better: the
// heads of two nodes differ, and going to and fro would show.
const loyalty = 0.7

// readable are the nodes that may be read from, the best first.
func (p *Pool) readable() []*Node {
	now := p.cfg.Now()
	all, reference := p.survey(now)
	primary := p.primary.Load()
	var list []candidate
	for i, h := range all {
		n := p.nodes[i]
		rank, ok := h.rank(h.state(reference, p.tolerance(), now), now)
		if !ok {
			continue
		}
		c := candidate{node: n, rank: rank, score: h.score(reference)}
		if n == primary {
			c.score *= loyalty
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.score, b.score))
	})
	out := make([]*Node, len(list))
	for i, c := range list {
		out[i] = c.node
	}
	return out
}

func (p *Pool) survey(now time.Time) ([]health, height) {
	all := make([]health, len(p.nodes))
	for i, n := range p.nodes {
		all[i] = n.snapshot()
	}
	return all, agreed(all, now)
}

func (p *Pool) tolerance() tolerance {
	return tolerance{lagging: p.cfg.LagBlocks, outOfSync: p.cfg.OutOfSyncBlocks}
}

// Agreed is the height that the nodes are measured against: the highest, or
// with three nodes and more one that two of them have reached. 0 if unknown.
func (p *Pool) Agreed() uint64 {
	_, reference := p.survey(p.cfg.Now())
	return reference.is
}

// Reached notes the height that a caller has read from a node, and returns an
// error if that is too far from the others' for anything else that it says to
// be believed.
func (p *Pool) Reached(n *Node, height uint64) error {
	n.Saw(height)
	now := p.cfg.Now()
	_, reference := p.survey(now)
	if n.snapshot().state(reference, p.tolerance(), now) == OutOfSync {
		return fmt.Errorf("%s: is at height %d, the others are at %d", n.name, height, reference.is)
	}
	return nil
}

// Watch asks, in the background and bounded by CallTimeout, the nodes that
// nobody has asked for ProbeEvery: for their network and their height. Whoever
// refreshes a chain's conditions calls it, so that the health of all nodes is
// known before one of them is needed.
func (p *Pool) Watch(ctx context.Context) {
	now := p.cfg.Now()
	for _, n := range p.nodes {
		if n.neglected(now) {
			go func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.CallTimeout)
				defer cancel()
				defer n.watching.Store(false)
				_ = n.probe(ctx) // what it means is in the node's health
			}()
		}
	}
}

// neglected reports whether the node is due for a probe, and takes the turn.
func (n *Node) neglected(now time.Time) bool {
	h, every := n.snapshot(), n.pool.cfg.ProbeEvery
	known := now.Sub(h.heightAt) < every && now.Sub(h.identifiedAt) < 10*every
	return !h.open(now) && !known && n.watching.CompareAndSwap(false, true)
}

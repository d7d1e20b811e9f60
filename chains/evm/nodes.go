package evm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/settlehq/settle/chains"
)

const (
	callTimeout = 5 * time.Second // of one HTTP request
	batchSize   = 100             // calls per HTTP request; providers refuse large batches
)

// errWrongNetwork is definite: the node serves another chain.
var errWrongNetwork = errors.New("the node serves another network")

// node is one JSON-RPC endpoint.
type node struct {
	host     string // for messages; the URL may hold a key
	client   *rpc.Client
	chainID  uint64      // that it must serve
	verified atomic.Bool // it has said so
}

// nodes are the endpoints of one chain, in the configured order.
type nodes struct {
	list []*node
	good atomic.Int32 // index of the node that answered last
}

func dial(ctx context.Context, urls []string, chainID uint64) (*nodes, error) {
	web := &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   3 * time.Second,
			ResponseHeaderTimeout: callTimeout,
			MaxIdleConns:          64,
			MaxIdleConnsPerHost:   16,
			IdleConnTimeout:       90 * time.Second,
			ForceAttemptHTTP2:     true,
		},
	}
	p := &nodes{}
	for _, raw := range urls {
		client, err := rpc.DialOptions(ctx, raw, rpc.WithHTTPClient(web))
		if err != nil {
			return nil, fmt.Errorf("rpc endpoint: %w", redact(err))
		}
		u, err := url.Parse(raw)
		if err != nil {
			return nil, errors.New("rpc endpoint is not a URL")
		}
		p.list = append(p.list, &node{host: u.Host, client: client, chainID: chainID})
	}
	return p, nil
}

// read runs fn on one node; where that fails, on the next. One run of fn uses
// one node only, so that what it reads fits together. The error wraps
// chains.ErrUnknown.
func (p *nodes) read(ctx context.Context, fn func(context.Context, *node) error) error {
	first := int(p.good.Load())
	var failures []error
	for i := range p.list {
		at := (first + i) % len(p.list)
		n := p.list[at]
		err := n.verify(ctx)
		if err == nil {
			err = fn(ctx, n)
		}
		if err == nil {
			p.good.Store(int32(at))
			return nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", n.host, redact(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("%w: %w", chains.ErrUnknown, errors.Join(failures...))
}

// verify asks the node for its chain id until it has given the right one.
func (n *node) verify(ctx context.Context) error {
	if n.verified.Load() {
		return nil
	}
	var id hexutil.Uint64
	if err := n.call(ctx, &id, "eth_chainId"); err != nil {
		return err
	}
	return n.check(uint64(id))
}

func (n *node) check(id uint64) error {
	n.verified.Store(id == n.chainID)
	if id != n.chainID {
		return fmt.Errorf("%w: chain id %d, want %d", errWrongNetwork, id, n.chainID)
	}
	return nil
}

func (n *node) call(ctx context.Context, out any, method string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return n.client.CallContext(ctx, out, method, args...)
}

// batch collects calls and makes them in as few requests as batchSize allows.
type batch []rpc.BatchElem

// add appends a call and returns its index. out is filled by do.
func (b *batch) add(out any, method string, args ...any) int {
	*b = append(*b, rpc.BatchElem{Method: method, Args: args, Result: out})
	return len(*b) - 1
}

// do makes the calls. The error is the transport's, or the first of a single
// call that is not in tolerate: there a failed call keeps its Error.
func (b batch) do(ctx context.Context, n *node, tolerate ...int) error {
	for start := 0; start < len(b); start += batchSize {
		part := b[start:min(start+batchSize, len(b))]
		if err := n.send(ctx, part); err != nil {
			return err
		}
	}
	tolerated := map[int]bool{}
	for _, i := range tolerate {
		tolerated[i] = true
	}
	for i, e := range b {
		if e.Error != nil && !tolerated[i] {
			return fmt.Errorf("%s: %w", e.Method, e.Error)
		}
	}
	return nil
}

func (n *node) send(ctx context.Context, part []rpc.BatchElem) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return n.client.BatchCallContext(ctx, part)
}

// redact takes the URL out of an HTTP client's error.
func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", u.Op, u.Err)
	}
	return err
}

package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// pooled is the pool of a network's nodes: how they name it, and their height.
func pooled(set settings) (*rpcpool.Pool, error) {
	return rpcpool.New(rpcpool.Config{
		URLs: set.RPCURLs,
		Identity: rpcpool.Identity{Method: "eth_chainId", Check: func(c *rpcpool.Call) error {
			var id hexutil.Uint64
			if err := c.Decode(&id); err != nil {
				return err
			}
			if uint64(id) != set.ChainID {
				return fmt.Errorf("%w: chain id %d, want %d", rpcpool.ErrWrongChain, id, set.ChainID)
			}
			return nil
		}},
		Height: rpcpool.Height{Method: "eth_blockNumber", Parse: func(c *rpcpool.Call) (uint64, error) {
			var number hexutil.Uint64
			err := c.Decode(&number)
			return uint64(number), err
		}},
		Client: rpcpool.Client{Method: "web3_clientVersion", Parse: func(c *rpcpool.Call) string {
			var name string
			if c.Decode(&name) != nil {
				return ""
			}
			return name
		}},
		CallsPerSecond: set.RPCCallsPerSecond, ProbeEvery: set.poll, Rest: time.Duration(set.RPCRestMS) * time.Millisecond,
	})
}

// read runs fn on one node; where that fails, on the next. The error wraps
// chains.ErrUnknown.
func (c *Chain) read(ctx context.Context, fn func(context.Context, *rpcpool.Node) error) error {
	if err := c.pool.Read(ctx, 0, fn); err != nil {
		return fmt.Errorf("%w: %w", chains.ErrUnknown, err)
	}
	return nil
}

// ask makes one call.
func ask(ctx context.Context, n *rpcpool.Node, out any, method string, args ...any) error {
	var b batch
	b.add(out, method, args...)
	return b.do(ctx, n)
}

// batch collects calls, to be made together.
type batch []element

type element struct {
	call *rpcpool.Call
	out  any   // is filled by do
	err  error // after do: why it was not
}

// add appends a call and returns its index.
func (b *batch) add(out any, method string, args ...any) int {
	return b.append(rpcpool.NewCall(method, args...), out)
}

func (b *batch) append(call *rpcpool.Call, out any) int {
	*b = append(*b, element{call: call, out: out})
	return len(*b) - 1
}

// do makes the calls. The error is the way's to the node, or the first of a
// single call that is not in tolerate: there a failed call keeps its err.
func (b batch) do(ctx context.Context, n *rpcpool.Node, tolerate ...int) error {
	if len(b) == 0 {
		return nil
	}
	calls := make([]*rpcpool.Call, len(b))
	for i, e := range b {
		calls[i] = e.call
	}
	if err := n.Do(ctx, calls...); err != nil {
		return err
	}
	tolerated := map[int]bool{}
	for _, i := range tolerate {
		tolerated[i] = true
	}
	for i := range b {
		e := &b[i]
		if e.out == nil {
			continue
		}
		if e.call.Err != nil {
			e.err = e.call.Err
		} else {
			e.err = json.Unmarshal(e.call.Result, e.out)
		}
		if e.err != nil && !tolerated[i] {
			return fmt.Errorf("%s: %s: %w", n.Name(), e.call.Method, e.err)
		}
	}
	return nil
}

// words are a node's own in an error.
func words(err error) string {
	var answer *rpcpool.Error
	if errors.As(err, &answer) {
		return answer.Message
	}
	return err.Error()
}

package api_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/payment"
)

// destinations answers for two chains: addresses in refuse are refused, and
// down makes every answer unknown.
type destinations struct {
	mu     sync.Mutex
	down   bool
	panics bool
	asked  int
	facts  payment.AddressFacts
}

// refuse are the answers of the chains' packages to bad addresses.
var refuse = map[string]string{
	"0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed": payment.AddressBadChecksum,
	solanaPayee: payment.AddressWrongChain,
	"0x1234":    payment.AddressMalformed,
	"0x0000000000000000000000000000000000000000":   payment.AddressForbidden,
	"ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL": payment.AddressOffCurve,
	"3EfkyHtUqFYj1sMzZ7VtYxwvJ3sbSzLkAWVaS9N2SvDD": payment.AddressTokenAccount,
}

func (d *destinations) CheckDestination(_ context.Context, chain payment.Chain, address string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked++
	if d.panics {
		panic("a bug")
	}
	if d.down {
		return "", errors.New("the nodes do not answer")
	}
	return d.ReadAddress(chain, address)
}

func (d *destinations) ReadAddress(chain payment.Chain, address string) (string, error) {
	if code := refuse[address]; code != "" && (chain != "solana" || code != payment.AddressWrongChain) {
		return "", &payment.AddressError{Code: code, Detail: "what is wrong and what to do"}
	}
	if strings.EqualFold(address, payee) {
		return payee, nil
	}
	return address, nil
}

// InspectAddress answers by the same table; facts, if set, is what the chain says.
func (d *destinations) InspectAddress(ctx context.Context, chain payment.Chain, address string) payment.AddressFacts {
	d.mu.Lock()
	f := d.facts
	d.mu.Unlock()
	if f == (payment.AddressFacts{}) {
		f = payment.AddressFacts{Family: "evm", Checksum: payment.ChecksumAbsent, Kind: payment.KindUnknown, OpensAccount: payment.Unknown, Frozen: payment.Unknown}
	}
	var no *payment.AddressError
	canonical, err := d.CheckDestination(ctx, chain, address)
	switch {
	case errors.As(err, &no):
		f.Refusal = no
	case err != nil:
		f.Unchecked = true
	default:
		f.Canonical = canonical
	}
	return f
}

func (d *destinations) Chains() []api.ChainInfo {
	return []api.ChainInfo{
		{Name: "ethereum", CAIP2: "eip155:1", Token: "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48", NativeAsset: "ETH", NativeDecimals: 18},
		{Name: "solana", CAIP2: "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp", Token: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", NativeAsset: "SOL", NativeDecimals: 9},
	}
}

func (d *destinations) set(change func(*destinations)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// sponsor admits every authorization, unless answer says what is wrong.
type sponsor struct {
	mu     sync.Mutex
	answer error
}

func (s *sponsor) Admit(_ context.Context, _ payment.Chain, a payment.Authorization, _ string, _, _ payment.Amount) (payment.Authorization, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a.OpenAt = 17
	return a, s.answer
}

func (s *sponsor) say(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = err
}

// temporalDouble records what the API asks of Temporal.
type temporalDouble struct {
	client.Client
	mu       sync.Mutex
	down     bool
	started  map[string]int
	signaled []payment.Review
	closed   bool // every workflow
}

var errDown = errors.New("temporal does not answer")

func (c *temporalDouble) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errDown
	}
	if c.started == nil {
		c.started = make(map[string]int)
	}
	c.started[o.ID]++
	return nil, nil
}

func (c *temporalDouble) SignalWithStartWorkflow(_ context.Context, _, _ string, arg any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errDown
	}
	if c.closed {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("closed", "", "")
	}
	c.signaled = append(c.signaled, arg.(payment.Review))
	return nil, nil
}

func (c *temporalDouble) signals() []payment.Review {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.signaled)
}

func (c *temporalDouble) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errDown
	}
	return &client.CheckHealthResponse{}, nil
}

func (c *temporalDouble) starts(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started[id]
}

func (c *temporalDouble) set(change func(*temporalDouble)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

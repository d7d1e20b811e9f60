package evm

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/chains/evm/multicall3"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

// Balances reads token and native balances at the finalized block, all at the
// same one.
func (c *Chain) Balances(ctx context.Context, addresses []string) (chains.Balances, error) {
	accounts := make([]common.Address, len(addresses))
	for i, text := range addresses {
		a, err := parseAddress(text)
		if err != nil {
			return chains.Balances{}, fmt.Errorf("address %q: %w", text, err)
		}
		accounts[i] = a
	}
	var out chains.Balances
	err := c.read(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		h, err := c.readHeads(ctx, n, nil)
		if err != nil {
			return err
		}
		read := c.balancesOneByOne
		if c.set.Multicall3 != "" {
			read = c.balancesAtOnce
		}
		tokens, native, err := read(ctx, n, accounts, h.final.Number)
		if err != nil {
			return err
		}
		out = chains.Balances{Height: uint64(h.final.Number), Token: map[string]payment.Amount{}, Native: map[string]payment.Amount{}}
		for i, text := range addresses {
			out.Token[text], out.Native[text] = amount(tokens[i]), amount(native[i])
		}
		return nil
	})
	return out, err
}

// balancesAtOnce is one eth_call to Multicall3.
func (c *Chain) balancesAtOnce(ctx context.Context, n *rpcpool.Node, accounts []common.Address, at hexutil.Uint64) (tokens, native []*big.Int, err error) {
	multi, token := multicall3.NewMulticall3(), fiattoken.NewFiatToken()
	calls := make([]multicall3.Multicall3Call3, 0, 2*len(accounts))
	for _, a := range accounts {
		calls = append(calls,
			multicall3.Multicall3Call3{Target: c.set.token, CallData: token.PackBalanceOf(a)},
			multicall3.Multicall3Call3{Target: c.set.multicall3, CallData: multi.PackGetEthBalance(a)})
	}
	var raw hexutil.Bytes
	if err := ask(ctx, n, &raw, "eth_call", call(c.set.multicall3, multi.PackAggregate3(calls)), at); err != nil {
		return nil, nil, err
	}
	results, err := multi.UnpackAggregate3(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("multicall3: %w", err)
	}
	if len(results) != len(calls) {
		return nil, nil, fmt.Errorf("multicall3: %d results for %d calls", len(results), len(calls))
	}
	for i := 0; i < len(results); i += 2 {
		units, err := token.UnpackBalanceOf(results[i].ReturnData)
		if err != nil {
			return nil, nil, fmt.Errorf("token balance: %w", err)
		}
		wei, err := multi.UnpackGetEthBalance(results[i+1].ReturnData)
		if err != nil {
			return nil, nil, fmt.Errorf("native balance: %w", err)
		}
		tokens, native = append(tokens, units), append(native, wei)
	}
	return tokens, native, nil
}

func (c *Chain) balancesOneByOne(ctx context.Context, n *rpcpool.Node, accounts []common.Address, at hexutil.Uint64) (tokens, native []*big.Int, err error) {
	abi := fiattoken.NewFiatToken()
	raw, wei := make([]hexutil.Bytes, len(accounts)), make([]hexutil.Big, len(accounts))
	var b batch
	for i, a := range accounts {
		b.add(&raw[i], "eth_call", call(c.set.token, abi.PackBalanceOf(a)), at)
		b.add(&wei[i], "eth_getBalance", a, at)
	}
	if err := b.do(ctx, n); err != nil {
		return nil, nil, err
	}
	for i := range accounts {
		units, err := abi.UnpackBalanceOf(raw[i])
		if err != nil {
			return nil, nil, fmt.Errorf("token balance: %w", err)
		}
		tokens, native = append(tokens, units), append(native, wei[i].ToInt())
	}
	return tokens, native, nil
}

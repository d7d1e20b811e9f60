package ethereum

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// API is the JSON-RPC namespace "sandbox": test money, and the faults that a
// chain can show. Fund becomes sandbox_fund, and so on.
type API struct {
	chain    *blocks
	operator *operator
}

// Funding is one line of FundMany. Wei and USDC are added to what the address
// has; USDC is in base units (10^-6).
type Funding struct {
	Address common.Address `json:"address"`
	Wei     *hexutil.Big   `json:"wei"`
	USDC    *hexutil.Big   `json:"usdc"`
}

// Fund gives wei and USDC base units to an address and returns when both are
// in a block.
func (a *API) Fund(ctx context.Context, address common.Address, wei, usdc *hexutil.Big) error {
	return a.FundMany(ctx, []Funding{{Address: address, Wei: wei, USDC: usdc}})
}

// fundingGas is enough for minting to a new holder (58k gas).
const fundingGas = 100_000

// FundMany is Fund for many addresses, in as few blocks as they fit in.
func (a *API) FundMany(ctx context.Context, list []Funding) error {
	var calls []call
	for _, f := range list {
		if wei := f.Wei.ToInt(); f.Wei != nil && wei.Sign() > 0 {
			calls = append(calls, call{to: &f.Address, value: wei, gas: 21_000})
		}
		if usdc := f.USDC.ToInt(); f.USDC != nil && usdc.Sign() > 0 {
			calls = append(calls, call{to: &addresses.usdc, data: a.operator.usdc.PackMint(f.Address, usdc), gas: fundingGas})
		}
	}
	return a.operator.send(ctx, calls)
}

// Mine makes n blocks at once, even while paused, and returns the number of
// the head. Chain time moves on by at least one second per block.
func (a *API) Mine(n int) (hexutil.Uint64, error) {
	const most = 10_000
	if n < 1 || n > most {
		return 0, fmt.Errorf("n is %d: use 1 to %d", n, most)
	}
	head, err := a.chain.mine(n)
	return hexutil.Uint64(head), err
}

// Pause stops the block clock, or starts it again.
func (a *API) Pause(paused bool) { a.chain.pause(paused) }

// Reorg replaces the newest depth blocks by depth+1 others and returns the
// number of the head. With keep, their transactions are offered to the new
// branch; without, they and everything pending are forgotten.
func (a *API) Reorg(depth int, keep bool) (hexutil.Uint64, error) {
	head, err := a.chain.reorg(depth, keep)
	return hexutil.Uint64(head), err
}

// DropPool forgets every transaction that is in no block.
func (a *API) DropPool() { a.chain.dropPool() }

// SetGasTip lets blocks take only transactions that pay at least this tip (wei
// per gas). What pays less waits in the pool.
func (a *API) SetGasTip(wei hexutil.Big) error {
	tip := wei.ToInt()
	if tip.Sign() < 1 || tip.Cmp(big.NewInt(1e18)) > 0 {
		return fmt.Errorf("tip is %s wei: use 1 to 10^18", tip)
	}
	a.operator.tip.Store(tip.Int64())
	return a.chain.eth.Miner().SetGasTip(tip)
}

// RaiseBaseFee makes full blocks until the base fee is at least this much (wei
// per gas); each raises it by an eighth, and each empty one after it lowers it by
// as much. Whoever offered less than the base fee waits. Nothing of the operator's
// may be pending.
func (a *API) RaiseBaseFee(wei hexutil.Big) error {
	if most := big.NewInt(1e13); wei.ToInt().Cmp(most) > 0 {
		return fmt.Errorf("base fee is %s wei: use %s at most", wei.ToInt(), most)
	}
	a.operator.mu.Lock()
	defer a.operator.mu.Unlock()
	return a.chain.crowd(wei.ToInt(), a.operator.fill)
}

// Blacklist puts an address on the token's blacklist, or takes it off.
func (a *API) Blacklist(ctx context.Context, address common.Address, listed bool) error {
	data := a.operator.usdc.PackUnBlacklist(address)
	if listed {
		data = a.operator.usdc.PackBlacklist(address)
	}
	return a.administer(ctx, data)
}

// PauseToken pauses all transfers of the token, or resumes them.
func (a *API) PauseToken(ctx context.Context, paused bool) error {
	data := a.operator.usdc.PackUnpause()
	if paused {
		data = a.operator.usdc.PackPause()
	}
	return a.administer(ctx, data)
}

func (a *API) administer(ctx context.Context, data []byte) error {
	return a.operator.send(ctx, []call{{to: &addresses.usdc, data: data, gas: fundingGas}})
}

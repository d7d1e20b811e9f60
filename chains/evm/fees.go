package evm

import (
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/core/types"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// market is what the network asks for, in wei per gas.
type market struct {
	base *big.Int // of the newest block
	tip  *big.Int // suggested, at least the configured minimum
}

// fees is the price of a transaction, in wei per gas.
type fees struct {
	tip, cap *big.Int
	capped   bool // the market asks for more than the cap
}

// quote prices a transaction: the market's tip, and a cap that lasts while the
// base fee doubles (six full blocks in a row). Neither is below floor, whose
// tip is not above its cap, nor above most; a transaction priced at most waits
// in the pools until the market comes down. chains.ErrFeeCapped if most is
// below floor.
func (m market) quote(floor fees, most *big.Int) (fees, error) {
	if floor.cap.Cmp(most) > 0 {
		return fees{}, fmt.Errorf("%w: %s wei per gas are needed, %s allowed", chains.ErrFeeCapped, floor.cap, most)
	}
	tip := maxBig(m.tip, floor.tip)
	limit := new(big.Int).Add(new(big.Int).Lsh(m.base, 1), tip)
	limit = minBig(maxBig(limit, floor.cap), most)
	return fees{tip: minBig(tip, limit), cap: limit, capped: new(big.Int).Add(m.base, tip).Cmp(limit) > 0}, nil
}

// outbidding is the least price at which nodes take a transaction in place of
// others of its nonce: a tenth above each, in both figures. A single
// transaction needs the least tip that is ever paid.
func outbidding(replaced []*types.Transaction, minTip *big.Int) fees {
	floor := fees{tip: minTip, cap: minTip}
	for _, tx := range replaced {
		floor.tip = maxBig(floor.tip, tenthAbove(tx.GasTipCap()))
		floor.cap = maxBig(floor.cap, tenthAbove(tx.GasFeeCap()))
	}
	return floor
}

// tenthAbove is 1.1 times n, rounded up.
func tenthAbove(n *big.Int) *big.Int {
	up := new(big.Int).Mul(n, big.NewInt(11))
	return up.Add(up, big.NewInt(9)).Quo(up, big.NewInt(10))
}

// expected is what a payment that uses gas is going to cost now at a price, in
// wei.
func (m market) expected(f fees, gas uint64) *big.Int {
	return cost(minBig(new(big.Int).Add(m.base, m.tip), f.cap), gas)
}

// cost is what gas costs at a price per gas, in wei.
func cost(price *big.Int, gas uint64) *big.Int {
	return new(big.Int).Mul(price, new(big.Int).SetUint64(gas))
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) > 0 {
		return a
	}
	return b
}

func minBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// amount converts a figure of the chain. Nodes report at most 256 bits, and
// nothing below zero.
func amount(n *big.Int) payment.Amount {
	a, err := payment.ParseUnits(n.String())
	if err != nil {
		panic("evm: not a uint256: " + n.String())
	}
	return a
}

package evm

import (
	"math/big"

	"github.com/settlehq/settle/payment"
)

// fees are wei per gas.
type fees struct {
	base, tip, cap *big.Int
	capped         bool // the market asks for more than the configured maximum
}

// quote sets the price of a transaction: the suggested tip, but at least
// minTip, and a cap that lasts while the base fee doubles (six full blocks in
// a row). Neither is ever above maxFee; a transaction priced at the maximum
// waits in the pools until the market comes down.
func quote(base, suggestedTip, minTip, maxFee *big.Int) fees {
	f := fees{base: base, tip: maxBig(suggestedTip, minTip)}
	f.cap = new(big.Int).Add(new(big.Int).Lsh(base, 1), f.tip)
	if f.cap.Cmp(maxFee) > 0 {
		f.cap, f.capped = maxFee, new(big.Int).Add(base, f.tip).Cmp(maxFee) > 0
	}
	if f.tip.Cmp(f.cap) > 0 {
		f.tip = f.cap
	}
	return f
}

// expected is what a payment that uses gas is going to cost now, in wei.
func (f fees) expected(gas uint64) *big.Int {
	price := new(big.Int).Add(f.base, f.tip)
	if price.Cmp(f.cap) > 0 {
		price = f.cap
	}
	return new(big.Int).Mul(price, new(big.Int).SetUint64(gas))
}

// most is what a transaction with this gas limit can cost at worst, in wei.
func (f fees) most(gasLimit uint64) *big.Int {
	return new(big.Int).Mul(f.cap, new(big.Int).SetUint64(gasLimit))
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) > 0 {
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

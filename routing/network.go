package routing

import (
	"math/big"
	"time"

	"github.com/settlehq/settle/payment"
)

// Network is what is known of a chain when a route is chosen: the worker that
// watches the chain publishes it, SelectRoute and the quotes read it.
type Network struct {
	Chain          payment.Chain  `json:"chain"`
	CAIP2          string         `json:"caip2"`
	NativeAsset    string         `json:"native_asset"`
	NativeDecimals int            `json:"native_decimals"`
	NativePrice    payment.Amount `json:"native_price"` // asset base units per whole native coin, from configuration
	FeePerPayment  payment.Amount `json:"fee_per_payment"`
	Liquidity      payment.Amount `json:"liquidity"` // treasury balance less what live slots may still take, asset base units
	ETASeconds     int64          `json:"eta_seconds"`
	Head           uint64         `json:"head"`
	Finalized      uint64         `json:"finalized"`
	HeadTime       time.Time      `json:"head_time"`
	ObservedAt     time.Time      `json:"observed_at"`
	LatencyMillis  int64          `json:"latency_millis"`
	ErrorRate      int64          `json:"error_rate"` // of requests to the chain's nodes without answer, basis points
	Nodes          int            `json:"nodes"`
	HealthyNodes   int            `json:"healthy_nodes"`
}

// HeadAge is how old the newest block was when it was read; 0 if its clock is
// ahead of ours.
func (n Network) HeadAge() time.Duration { return max(0, n.ObservedAt.Sub(n.HeadTime)) }

// Fee is the expected network fee in base units of the payout asset, rounded
// up so that a bound on it holds.
func (n Network) Fee() payment.Amount {
	one := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n.NativeDecimals)), nil)
	fee, _ := new(big.Int).SetString(n.FeePerPayment.String(), 10)
	price, _ := new(big.Int).SetString(n.NativePrice.String(), 10)
	fee.Mul(fee, price).Add(fee, new(big.Int).Sub(one, big.NewInt(1))).Div(fee, one)
	out, err := payment.ParseUnits(fee.String())
	if err != nil { // beyond 2^256: nothing can afford it
		out, _ = payment.ParseUnits(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)).String())
	}
	return out
}

// Native converts asset base units into base units of a chain's coin, rounded
// down, at a price in asset base units per whole coin.
func Native(asset, price payment.Amount, decimals int) (payment.Amount, error) {
	coin, err := payment.ParseDecimal("1", decimals)
	if err != nil {
		return payment.Amount{}, err
	}
	return asset.MulDiv(coin, price)
}

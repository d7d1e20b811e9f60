package routing

import "github.com/settlehq/settle/payment"

// quoteSlack is the least that the network fee may exceed a quote by, in base
// units: 0.01 of an asset with 6 decimals.
var quoteSlack = payment.Units(10_000)

// QuotedMax is the most that the network fee of a quoted payment may be when
// its route is chosen: the quoted fee and a quarter of it, or quoteSlack if that
// is more. In base units.
func QuotedMax(fee payment.Amount) payment.Amount {
	slack, err := fee.MulDiv(payment.Units(1), payment.Units(4))
	if err != nil || slack.Cmp(quoteSlack) < 0 {
		slack = quoteSlack
	}
	bound, err := fee.Add(slack)
	if err != nil { // beyond 2^256, and so is every bound
		return fee
	}
	return bound
}

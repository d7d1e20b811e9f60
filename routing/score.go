package routing

import (
	"cmp"
	"slices"
	"time"

	"github.com/settlehq/settle/payment"
)

// MaxAge is how old a Network may be before its chain counts as unhealthy.
const MaxAge = 30 * time.Second

// Request is what the route must serve.
type Request struct {
	Amount       payment.Amount        `json:"amount"` // asset base units
	Asset        string                `json:"asset"`
	Priority     payment.Priority      `json:"priority"`
	MaxFee       *payment.Amount       `json:"max_fee,omitempty"` // asset base units
	Allowed      []payment.Chain       `json:"allowed,omitempty"` // no other chain is taken; empty: all may be
	Prefer       payment.Chain         `json:"prefer,omitempty"`  // taken if it qualifies, whatever the scores: it was quoted
	Destinations []payment.Destination `json:"destinations"`
	Avoid        []payment.Chain       `json:"avoid,omitempty"` // where an attempt has died; taken only if no other chain qualifies
}

// Disqualifier says why a candidate cannot be chosen.
type Disqualifier string

// Disqualifiers.
const (
	NotObserved           Disqualifier = "not_observed" // no worker has reported the chain lately
	InsufficientLiquidity Disqualifier = "insufficient_liquidity"
	FeeAboveMax           Disqualifier = "fee_above_max"
	ChainNotAllowed       Disqualifier = "chain_not_allowed" // the order excludes it
	FailedBefore          Disqualifier = "failed_before"     // an attempt has died there, and another chain qualifies
)

// Candidate is one destination with its marks.
type Candidate struct {
	Chain        payment.Chain  `json:"chain"`
	Address      string         `json:"address"`
	Fee          payment.Amount `json:"fee"` // asset base units
	ETASeconds   int64          `json:"eta_seconds"`
	CostScore    int64          `json:"cost_score"`   // basis points; the cheapest has 10000
	SpeedScore   int64          `json:"speed_score"`  // basis points; the fastest has 10000
	HealthScore  int64          `json:"health_score"` // basis points; by age of the observation and of the head, latency and error rate
	Score        int64          `json:"score"`        // basis points, weighted by the priority
	Disqualified []Disqualifier `json:"disqualified,omitempty"`
	Network      *Network       `json:"network,omitempty"`
}

// Decision is the outcome with everything it was made from.
type Decision struct {
	Request    Request     `json:"request"`
	DecidedAt  time.Time   `json:"decided_at"`
	Candidates []Candidate `json:"candidates"` // best first; disqualified ones last
}

// Chosen returns the best candidate; ok is false if none qualifies.
func (d Decision) Chosen() (c Candidate, ok bool) {
	if len(d.Candidates) == 0 || len(d.Candidates[0].Disqualified) > 0 {
		return Candidate{}, false
	}
	return d.Candidates[0], true
}

// weights in percent: cost, speed, health.
var weights = map[payment.Priority][3]int64{
	payment.Cheap:    {70, 20, 10},
	payment.Fast:     {20, 70, 10},
	payment.Reliable: {20, 20, 60},
}

// Score ranks the request's destinations at the time now.
func Score(req Request, networks map[payment.Chain]Network, now time.Time) Decision {
	d := Decision{Request: req, DecidedAt: now}
	for _, dest := range req.Destinations {
		d.Candidates = append(d.Candidates, examine(req, dest, networks, now))
	}
	avoid(d.Candidates, req.Avoid)
	mark(d.Candidates, req.Priority)
	slices.SortStableFunc(d.Candidates, func(a, b Candidate) int {
		return cmp.Or(
			cmp.Compare(min(len(a.Disqualified), 1), min(len(b.Disqualified), 1)),
			cmp.Compare(rank(a, req.Prefer), rank(b, req.Prefer)),
			cmp.Compare(b.Score, a.Score),
			cmp.Compare(a.Chain, b.Chain))
	})
	return d
}

// rank puts the preferred chain before all others.
func rank(c Candidate, prefer payment.Chain) int {
	if c.Chain == prefer {
		return 0
	}
	return 1
}

func examine(req Request, dest payment.Destination, networks map[payment.Chain]Network, now time.Time) Candidate {
	c := Candidate{Chain: dest.Chain, Address: dest.Address}
	if len(req.Allowed) > 0 && !slices.Contains(req.Allowed, dest.Chain) {
		c.Disqualified = append(c.Disqualified, ChainNotAllowed)
	}
	n, ok := networks[dest.Chain]
	if !ok || now.Sub(n.ObservedAt) > MaxAge {
		c.Disqualified = append(c.Disqualified, NotObserved)
	}
	if !ok {
		return c
	}
	c.Network, c.Fee, c.ETASeconds = &n, n.Fee(), n.ETASeconds
	c.HealthScore = health(n, now)
	if n.Liquidity.Cmp(req.Amount) < 0 {
		c.Disqualified = append(c.Disqualified, InsufficientLiquidity)
	}
	if req.MaxFee != nil && c.Fee.Cmp(*req.MaxFee) > 0 {
		c.Disqualified = append(c.Disqualified, FeeAboveMax)
	}
	return c
}

// avoid disqualifies the chains to avoid if that leaves another one.
func avoid(cs []Candidate, chains []payment.Chain) {
	avoided := func(c Candidate) bool { return slices.Contains(chains, c.Chain) }
	if !slices.ContainsFunc(cs, func(c Candidate) bool { return len(c.Disqualified) == 0 && !avoided(c) }) {
		return
	}
	for i := range cs {
		if avoided(cs[i]) {
			cs[i].Disqualified = append(cs[i].Disqualified, FailedBefore)
		}
	}
}

// health loses a basis point for each millisecond of latency above 100 and for
// each one of the nodes' error rate, and falls to zero as the observation grows
// to MaxAge, or the newest block's age to the time that finality takes.
func health(n Network, now time.Time) int64 {
	left := 10000 - 10000*now.Sub(n.ObservedAt).Milliseconds()/MaxAge.Milliseconds()
	if n.ETASeconds > 0 {
		left = min(left, 10000-10*n.HeadAge().Milliseconds()/n.ETASeconds)
	}
	return max(0, min(10000, left)-max(0, n.LatencyMillis-100)-n.ErrorRate)
}

// mark gives each candidate its share of the best value among the qualified.
func mark(cs []Candidate, priority payment.Priority) {
	w, known := weights[priority]
	if !known {
		w = weights[payment.Cheap]
	}
	var leastFee *payment.Amount
	var leastETA int64 = -1
	for i := range cs {
		if len(cs[i].Disqualified) > 0 {
			continue
		}
		if leastFee == nil || cs[i].Fee.Cmp(*leastFee) < 0 {
			leastFee = &cs[i].Fee
		}
		if leastETA < 0 || cs[i].ETASeconds < leastETA {
			leastETA = cs[i].ETASeconds
		}
	}
	if leastFee == nil {
		return
	}
	for i := range cs {
		c := &cs[i]
		c.CostScore, c.SpeedScore = 10000, 10000
		if share, err := payment.Units(10000).MulDiv(*leastFee, c.Fee); err == nil {
			bp, _ := share.Uint64()
			c.CostScore = int64(min(bp, 10000))
		}
		if c.ETASeconds > 0 {
			c.SpeedScore = min(10000, 10000*leastETA/c.ETASeconds)
		}
		c.Score = (w[0]*c.CostScore + w[1]*c.SpeedScore + w[2]*c.HealthScore) / 100
	}
}

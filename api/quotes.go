package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
)

func (s *Server) registerQuotes() {
	register(s, operation{
		method: http.MethodPost, path: "/v1/quotes", id: "create-quote", tag: "Routing", scope: IntentsRead,
		summary: "See what a payment would cost and which chain would be chosen",
		description: "The same decision that a payment makes when it is routed, as things stand now. It reserves nothing; " +
			"the network fee is ours and is never added to the amount.",
		errors: []int{http.StatusBadRequest},
	}, s.quote)
	register(s, operation{
		method: http.MethodGet, path: "/v1/chains", id: "list-chains", tag: "Routing",
		summary: "List the configured chains and their state",
	}, s.listChains)
}

// QuoteRequest asks about a payment.
type QuoteRequest struct{ OrderRequest }

// Quote is the decision that routing would make now.
type Quote struct {
	Object    string        `json:"object" enum:"quote"`
	Amount    string        `json:"amount" example:"12.500000"`
	Asset     string        `json:"asset" example:"USDC"`
	Chain     payment.Chain `json:"chain,omitempty" doc:"The chain that would be chosen; absent if none qualifies"`
	Options   []QuoteOption `json:"options" doc:"Best first; those that do not qualify last"`
	DecidedAt time.Time     `json:"decided_at"`
}

// QuoteOption is one destination with its marks.
type QuoteOption struct {
	payment.Destination
	Qualifies  bool       `json:"qualifies"`
	Problems   []Obstacle `json:"problems" doc:"Why it does not qualify"`
	Fees       []Fee      `json:"fees"`
	TotalFee   string     `json:"total_fee" doc:"Sum of the fees, in units of the asset" example:"0.021000"`
	ETASeconds int64      `json:"eta_seconds" doc:"From sending to finality, usually"`
	Score      Marks      `json:"score"`
}

// Obstacle is why a destination does not qualify.
type Obstacle struct {
	Code   routing.Disqualifier `json:"code" enum:"not_observed,insufficient_liquidity,fee_above_max,failed_before"`
	Detail string               `json:"detail"`
}

// Fee is one item of what a payment costs.
type Fee struct {
	Kind         string `json:"kind" enum:"network"`
	Amount       string `json:"amount" doc:"In units of the asset, rounded up" example:"0.021000"`
	Asset        string `json:"asset" example:"USDC"`
	NativeAmount string `json:"native_amount" doc:"In units of the chain's coin" example:"0.000007000000000000"`
	NativeAsset  string `json:"native_asset" example:"ETH"`
}

// Marks are basis points; 10000 is the best.
type Marks struct {
	Total  int64 `json:"total" doc:"Weighted by the priority"`
	Cost   int64 `json:"cost"`
	Speed  int64 `json:"speed"`
	Health int64 `json:"health"`
}

type quoteInput struct{ Body QuoteRequest }
type quoteOutput struct{ Body Quote }

func (s *Server) quote(ctx context.Context, in *quoteInput) (*quoteOutput, error) {
	o, errs := s.understand(in.Body.OrderRequest, caller(ctx).MaxAmount)
	if len(errs) > 0 {
		return nil, failFields(errs)
	}
	if err := s.verify(ctx, &o); err != nil {
		return nil, err
	}
	networks, err := s.networks(ctx)
	if err != nil {
		return nil, err
	}
	d := routing.Score(routing.Request{
		Amount: o.amount, Asset: o.asset.Code, Priority: in.Body.Priority, MaxFee: o.maxFee, Destinations: o.destinations,
	}, networks, s.now())
	return &quoteOutput{renderQuote(d, o.asset)}, nil
}

func renderQuote(d routing.Decision, asset payment.Asset) Quote {
	q := Quote{
		Object: "quote", Amount: d.Request.Amount.Decimal(asset.Decimals), Asset: asset.Code,
		Options: make([]QuoteOption, len(d.Candidates)), DecidedAt: d.DecidedAt.UTC(),
	}
	if c, ok := d.Chosen(); ok {
		q.Chain = c.Chain
	}
	for i, c := range d.Candidates {
		option := QuoteOption{
			Destination: payment.Destination{Chain: c.Chain, Address: c.Address},
			Qualifies:   len(c.Disqualified) == 0, Problems: []Obstacle{}, Fees: []Fee{},
			TotalFee: c.Fee.Decimal(asset.Decimals), ETASeconds: c.ETASeconds,
			Score: Marks{Total: c.Score, Cost: c.CostScore, Speed: c.SpeedScore, Health: c.HealthScore},
		}
		if n := c.Network; n != nil {
			option.Fees = append(option.Fees, Fee{
				Kind: "network", Amount: c.Fee.Decimal(asset.Decimals), Asset: asset.Code,
				NativeAmount: n.FeePerPayment.Decimal(n.NativeDecimals), NativeAsset: n.NativeAsset,
			})
		}
		for _, why := range c.Disqualified {
			option.Problems = append(option.Problems, Obstacle{why, explain(why)})
		}
		q.Options[i] = option
	}
	return q
}

func explain(d routing.Disqualifier) string {
	switch d {
	case routing.NotObserved:
		return "No worker has reported this chain within " + routing.MaxAge.String() + "."
	case routing.InsufficientLiquidity:
		return "The treasury on this chain does not hold enough right now."
	case routing.FailedBefore: // of payments under way; a quote has nothing to avoid
		return "An earlier attempt on this chain died, and another chain qualifies."
	case routing.FeeAboveMax:
		return "The network fee is above max_fee."
	}
	return ""
}

// networks reads what workers last published of each chain.
func (s *Server) networks(ctx context.Context) (map[payment.Chain]routing.Network, error) {
	latest, err := s.store.LatestConditions(ctx)
	if err != nil {
		return nil, err
	}
	networks := make(map[payment.Chain]routing.Network, len(latest))
	for chain, raw := range latest {
		var n routing.Network
		if err := json.Unmarshal(raw, &n); err != nil {
			return nil, fmt.Errorf("conditions of %s: %w", chain, err)
		}
		networks[chain] = n
	}
	return networks, nil
}

// ChainState is a configured chain as workers last saw it.
type ChainState struct {
	Object      string        `json:"object" enum:"chain"`
	Name        payment.Chain `json:"name" example:"ethereum"`
	CAIP2       string        `json:"caip2" example:"eip155:1"`
	Token       string        `json:"token" doc:"Contract or mint of the payout token"`
	NativeAsset string        `json:"native_asset" example:"ETH"`
	Explorer    string        `json:"explorer_tx_url,omitempty" doc:"With %s for the transaction hash"`
	Fresh       bool          `json:"fresh" doc:"Workers see the chain now, and payments can be routed to it"`
	ObservedAt  *time.Time    `json:"observed_at,omitempty"`
	Head        uint64        `json:"head,omitempty" doc:"Newest block number, or slot"`
	Finalized   uint64        `json:"finalized,omitempty" doc:"Newest finalized block number, or slot"`
	ETASeconds  int64         `json:"eta_seconds,omitempty" doc:"From sending to finality, usually"`

	HeadAgeSeconds float64 `json:"head_age_seconds,omitempty" doc:"Age of the newest block when it was read"`
	LatencyMillis  int64   `json:"latency_millis,omitempty" doc:"Of the last look at the chain"`
	ErrorRate      float64 `json:"error_rate,omitempty" doc:"Share of requests to its nodes without an answer, lately" minimum:"0" maximum:"1"`
	Nodes          int     `json:"nodes,omitempty" doc:"Nodes that are asked about the chain"`
	HealthyNodes   int     `json:"healthy_nodes,omitempty" doc:"Those that answer and are at the head"`
}

// ChainList is all configured chains.
type ChainList struct {
	Page
	Data []ChainState `json:"data"`
}

type chainsOutput struct{ Body ChainList }

func (s *Server) listChains(ctx context.Context, _ *struct{}) (*chainsOutput, error) {
	networks, err := s.networks(ctx)
	if err != nil {
		return nil, err
	}
	out := ChainList{Page: Page{Object: "list"}, Data: []ChainState{}}
	for _, c := range s.destinations.Chains() {
		state := ChainState{Object: "chain", Name: c.Name, CAIP2: c.CAIP2, Token: c.Token, NativeAsset: c.NativeAsset, Explorer: c.ExplorerTxURL}
		if n, ok := networks[c.Name]; ok {
			at := n.ObservedAt.UTC()
			state.Fresh, state.ObservedAt = s.now().Sub(n.ObservedAt) <= routing.MaxAge, &at
			state.Head, state.Finalized, state.ETASeconds = n.Head, n.Finalized, n.ETASeconds
			state.HeadAgeSeconds, state.LatencyMillis, state.ErrorRate = n.HeadAge().Seconds(), n.LatencyMillis, float64(n.ErrorRate)/10000
			state.Nodes, state.HealthyNodes = n.Nodes, n.HealthyNodes
		}
		out.Data = append(out.Data, state)
	}
	return &chainsOutput{out}, nil
}

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

func (s *Server) registerChains() {
	register(s.api, operation{
		method: http.MethodGet, path: "/v1/chains", id: "list-chains", tag: "Routing",
		summary: "List the configured chains and their state",
	}, s.listChains)
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

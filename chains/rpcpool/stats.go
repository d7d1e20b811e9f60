package rpcpool

import "maps"

// Stats is what is known about a node at a moment.
type Stats struct {
	Name          string            `json:"name"`
	State         State             `json:"state"`
	Client        string            `json:"client,omitempty"` // software, as it names itself
	Height        uint64            `json:"height"`           // newest block or slot that it named
	Lag           uint64            `json:"lag"`              // blocks or slots behind the others
	LatencyMillis float64           `json:"latency_millis"`   // moving average
	ErrorRate     float64           `json:"error_rate"`       // moving average of requests without answer, 0 to 1
	Calls         uint64            `json:"calls"`            // since the start
	Errors        uint64            `json:"errors"`           // of these
	Outvoted      bool              `json:"outvoted,omitempty"`
	Unclassified  map[string]uint64 `json:"rpc_error_unclassified,omitempty"` // errors that no table knows, by method
}

// Stats describes all nodes, in the order of the configuration.
func (p *Pool) Stats() []Stats {
	now := p.cfg.Now()
	all, reference := p.survey(now)
	out := make([]Stats, len(all))
	for i, h := range all {
		n := p.nodes[i]
		n.mu.Lock()
		out[i] = Stats{
			Name: n.name, Client: n.client, State: h.state(reference, p.tolerance(), now), Height: h.height,
			LatencyMillis: float64(h.latency.Microseconds()) / 1000, ErrorRate: h.errorRate,
			Calls: n.calls, Errors: n.errors, Outvoted: now.Before(h.outvotedUntil), Unclassified: maps.Clone(n.unknown),
		}
		n.mu.Unlock()
		if h.height < reference.is {
			out[i].Lag = reference.is - h.height
		}
	}
	return out
}

package supervisor

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/settlehq/settle/sandbox/ethereum"
	"github.com/settlehq/settle/sandbox/postgres"
	"github.com/settlehq/settle/sandbox/redis"
	"github.com/settlehq/settle/sandbox/solana"
	"github.com/settlehq/settle/sandbox/temporal"
)

// Namespace is the Temporal namespace of every sandbox.
const Namespace = "settle"

// spec is what the supervisor knows of a part.
type spec struct {
	needs  []string      // parts that must serve before it starts, and stop after it
	ports  []string      // names of its ports; users see those without an underscore as flags
	grace  time.Duration // to stop by itself; longer than the sum of its own patience
	config func(s *Sandbox) (any, error)
}

var specs = map[string]spec{
	"postgres": {
		ports: []string{"postgres"},
		grace: 20 * time.Second,
		config: func(s *Sandbox) (any, error) {
			cfg := postgres.Config{Dir: s.path("postgres"), Port: s.port("postgres"), Instance: s.dir.state.Instance}
			if s.cfg.Temporary {
				cfg.RemoveDir = s.dir.path
			}
			return cfg, nil
		},
	},
	"temporal": {
		needs: []string{"postgres"},
		ports: []string{"temporal", "ui", "temporal_history", "temporal_matching", "temporal_worker"},
		grace: 10 * time.Second,
		config: func(s *Sandbox) (any, error) {
			var pg postgres.Ready
			if err := json.Unmarshal(s.parts["postgres"].answering().ready, &pg); err != nil {
				return nil, fmt.Errorf("ready line of postgres: %w", err)
			}
			return temporal.Config{
				PostgresURL: pg.URL, DB: pg.TemporalDB, VisibilityDB: pg.VisibilityDB,
				Namespace: Namespace,
				Frontend:  s.port("temporal"), UI: s.port("ui"), History: s.port("temporal_history"),
				Matching: s.port("temporal_matching"), Worker: s.port("temporal_worker"),
				MatchingPartitions: s.cfg.MatchingPartitions,
			}, nil
		},
	},
	"redis": {
		ports: []string{"redis"},
		grace: 8 * time.Second,
		config: func(s *Sandbox) (any, error) {
			return redis.Config{Dir: s.lasting("redis"), Port: s.port("redis")}, nil
		},
	},
	"ethereum": {
		ports: []string{"ethereum"},
		grace: 10 * time.Second,
		config: func(s *Sandbox) (any, error) {
			return ethereum.Config{Dir: s.lasting("ethereum"), Port: s.port("ethereum"),
				BlockTime: s.cfg.EthereumBlockTime, Finality: s.cfg.EthereumFinality}, nil
		},
	},
	"solana": {
		ports: []string{"solana"},
		grace: 10 * time.Second,
		config: func(s *Sandbox) (any, error) {
			return solana.Config{Dir: s.lasting("solana"), Port: s.port("solana"), SlotTime: s.cfg.SolanaSlotTime}, nil
		},
	},
}

// PartNames lists every part there is, in the order in which people read them.
func PartNames() []string { return []string{"postgres", "temporal", "redis", "ethereum", "solana"} }

func (s *Sandbox) port(name string) int { return s.dir.state.Ports[name] }

func (s *Sandbox) path(name string) string { return filepath.Join(s.dir.path, name) }

// lasting is a part's directory if its data shall survive the sandbox, else "", by
// which the part knows that memory will do.
func (s *Sandbox) lasting(name string) string {
	if s.cfg.Temporary {
		return ""
	}
	return s.path(name)
}

package config

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/settlehq/settle/payment"
)

// Environment says how strict start-up is.
type Environment string

// Environments. Production refuses test-only relaxations.
const (
	Production  Environment = "production"
	Development Environment = "development"
	Test        Environment = "test"
)

// Component is a part of Settle that a process runs. It decides which settings
// are needed.
type Component string

// Components.
const (
	API     Component = "api"
	Worker  Component = "worker"
	Migrate Component = "migrate"
	Check   Component = "check"
	Admin   Component = "admin" // operator commands: merchants, keys, addresses, webhooks, books
)

// Config is the settings of one process. The tag env names the variable,
// needed the components that cannot start without it, used those that read it
// if it is there (no tag: all of them), and secret keeps its value out of
// every message.
type Config struct {
	Environment Environment `env:"SETTLE_ENV" envDefault:"production"`
	LogLevel    string      `env:"SETTLE_LOG_LEVEL" envDefault:"info"`
	LogFormat   string      `env:"SETTLE_LOG_FORMAT" envDefault:"json"`

	DatabaseURL string `env:"SETTLE_DATABASE_URL" needed:"api,worker,migrate,check,admin" secret:"true"`
	RedisURL    string `env:"SETTLE_REDIS_URL" used:"api,worker" secret:"true"` // optional; without it there are no rate limits

	TemporalAddress   string `env:"SETTLE_TEMPORAL_ADDRESS" needed:"api,worker" used:"admin"`
	TemporalNamespace string `env:"SETTLE_TEMPORAL_NAMESPACE" envDefault:"default" used:"api,worker,admin"`
	TaskQueue         string `env:"SETTLE_TASK_QUEUE" envDefault:"settle" used:"api,worker,admin"`

	APIAddress   string `env:"SETTLE_API_ADDRESS" envDefault:"127.0.0.1:8080" used:"api"`
	AdminAddress string `env:"SETTLE_ADMIN_ADDRESS" used:"api"` // empty: operators have no API
	PublicURL    string `env:"SETTLE_PUBLIC_URL" used:"api"`    // without trailing slash; Load fills in http://APIAddress

	// Requests per second and API key, and as many at once; twice as many for all
	// keys of a merchant and mode together; 0: no limit. Redis counts them.
	RateLimit int `env:"SETTLE_RATE_LIMIT" envDefault:"100" used:"api"`

	// Accepted payments that may wait for the first step of their workflow before
	// new ones are refused and batches wait; 0: no bound.
	MaxBacklog int `env:"SETTLE_MAX_BACKLOG" envDefault:"10000" used:"api,worker"`

	BatchWindow int `env:"SETTLE_BATCH_WINDOW" envDefault:"500" used:"worker"` // payments of a batch that may be open at once

	MaxStreams int `env:"SETTLE_MAX_STREAMS" envDefault:"1000" used:"api"` // open at once, per process

	ChainsFile string `env:"SETTLE_CHAINS_FILE" needed:"api,worker,check" used:"admin"`
	KeysFile   string `env:"SETTLE_KEYS_FILE" needed:"worker" used:"admin"`

	// The first key of each list is the current one; the others still verify.
	APIKeyPeppers Keyring `env:"SETTLE_API_KEY_PEPPERS" needed:"api" used:"admin" secret:"true"`     // 32 bytes or more each
	WebhookKeys   Keyring `env:"SETTLE_WEBHOOK_KEYS" needed:"api,worker" used:"admin" secret:"true"` // 32 bytes each, AES-256-GCM

	// Networks that webhooks may reach although they are not public.
	WebhookAllowCIDRs []netip.Prefix `env:"SETTLE_WEBHOOK_ALLOW_CIDRS" used:"api,worker,admin"`

	WorkerActivities      int           `env:"SETTLE_WORKER_ACTIVITIES" envDefault:"1000" used:"worker"`      // at once, per worker
	WorkerLocalActivities int           `env:"SETTLE_WORKER_LOCAL_ACTIVITIES" envDefault:"64" used:"worker"`  // at once, per worker
	WorkerWorkflowTasks   int           `env:"SETTLE_WORKER_WORKFLOW_TASKS" envDefault:"64" used:"worker"`    // at once, per worker
	WorkerPollers         int           `env:"SETTLE_WORKER_POLLERS" envDefault:"5" used:"worker"`            // per task queue and kind
	UpkeepEvery           time.Duration `env:"SETTLE_UPKEEP_EVERY" envDefault:"15s" used:"worker"`            // between two rounds over what lives on the chains
	StalledAfter          time.Duration `env:"SETTLE_STALLED_AFTER" envDefault:"30m" used:"worker"`           // without a block, before a person is asked
	WorkerStopTimeout     time.Duration `env:"SETTLE_WORKER_STOP_TIMEOUT" envDefault:"20s" used:"worker,api"` // for a graceful stop

	// Chains is the content of ChainsFile.
	Chains []Chain
}

// Chain is one entry of the chains file. Raw is the whole entry, which the
// package of its family understands.
type Chain struct {
	Name   payment.Chain
	Family string // "evm" or "solana"
	Raw    json.RawMessage
}

// NamedKey is a secret with the id that is stored beside what it protects, so
// that keys can be rotated.
type NamedKey struct {
	ID  string
	Key []byte
}

// Keyring is a list of keys, the current one first.
type Keyring []NamedKey

// Find returns the key with an id.
func (k Keyring) Find(id string) ([]byte, bool) {
	for _, n := range k {
		if n.ID == id {
			return n.Key, true
		}
	}
	return nil, false
}

// String hides the keys, also from %v and from loggers.
func (k Keyring) String() string {
	s := "keyring("
	for i, n := range k {
		if i > 0 {
			s += ", "
		}
		s += n.ID
	}
	return s + ")"
}

// Current returns the key that is used for what is new. It panics on an empty
// keyring, which Load does not let through where one is needed.
func (k Keyring) Current() NamedKey { return k[0] }

// Map returns the keys by id.
func (k Keyring) Map() map[string][]byte {
	m := make(map[string][]byte, len(k))
	for _, n := range k {
		m[n.ID] = n.Key
	}
	return m
}

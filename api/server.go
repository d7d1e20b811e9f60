package api

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// Destinations knows the configured chains and what may be paid on them.
type Destinations interface {
	// CheckDestination returns the canonical form of a payout address. A
	// definite no is a *payment.AddressError; any other error means that it
	// could not be found out.
	CheckDestination(ctx context.Context, chain payment.Chain, address string) (canonical string, err error)
	// InspectAddress tells what is known about an address on a chain; what the
	// chain does not answer is unknown in the facts.
	InspectAddress(ctx context.Context, chain payment.Chain, address string) payment.AddressFacts
	// ReadAddress is CheckDestination as far as nobody needs to be asked.
	ReadAddress(chain payment.Chain, address string) (canonical string, err error)
	// Chains lists the configured chains; the answer never changes.
	Chains() []ChainInfo
}

// ChainInfo describes a configured chain to merchants.
type ChainInfo struct {
	Name           payment.Chain
	CAIP2          string // e.g. "eip155:1"
	Token          string // contract or mint of the payout token
	NativeAsset    string // what fees are paid in
	NativeDecimals int
	ExplorerTxURL  string // with %s for the hash; may be empty
}

// Deps is what a Server works with. Everything down to Guard is required.
type Deps struct {
	Store        *store.Store
	Temporal     client.Client
	TaskQueue    string
	Destinations Destinations
	Log          *zap.Logger
	Peppers      config.Keyring // of API keys, the current one first
	PublicURL    string         // without trailing slash; error documents link to it
	Sealer       *webhooks.Sealer
	Guard        webhooks.Guard // which URLs may be webhook endpoints
	// KeyUsed notes that an API key was used, at most once a minute per key
	// and process, in the background. Default: not noted.
	KeyUsed func(ctx context.Context, keyID string) error
	// Sponsor checks payers' authorizations. Default: none is submitted.
	Sponsor Sponsor
	// Redis counts requests, see OpenRedis. Default: there are no rate limits.
	Redis redis.UniversalClient
	// RateLimit is how many requests per second an API key may make, as many at
	// once, and the keys of a merchant twice as many; default: no limit.
	RateLimit int
	// MaxBacklog is how many accepted payments may wait for the first step of
	// their workflow before new ones are refused; default: no bound.
	MaxBacklog int
	// MaxStreams is how many streams this process serves at once; default 1000.
	MaxStreams int
	// Now is the clock for deadlines and caches; default time.Now. Rows get
	// the database's time.
	Now func() time.Time
}

// withDefaults checks that what both APIs need is there.
func (d Deps) withDefaults() (Deps, error) {
	if d.Store == nil || d.Log == nil || len(d.Peppers) == 0 {
		return d, errors.New("api: Store, Log and Peppers are required")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	return d, nil
}

// Server answers merchants over HTTP. It is an http.Handler, and Run serves it
// together with its Relay.
type Server struct {
	*surface
	store        *store.Store
	temporal     client.Client
	destinations Destinations
	sponsors     Sponsor
	chains       map[string]ChainInfo // by name and by CAIP-2 id
	sealer       *webhooks.Sealer
	guard        webhooks.Guard
	now          func() time.Time

	backlog   *backlog
	relay     *Relay
	scheduler *scheduler
	streams   *streams
}

// New builds the server. It opens nothing and asks nobody.
func New(d Deps) (*Server, error) {
	d, err := d.withDefaults()
	if err != nil {
		return nil, err
	}
	if d.Temporal == nil || d.TaskQueue == "" || d.Destinations == nil || d.Sealer == nil {
		return nil, errors.New("api: Temporal, TaskQueue, Destinations and Sealer are required")
	}
	shared, err := newSurface(d, aboutServer, payment.Test, payment.Live)
	if err != nil {
		return nil, err
	}
	s := &Server{
		surface: shared,
		store:   d.Store, temporal: d.Temporal, destinations: d.Destinations, sponsors: d.Sponsor, chains: make(map[string]ChainInfo),
		sealer: d.Sealer, guard: d.Guard, now: d.Now,
		backlog:   &backlog{store: d.Store, max: d.MaxBacklog, now: d.Now},
		relay:     NewRelay(d.Store, d.Temporal, d.TaskQueue, d.Log),
		scheduler: &scheduler{store: d.Store, temporal: d.Temporal, taskQueue: d.TaskQueue, now: d.Now},
		streams:   newStreams(d.Store, d.MaxStreams, d.Log),
	}
	for _, c := range d.Destinations.Chains() {
		s.chains[string(c.Name)], s.chains[c.CAIP2] = c, c
	}
	return s, s.route()
}

// route registers every operation.
func (s *Server) route() error {
	s.registerIntents()
	s.registerSponsored()
	s.registerEvents()
	s.registerStreams()
	s.registerBatches()
	s.registerQuotes()
	s.registerChains()
	s.registerAddresses()
	s.registerSchedules()
	s.registerAccount()
	s.registerWebhooks()
	s.registerHealth()
	s.registerReady()
	return s.registerDocs(s.publicURL)
}

// Relay is the relay that this server hands accepted intents to. Run runs it;
// who serves the handler in another way must run it too.
func (s *Server) Relay() *Relay { return s.relay }

// Run serves on the listener, runs the relay and hears of changes to keys until
// ctx ends, then ends streams and lets requests under way finish for at most
// grace. It returns nil after a clean stop.
func (s *Server) Run(ctx context.Context, listener net.Listener, grace time.Duration) error {
	return s.run(ctx, listener, grace, s.relay.Run, s.streams.run, func(ctx context.Context) error {
		sweep(ctx, s.log, s.scheduler.Sweep)
		return nil
	})
}

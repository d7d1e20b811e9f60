package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// Limits of a request. Each bounds what one client can cost us.
const (
	maxBodyBytes      = 64 << 10
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	requestTimeout    = 20 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
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

// Server answers HTTP. It is an http.Handler, and Run serves it together with
// its Relay.
type Server struct {
	store        *store.Store
	temporal     client.Client
	destinations Destinations
	sponsors     Sponsor
	chains       map[string]ChainInfo // by name and by CAIP-2 id
	log          *zap.Logger
	publicURL    string
	sealer       *webhooks.Sealer
	guard        webhooks.Guard
	now          func() time.Time

	keys      *keyring
	limiter   *limiter
	backlog   *backlog
	relay     *Relay
	scheduler *scheduler
	streams   *streams
	engine    *gin.Engine
	api       huma.API
	spec      spec
}

// New builds the server. It opens nothing and asks nobody.
func New(d Deps) (*Server, error) {
	switch {
	case d.Store == nil, d.Temporal == nil, d.Destinations == nil, d.Log == nil, d.Sealer == nil:
		return nil, errors.New("api: Store, Temporal, Destinations, Log and Sealer are required")
	case len(d.Peppers) == 0 || d.TaskQueue == "":
		return nil, errors.New("api: Peppers and TaskQueue are required")
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	s := &Server{
		store: d.Store, temporal: d.Temporal, destinations: d.Destinations, sponsors: d.Sponsor, chains: make(map[string]ChainInfo),
		log: d.Log, publicURL: strings.TrimRight(d.PublicURL, "/"), sealer: d.Sealer, guard: d.Guard, now: d.Now,
		keys:      &keyring{store: d.Store, peppers: d.Peppers, now: d.Now, note: d.KeyUsed, log: d.Log, entries: make(map[string]*keyEntry)},
		limiter:   newLimiter(d.Redis, d.RateLimit, d.Now, d.Log),
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
	gin.SetMode(gin.ReleaseMode)
	s.engine = gin.New()
	s.engine.HandleMethodNotAllowed = true
	s.engine.RedirectTrailingSlash = false
	s.engine.RedirectFixedPath = false
	if err := s.engine.SetTrustedProxies(nil); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	s.engine.Use(s.observe)
	s.engine.NoRoute(func(c *gin.Context) { s.reject(c, fail(RouteNotFound, "")) })
	s.engine.NoMethod(func(c *gin.Context) { s.reject(c, fail(MethodNotAllowed, "")) })

	s.api = humagin.New(s.engine, s.humaConfig())
	s.api.UseMiddleware(s.authenticate, s.limit)
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
	return s.registerDocs()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// Relay is the relay that this server hands accepted intents to. Run runs it;
// who serves the handler in another way must run it too.
func (s *Server) Relay() *Relay { return s.relay }

// Run serves on the listener, runs the relay and hears of changes to keys until
// ctx ends, then ends streams and lets requests under way finish for at most
// grace. It returns nil after a clean stop.
func (s *Server) Run(ctx context.Context, listener net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(s.log.Named("http")),
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			return fmt.Errorf("stop serving: %w", err)
		}
		return nil
	})
	group.Go(func() error { return s.relay.Run(ctx) })
	group.Go(func() error {
		sweep(ctx, s.log, s.scheduler.Sweep)
		return nil
	})
	group.Go(func() error {
		s.keys.listen(ctx)
		return nil
	})
	group.Go(func() error { return s.streams.run(ctx) })
	return group.Wait()
}

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
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/payment"
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

// surface is what the merchants' API and the operators' have in common: how
// requests come in, who may ask, how answers look, and the document about it all.
type surface struct {
	log       *zap.Logger
	publicURL string // without trailing slash; error documents link to it
	keys      *keyring
	limiter   *limiter
	engine    *gin.Engine
	api       huma.API
	spec      spec
}

// newSurface makes a surface without operations, for keys of the modes.
func newSurface(d Deps, a about, modes ...payment.Mode) (*surface, error) {
	s := &surface{
		log: d.Log, publicURL: strings.TrimRight(d.PublicURL, "/"),
		keys:    &keyring{store: d.Store, peppers: d.Peppers, modes: modes, now: d.Now, note: d.KeyUsed, log: d.Log, entries: make(map[string]*keyEntry)},
		limiter: newLimiter(d.Redis, d.RateLimit, d.Now, d.Log),
	}
	gin.SetMode(gin.ReleaseMode)
	s.engine = gin.New()
	s.engine.HandleMethodNotAllowed = true
	s.engine.RedirectTrailingSlash = false
	s.engine.RedirectFixedPath = false
	if err := s.engine.SetTrustedProxies(nil); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	s.engine.Use(s.observe)
	s.engine.NoRoute(func(c *gin.Context) { s.reject(c, fail(RouteNotFound, "")) })
	s.engine.NoMethod(func(c *gin.Context) { s.reject(c, fail(MethodNotAllowed, "")) })

	s.api = humagin.New(s.engine, s.humaConfig(a))
	s.api.UseMiddleware(s.authenticate, s.limit)
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *surface) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.engine.ServeHTTP(w, r) }

// run serves on the listener and hears of changes to keys until ctx ends, then
// lets requests under way finish for at most grace. The others run beside it. It
// returns nil after a clean stop.
func (s *surface) run(ctx context.Context, listener net.Listener, grace time.Duration, others ...func(context.Context) error) error {
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
	group.Go(func() error {
		s.keys.listen(ctx)
		return nil
	})
	for _, other := range others {
		group.Go(func() error { return other(ctx) })
	}
	return group.Wait()
}

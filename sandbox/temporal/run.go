package temporal

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/headers"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
)

const (
	loopback     = "127.0.0.1"
	startTimeout = 90 * time.Second
)

// Config tells the part where to listen and which databases to use.
type Config struct {
	PostgresURL  string `json:"postgres_url"`
	DB           string `json:"db"`            // created if absent
	VisibilityDB string `json:"visibility_db"` // created if absent
	Namespace    string `json:"namespace"`

	// Ports on 127.0.0.1. Clients use Frontend and UI.
	Frontend int `json:"frontend"`
	History  int `json:"history"`
	Matching int `json:"matching"`
	Worker   int `json:"worker"`
	UI       int `json:"ui"`

	// MatchingPartitions is how many partitions each task queue has, 0 for the
	// server's default (4). One saves a small machine the forwarding between them.
	MatchingPartitions int `json:"matching_partitions"`
}

// Ready is where the server answers.
type Ready struct {
	Address   string `json:"address"` // gRPC frontend, host:port
	Namespace string `json:"namespace"`
	UIURL     string `json:"ui_url"`
	Detail    string `json:"detail"`
}

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }

// Run serves until ctx ends.
func Run(ctx context.Context, cfg Config, ready func(Ready)) error {
	// Its heap is small and its garbage much: collecting a quarter as often gives
	// a tenth more workflows per second for some tens of megabytes.
	debug.SetGCPercent(400)
	logger := log.NewZapLogger(log.BuildZapLogger(log.Config{Stdout: false, Level: "error"}))
	stores, err := newStores(cfg)
	if err != nil {
		return err
	}
	if err := prepareSchema(stores, logger); err != nil {
		return fmt.Errorf("prepare Temporal's databases: %w", err)
	}
	conf, hosts := serverConfig(cfg, stores)
	authorizer, err := authorization.GetAuthorizerFromConfig(&conf.Global.Authorization)
	if err != nil {
		return err
	}
	srv, err := temporal.NewServer(
		temporal.WithConfig(conf),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts),
		temporal.WithLogger(logger),
		temporal.WithAuthorizer(authorizer),
		temporal.WithDynamicConfigClient(dynamicConfig(cfg)),
	)
	if err != nil {
		return fmt.Errorf("set up the server: %w", err)
	}
	if err := srv.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	defer func() { _ = srv.Stop() }()
	ui := startUI(cfg)
	defer ui.Stop()

	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := prepareNamespace(startCtx, cfg); err != nil {
		return err
	}
	uiURL := "http://" + address(cfg.UI)
	if err := awaitHTTP(startCtx, uiURL); err != nil {
		return fmt.Errorf("web UI: %w", err)
	}
	ready(Ready{
		Address:   address(cfg.Frontend),
		Namespace: cfg.Namespace,
		UIURL:     uiURL,
		Detail:    fmt.Sprintf("Temporal %s (embedded), %d history shards", headers.ServerVersion, NumHistoryShards),
	})
	<-ctx.Done()
	return nil
}

func startUI(cfg Config) *uiserver.Server {
	ui := uiserver.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		Host:                loopback,
		Port:                cfg.UI,
		TemporalGRPCAddress: address(cfg.Frontend),
		DefaultNamespace:    cfg.Namespace,
		EnableUI:            true,
		HideLogs:            true,
		DisableNewsFetch:    true,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP on loopback
	}))
	// Start ends the process itself if it can't listen; awaitHTTP covers the rest.
	go func() { _ = ui.Start() }()
	return ui
}

// awaitHTTP waits until url answers with anything but a server error.
func awaitHTTP(ctx context.Context, url string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < http.StatusInternalServerError {
				return nil
			}
			err = fmt.Errorf("GET %s: %s", url, resp.Status)
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

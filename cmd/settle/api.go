package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
)

func apiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "api",
		Short: "Serve the HTTP API",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, err := open(ctx, config.API)
			if err != nil {
				return err
			}
			defer p.close()
			nets, err := p.networks(ctx, nil)
			if err != nil {
				return err
			}
			sealer, err := p.sealer()
			if err != nil {
				return err
			}
			temporal, err := p.temporal()
			if err != nil {
				return err
			}
			defer temporal.Close()
			deps := api.Deps{Store: p.store, Temporal: temporal, TaskQueue: p.config.TaskQueue, Destinations: directory(nets), Sponsor: directory(nets),
				Log: p.log, Peppers: p.config.APIKeyPeppers, PublicURL: p.config.PublicURL, Sealer: sealer, Guard: p.guard(),
				KeyUsed: p.store.NoteKeyUse, RateLimit: p.config.RateLimit, MaxBacklog: p.config.MaxBacklog, MaxStreams: p.config.MaxStreams}
			if p.config.RedisURL == "" {
				p.log.Info("rate limits are off: SETTLE_REDIS_URL is not set")
			} else {
				client, err := api.OpenRedis(p.config.RedisURL)
				if err != nil {
					return fmt.Errorf("SETTLE_REDIS_URL: %w", err)
				}
				defer func() { _ = client.Close() }() // nothing of ours is lost with it
				deps.Redis = client
			}
			return p.serve(ctx, deps)
		},
	}
}

// serve answers merchants, and operators if they have an address, until ctx ends.
func (p *process) serve(ctx context.Context, deps api.Deps) error {
	server, err := api.New(deps)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	listen := func(name, setting, address string, run func(context.Context, net.Listener, time.Duration) error) {
		group.Go(func() error {
			listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
			if err != nil {
				return fmt.Errorf("%s: %w", setting, err)
			}
			p.log.Info(name+" ready", zap.String("address", listener.Addr().String()))
			return run(ctx, listener, p.config.WorkerStopTimeout)
		})
	}
	if p.config.AdminAddress != "" {
		admin, err := api.NewAdmin(deps)
		if err != nil {
			return err
		}
		listen("admin api", "SETTLE_ADMIN_ADDRESS", p.config.AdminAddress, admin.Run)
	}
	listen("api", "SETTLE_API_ADDRESS", p.config.APIAddress, server.Run)
	return group.Wait()
}

// directory is the API's view of the configured chains.
type directory []network

// CheckDestination asks the chain.
func (d directory) CheckDestination(ctx context.Context, name payment.Chain, address string) (string, error) {
	for _, n := range d {
		if n.chain.Info().Name == name {
			return n.chain.CheckDestination(ctx, address)
		}
	}
	return "", fmt.Errorf("chain %q: %w", name, chains.ErrUnknown)
}

// Admit asks the chain, which thinks of fees in its own coin.
func (d directory) Admit(ctx context.Context, name payment.Chain, a payment.Authorization, to string, amount, maxFee payment.Amount) (payment.Authorization, error) {
	for _, n := range d {
		sponsor, ok := n.chain.(chains.Sponsor)
		if n.chain.Info().Name != name || !ok {
			continue
		}
		most, err := routing.Native(maxFee, n.price, n.chain.Info().NativeDecimals)
		if err != nil {
			return a, err
		}
		return sponsor.Admit(ctx, a, to, amount, most)
	}
	return a, &payment.AuthorizationError{Code: payment.SponsoringNotOffered, Field: "chain", Detail: fmt.Sprintf("%s submits no authorizations of payers", name)}
}

// InspectAddress asks the chain.
func (d directory) InspectAddress(ctx context.Context, name payment.Chain, address string) payment.AddressFacts {
	for _, n := range d {
		if n.chain.Info().Name == name {
			return n.chain.InspectAddress(ctx, address)
		}
	}
	return payment.AddressFacts{Unchecked: true}
}

// ReadAddress asks nobody.
func (d directory) ReadAddress(name payment.Chain, address string) (string, error) {
	for _, n := range d {
		if n.chain.Info().Name == name {
			return n.chain.ReadAddress(address)
		}
	}
	return "", fmt.Errorf("chain %q: %w", name, chains.ErrUnknown)
}

// Chains lists what is configured.
func (d directory) Chains() []api.ChainInfo {
	out := make([]api.ChainInfo, len(d))
	for i, n := range d {
		c := n.chain.Info()
		out[i] = api.ChainInfo{Name: c.Name, CAIP2: c.CAIP2, Token: c.Token, NativeAsset: c.NativeAsset,
			NativeDecimals: c.NativeDecimals, ExplorerTxURL: c.ExplorerTxURL}
	}
	return out
}

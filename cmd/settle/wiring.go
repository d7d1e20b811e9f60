package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
)

// process is what every long-running command has.
type process struct {
	config config.Config
	log    *zap.Logger
	store  *store.Store
}

// open loads the settings that the component needs and connects to Postgres.
// The caller closes.
func open(ctx context.Context, c config.Component) (*process, error) {
	cfg, err := config.Load(c)
	if err != nil {
		return nil, err
	}
	log, err := telemetry.NewLogger(cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
	return &process{config: cfg, log: log.With(zap.String("component", string(c))), store: st}, nil
}

func (p *process) close() {
	p.store.Close()
	_ = p.log.Sync() // stderr cannot be synced on every system
}

// temporal returns a client that connects when it is first used: the API
// accepts payments while Temporal is down.
func (p *process) temporal() (client.Client, error) {
	c, err := client.NewLazyClient(client.Options{HostPort: p.config.TemporalAddress, Namespace: p.config.TemporalNamespace,
		Logger: telemetry.TemporalLogger(p.log),
		// Steps pass ids and small results: compressing them costs more than it saves.
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}}})
	if err != nil {
		return nil, fmt.Errorf("temporal at %s: %w", p.config.TemporalAddress, err)
	}
	return c, nil
}

// network is a configured chain with what Settle adds to the family's settings.
type network struct {
	chain chains.Chain
	price payment.Amount // asset base units per whole native coin
}

// networks connects to every configured chain. Without a signer they can look
// but not pay.
func (p *process) networks(ctx context.Context, signer chains.Signer) ([]network, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var out []network
	for _, entry := range p.config.Chains {
		c, nativePrice, err := openChain(ctx, entry, signer)
		if err != nil {
			return nil, fmt.Errorf("chain %s: %w", entry.Name, err)
		}
		price, err := payment.ParseDecimal(nativePrice, payment.USDC.Decimals)
		if err != nil {
			return nil, fmt.Errorf("chain %s: native_price: %w; give the price of one %s in USDC, e.g. \"3000.00\"", entry.Name, err, c.Info().NativeAsset)
		}
		out = append(out, network{chain: c, price: price})
	}
	return out, nil
}

// common is what every entry of the chains file has beside its family's settings.
type common struct {
	Family      string `json:"family"`
	NativePrice string `json:"native_price"` // USDC per whole native coin
}

func openChain(ctx context.Context, entry config.Chain, signer chains.Signer) (c chains.Chain, nativePrice string, err error) {
	switch entry.Family {
	case "evm":
		var e struct {
			common
			evm.Config
		}
		if err := strict(entry.Raw, &e); err != nil {
			return nil, "", err
		}
		c, err = evm.Open(ctx, e.Config, signer)
		return c, e.NativePrice, err
	case "solana":
		var e struct {
			common
			solana.Config
		}
		if err := strict(entry.Raw, &e); err != nil {
			return nil, "", err
		}
		c, err = solana.Open(ctx, e.Config, signer)
		return c, e.NativePrice, err
	}
	return nil, "", fmt.Errorf("family %q is unknown: use evm or solana", entry.Family)
}

// strict decodes settings; a field that nobody knows is a typing error.
func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// onChain reads what the treasury and the lanes of every chain hold at a
// finalized block.
func onChain(ctx context.Context, nets []network) ([]ledger.ChainBalance, error) {
	var out []ledger.ChainBalance
	for _, n := range nets {
		info := n.chain.Info()
		held := slices.Compact(slices.Sorted(slices.Values(append([]string{info.Treasury}, info.Lanes...))))
		b, err := n.chain.Balances(ctx, held)
		if err != nil {
			return nil, fmt.Errorf("balances on %s: %w", info.Name, err)
		}
		var native payment.Amount
		for _, lane := range info.Lanes {
			if native, err = native.Add(b.Native[lane]); err != nil {
				return nil, err
			}
		}
		out = append(out, ledger.ChainBalance{Chain: info.Name, Asset: payment.USDC, OnChain: b.Token[info.Treasury],
			NativeAsset: info.NativeAsset, NativeOnChain: native})
	}
	return out, nil
}

func (p *process) sealer() (*webhooks.Sealer, error) {
	if len(p.config.WebhookKeys) == 0 {
		return nil, errors.New("SETTLE_WEBHOOK_KEYS is missing: endpoints' secrets are sealed with it, see .env.example")
	}
	return webhooks.NewSealer(p.config.WebhookKeys.Current().ID, p.config.WebhookKeys.Map())
}

func (p *process) guard() webhooks.Guard {
	return webhooks.Guard{AllowCIDRs: p.config.WebhookAllowCIDRs}
}

// workerName tells processes apart in chain_health and in logs.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

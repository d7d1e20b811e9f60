package solana

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
)

const (
	nativeDecimals    = 9   // of SOL
	tokenAccountSize  = 165 // bytes
	mintSize          = 82  // bytes
	signatureLamports = 5000
)

// Chain is one open Solana network. It is safe for concurrent use.
type Chain struct {
	cfg       Config
	keys      keys
	info      chains.Info
	signer    chains.Signer
	nodes     []*node
	preferred atomic.Int64 // index of the node that answered last
	rent      uint64       // lamports that a new token account costs
	network   atomic.Pointer[network]
}

var _ chains.Chain = (*Chain)(nil)

// Open checks the configuration, that the nodes serve the configured network,
// and that the mint has the configured decimals. A node that does not answer
// is tolerated as long as another does; one of another network never is.
func Open(ctx context.Context, cfg Config, signer chains.Signer) (*Chain, error) {
	cfg = cfg.withDefaults()
	k, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	c := &Chain{cfg: cfg, keys: k, signer: signer, info: chains.Info{
		Name:           cfg.Name,
		CAIP2:          "solana:" + cfg.GenesisHash[:32],
		Token:          k.mint.String(),
		Treasury:       k.treasury.String(),
		NativeAsset:    "SOL",
		NativeDecimals: nativeDecimals,
		PollInterval:   time.Duration(cfg.PollIntervalMS) * time.Millisecond,
		ResendAfter:    time.Duration(cfg.ResendAfterMS) * time.Millisecond,
		FinalityETA:    time.Duration(cfg.FinalityETAMS) * time.Millisecond,
		ExplorerTxURL:  cfg.ExplorerTxURL,
		Lanes:          addresses(k.lanes),
		LaneInFlight:   1,
	}}
	var down []error
	for _, u := range cfg.RPCURLs {
		n := newNode(u)
		c.nodes = append(c.nodes, n)
		genesis := newCall("getGenesisHash")
		if err := n.do(ctx, genesis); err != nil {
			down = append(down, err)
			continue
		}
		if err := checkGenesis(genesis, cfg.GenesisHash); errors.Is(err, errWrongNetwork) {
			return nil, fmt.Errorf("solana chain %q: %s: %w", cfg.Name, n.name, err)
		} else if err != nil {
			down = append(down, err)
		}
	}
	if len(down) == len(c.nodes) {
		return nil, fmt.Errorf("solana chain %q: no node answers: %w", cfg.Name, errors.Join(down...))
	}
	if err := c.any(ctx, c.readToken); err != nil {
		return nil, fmt.Errorf("solana chain %q: %w", cfg.Name, err)
	}
	return c, nil
}

var errWrongNetwork = errors.New("node serves another network")

// checkGenesis compares a node's getGenesisHash with the configured network.
func checkGenesis(answer *call, want string) error {
	var got string
	if err := answer.decode(&got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: its genesis hash is %s, configured is %s", errWrongNetwork, got, want)
	}
	return nil
}

// readToken checks the mint and learns what a token account costs.
func (c *Chain) readToken(ctx context.Context, n *node) error {
	mint := newCall("getAccountInfo", c.cfg.Mint, accountOptions(confirmed))
	rent := newCall("getMinimumBalanceForRentExemption", tokenAccountSize)
	if err := n.do(ctx, mint, rent); err != nil {
		return err
	}
	var account withContext[*account]
	if err := mint.decode(&account); err != nil {
		return err
	}
	if err := rent.decode(&c.rent); err != nil {
		return err
	}
	a := account.Value
	if a == nil || a.Owner != sol.TokenProgramID.String() || len(a.Data.bytes) != mintSize {
		return fmt.Errorf("mint: %s is not an SPL Token mint on this network", c.cfg.Mint)
	}
	if decimals := int(a.Data.bytes[44]); decimals != c.cfg.Decimals {
		return fmt.Errorf("decimals: the mint has %d, configured are %d", decimals, c.cfg.Decimals)
	}
	return nil
}

// Info describes the chain.
func (c *Chain) Info() chains.Info { return c.info }

// LaneStart is 0: Solana accounts have no nonce.
func (c *Chain) LaneStart(context.Context, string) (uint64, error) { return 0, nil }

// any asks one node, and the others in turn if it fails. The node that
// answered is asked first the next time.
func (c *Chain) any(ctx context.Context, ask func(context.Context, *node) error) error {
	first := int(c.preferred.Load())
	var failed []error
	for i := range c.nodes {
		index := (first + i) % len(c.nodes)
		err := ask(ctx, c.nodes[index])
		if err == nil {
			c.preferred.Store(int64(index))
			return nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// account is getAccountInfo's value.
type account struct {
	Owner      string `json:"owner"`
	Lamports   uint64 `json:"lamports"`
	Executable bool   `json:"executable"`
	Data       data   `json:"data"`
}

// data is ["...", "base64"].
type data struct{ bytes []byte }

func (d *data) UnmarshalJSON(b []byte) error {
	var pair [2]string
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if pair[1] != "base64" {
		return fmt.Errorf("account data in encoding %q, asked for base64", pair[1])
	}
	return json.Unmarshal([]byte(`"`+pair[0]+`"`), &d.bytes)
}

func accountOptions(commitment string) options {
	return options{"commitment": commitment, "encoding": "base64"}
}

// isToken reports whether a program is one of the two token programs.
func isToken(program string) bool {
	return program == sol.TokenProgramID.String() || program == sol.Token2022ProgramID.String()
}

func addresses(keys []sol.PublicKey) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return out
}

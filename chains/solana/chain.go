package solana

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
	"github.com/settlehq/settle/payment"
)

const (
	nativeDecimals    = 9   // of SOL
	tokenAccountSize  = 165 // bytes
	mintSize          = 82  // bytes
	signatureLamports = 5000
)

// Chain is one open Solana network. It is safe for concurrent use.
type Chain struct {
	cfg     Config
	keys    keys
	info    chains.Info
	signer  chains.Signer
	pool    *rpcpool.Pool
	anchor  *witness.Anchor
	scanner *witness.Scanner
	network atomic.Pointer[network]
	secret  atomic.Pointer[[32]byte] // of guard accounts; nil until one is needed

	units      atomic.Uint32 // that the sample payment took; 0: not known
	measuredAt atomic.Int64  // when that was last asked for, in Unix nanoseconds

	paidEarlier payment.Amount // payments of less count as paid at commitment confirmed; 0: none

	rent      uint64 // lamports that a new token account costs
	guardRent uint64 // lamports that a guard account costs
}

var _ chains.Expirer = (*Chain)(nil)

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
		BumpAfter:      time.Duration(cfg.BumpAfterMS) * time.Millisecond,
		FinalityETA:    time.Duration(cfg.FinalityETAMS) * time.Millisecond,
		ExplorerTxURL:  cfg.ExplorerTxURL,
		Lanes:          addresses(k.lanes),
		LaneInFlight:   1,
	}}
	if c.paidEarlier, err = cfg.PaidEarlier.amount(cfg.Decimals); err != nil {
		return nil, fmt.Errorf("solana chain %q: paid_earlier.below: %w", cfg.Name, err)
	}
	if c.pool, err = pooled(cfg, c.info.PollInterval); err != nil {
		return nil, fmt.Errorf("solana chain %q: %w", cfg.Name, err)
	}
	if err := c.pool.Connect(ctx); err != nil {
		return nil, fmt.Errorf("solana chain %q: %w", cfg.Name, err)
	}
	c.anchor = witness.NewAnchor(c.pool, watchEvery*c.info.PollInterval, c.finalBlock)
	c.scanner = witness.NewScanner(c.pool, c.anchor, watchEvery*c.info.PollInterval, c.look)
	if err := c.any(ctx, c.readToken); err != nil {
		return nil, fmt.Errorf("solana chain %q: %w", cfg.Name, err)
	}
	return c, nil
}

// watchEvery is how many poll intervals pass between two looks at whether
// finality still holds and whether nodes agree.
const watchEvery = 10

// readToken checks the mint and learns what token and guard accounts cost.
func (c *Chain) readToken(ctx context.Context, n *rpcpool.Node) error {
	mint := newCall("getAccountInfo", c.cfg.Mint, accountOptions(confirmed))
	rent := newCall("getMinimumBalanceForRentExemption", tokenAccountSize)
	guardRent := newCall("getMinimumBalanceForRentExemption", 0)
	if err := n.Do(ctx, mint, rent, guardRent); err != nil {
		return err
	}
	var account withContext[*account]
	if err := decode(mint, &account); err != nil {
		return err
	}
	if err := decode(rent, &c.rent); err != nil {
		return err
	}
	if err := decode(guardRent, &c.guardRent); err != nil {
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

// accountsCall reads several accounts at once; decodeAccounts reads the answer.
func accountsCall(commitment string, keys ...sol.PublicKey) *rpcpool.Call {
	return newCall("getMultipleAccounts", addresses(keys), accountOptions(commitment))
}

// decodeAccounts returns one account per key, nil where there is none, and the
// slot that they are of.
func decodeAccounts(c *rpcpool.Call) ([]*account, uint64, error) {
	var found withContext[[]*account]
	if err := decode(c, &found); err != nil {
		return nil, 0, err
	}
	if asked := len(c.Params[0].([]string)); len(found.Value) != asked {
		return nil, 0, fmt.Errorf("%w: asked for %d accounts, got %d", chains.ErrUnknown, asked, len(found.Value))
	}
	return found.Value, found.Context.Slot, nil
}

// An SPL token account: mint, owner (byte 32), amount (byte 64), delegate,
// state (byte 108), and more.
const (
	ownerAt     = 32
	amountAt    = 64
	stateAt     = 108
	stateFrozen = 2
)

// ownedBy reports whether a token account is one of an owner's. The owner of
// an associated one can give it away.
func ownedBy(a *account, owner sol.PublicKey) bool {
	return len(a.Data.bytes) >= tokenAccountSize && sol.PublicKeyFromBytes(a.Data.bytes[ownerAt:amountAt]) == owner
}

// isFrozen reports whether a token account can neither pay nor be paid.
func isFrozen(a *account) bool {
	return a != nil && isToken(a.Owner) && len(a.Data.bytes) >= tokenAccountSize && a.Data.bytes[stateAt] == stateFrozen
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

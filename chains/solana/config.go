package solana

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/payment"
)

// Config describes one Solana network and how to pay on it. Zero values of
// the fields with a default take it.
type Config struct {
	Name        payment.Chain `json:"name"`         // e.g. "solana"
	GenesisHash string        `json:"genesis_hash"` // base58; every node must serve this network
	RPCURLs     []string      `json:"rpc_urls"`     // JSON-RPC over HTTP; transactions go to all, reads to the best, and with two or more, two must agree on what is final

	RPCCallsPerSecond float64 `json:"rpc_calls_per_second"` // to one node, calls in a batch count each; default no limit
	RPCRestMS         int64   `json:"rpc_rest_ms"`          // a failing node is left alone this long at first, up to 30 times as long; default 1000

	Mint     string   `json:"mint"`     // of the payout token
	Decimals int      `json:"decimals"` // of the mint; checked at Open
	Treasury string   `json:"treasury"` // owner of the token account that pays
	Lanes    []string `json:"lanes"`    // accounts that pay fees; default: the treasury

	Exclusive string `json:"exclusive"` // what keeps a payment from being made twice: ExclusiveBlockhash (default) or ExclusiveGuard

	PaidEarlier Earlier `json:"paid_earlier,omitzero"` // smaller payments that count as paid before finality; default none

	PollIntervalMS     int64 `json:"poll_interval_ms"`      // default 1000
	ResendAfterMS      int64 `json:"resend_after_ms"`       // default 2000
	BumpAfterMS        int64 `json:"bump_after_ms"`         // with ExclusiveGuard: a payment in no block is signed again, dearer, after this long; default 15000
	FinalityETAMS      int64 `json:"finality_eta_ms"`       // from sending to finalized; default 13000
	MaxConditionsAgeMS int64 `json:"max_conditions_age_ms"` // a blockhash older than this is not signed; default 20000

	ComputeUnitLimit           uint32 `json:"compute_unit_limit"`            // per payment, at most; default 120000
	ComputeUnitPricePercentile int    `json:"compute_unit_price_percentile"` // of recent fees on the treasury's token account; default 75
	ComputeUnitPriceFloor      uint64 `json:"compute_unit_price_floor"`      // micro-lamports per compute unit; default 1000
	ComputeUnitPriceCap        uint64 `json:"compute_unit_price_cap"`        // micro-lamports per compute unit; default 1000000
	LoadedAccountsDataLimit    uint32 `json:"loaded_accounts_data_limit"`    // bytes of accounts and programs that a payment may load; default 2097152

	ExplorerTxURL string `json:"explorer_tx_url"` // with %s for the signature; may be empty
}

// Earlier lets payments of less than an amount count as paid at commitment
// confirmed. Should the cluster abandon such a block, what was called paid is
// undone: it is for amounts whose loss is cheaper than the wait. Nothing else
// rests on it: no payment is called dead or reverted before finality.
type Earlier struct {
	Below string `json:"below"` // units of the token, e.g. "100.00"
}

// amount is Below in base units; 0 is none.
func (e Earlier) amount(decimals int) (payment.Amount, error) {
	if e == (Earlier{}) {
		return payment.Amount{}, nil
	}
	return payment.ParseDecimal(e.Below, decimals)
}

// A blockhash is valid for 150 blocks, 60 s at best. Conditions older than
// this would sign transactions with too little time to land.
const maxConditionsAge = 40 * time.Second

// keys are the addresses of the Config, decoded.
type keys struct {
	mint, treasury, treasuryATA sol.PublicKey
	lanes                       []sol.PublicKey
}

// withDefaults fills in what is zero.
func (c Config) withDefaults() Config {
	set := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.PollIntervalMS, 1000)
	set(&c.ResendAfterMS, 2000)
	set(&c.FinalityETAMS, 13_000)
	set(&c.MaxConditionsAgeMS, 20_000)
	set(&c.RPCRestMS, 1000)
	if c.Exclusive == "" {
		c.Exclusive = ExclusiveBlockhash
	}
	if c.Exclusive == ExclusiveGuard {
		set(&c.BumpAfterMS, 15_000)
	}
	if c.ComputeUnitLimit == 0 {
		c.ComputeUnitLimit = 120_000
	}
	if c.ComputeUnitPricePercentile == 0 {
		c.ComputeUnitPricePercentile = 75
	}
	if c.ComputeUnitPriceFloor == 0 {
		c.ComputeUnitPriceFloor = 1000
	}
	if c.ComputeUnitPriceCap == 0 {
		c.ComputeUnitPriceCap = 1_000_000
	}
	if c.LoadedAccountsDataLimit == 0 {
		c.LoadedAccountsDataLimit = 2 << 20
	}
	if len(c.Lanes) == 0 {
		c.Lanes = []string{c.Treasury}
	}
	return c
}

// validate reports every fault, one per line, each with the field's name.
func (c Config) validate() (keys, error) {
	var faults []error
	fault := func(field, format string, args ...any) {
		faults = append(faults, fmt.Errorf("solana chain %q: %s: %s", c.Name, field, fmt.Sprintf(format, args...)))
	}
	key := func(field, s string) sol.PublicKey {
		k, err := sol.PublicKeyFromBase58(s)
		if err != nil {
			fault(field, "%q is not a base58 address of 32 bytes", s)
		}
		return k
	}
	if c.Name == "" {
		fault("name", "is missing")
	}
	if _, err := sol.HashFromBase58(c.GenesisHash); err != nil {
		fault("genesis_hash", "%q is not a base58 hash of 32 bytes; getGenesisHash tells it", c.GenesisHash)
	}
	if len(c.RPCURLs) == 0 {
		fault("rpc_urls", "needs at least one URL")
	}
	for i, s := range c.RPCURLs {
		if u, err := url.Parse(s); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			fault(fmt.Sprintf("rpc_urls[%d]", i), "is not an http or https URL")
		}
	}
	k := keys{mint: key("mint", c.Mint), treasury: key("treasury", c.Treasury)}
	for i, s := range c.Lanes {
		k.lanes = append(k.lanes, key(fmt.Sprintf("lanes[%d]", i), s))
	}
	if c.Decimals < 0 || c.Decimals > 18 {
		fault("decimals", "%d is not between 0 and 18", c.Decimals)
	}
	if c.Exclusive != ExclusiveBlockhash && c.Exclusive != ExclusiveGuard {
		fault("exclusive", "%q is neither %s nor %s", c.Exclusive, ExclusiveBlockhash, ExclusiveGuard)
	}
	between := func(field string, v, low, high int64) {
		if v < low || v > high {
			fault(field, "%d is not between %d and %d", v, low, high)
		}
	}
	between("poll_interval_ms", c.PollIntervalMS, 10, 60_000)
	between("resend_after_ms", c.ResendAfterMS, 100, 30_000)
	if c.Exclusive == ExclusiveGuard {
		between("bump_after_ms", c.BumpAfterMS, 100, 60_000)
	} else if c.BumpAfterMS != 0 {
		fault("bump_after_ms", "needs exclusive %q: two signed variants of any other payment are two payments", ExclusiveGuard)
	}
	if _, err := c.PaidEarlier.amount(c.Decimals); err != nil {
		fault("paid_earlier.below", "%q: %v", c.PaidEarlier.Below, err)
	}
	between("finality_eta_ms", c.FinalityETAMS, 1, 600_000)
	between("max_conditions_age_ms", c.MaxConditionsAgeMS, 100, maxConditionsAge.Milliseconds())
	between("rpc_rest_ms", c.RPCRestMS, 1, 60_000)
	between("compute_unit_limit", int64(c.ComputeUnitLimit), 1000, 1_400_000)
	between("compute_unit_price_percentile", int64(c.ComputeUnitPricePercentile), 1, 100)
	between("loaded_accounts_data_limit", int64(c.LoadedAccountsDataLimit), 64<<10, 64<<20)
	if c.RPCCallsPerSecond < 0 {
		fault("rpc_calls_per_second", "%g is below 0, which is no limit", c.RPCCallsPerSecond)
	}
	if c.ComputeUnitPriceFloor > c.ComputeUnitPriceCap {
		fault("compute_unit_price_floor", "%d is above compute_unit_price_cap %d", c.ComputeUnitPriceFloor, c.ComputeUnitPriceCap)
	}
	if c.ComputeUnitPriceCap > 1_000_000_000 {
		fault("compute_unit_price_cap", "%d micro-lamports per compute unit is more than 1000000000; it is a price per unit, not a fee", c.ComputeUnitPriceCap)
	}
	if len(faults) > 0 {
		return keys{}, errors.Join(faults...)
	}
	var err error
	if k.treasuryATA, err = tokenAccount(k.treasury, k.mint); err != nil {
		return keys{}, fmt.Errorf("solana chain %q: treasury: %w", c.Name, err)
	}
	return k, nil
}

// tokenAccount is the associated token account of an owner: the one address
// at which wallets expect the owner's tokens of a mint.
func tokenAccount(owner, mint sol.PublicKey) (sol.PublicKey, error) {
	ata, _, err := sol.FindAssociatedTokenAddress(owner, mint)
	if err != nil {
		return ata, fmt.Errorf("associated token account of %s: %w", owner, err)
	}
	return ata, nil
}

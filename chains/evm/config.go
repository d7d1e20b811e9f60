package evm

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/settlehq/settle/payment"
)

// Methods of settlement.
const (
	MethodEIP3009  = "eip3009"  // the treasury authorizes, lanes submit
	MethodTransfer = "transfer" // lanes hold the funds and transfer them
)

// Config of one network. Fields marked with a default may be left out.
type Config struct {
	Name         payment.Chain      `json:"name"`                     // e.g. "ethereum"
	ChainID      uint64             `json:"chain_id"`                 // EIP-155
	RPCURLs      []string           `json:"rpc_urls"`                 // HTTP JSON-RPC; transactions go to all, reads to the best, and with two or more, two must agree on what is final
	Token        string             `json:"token"`                    // contract of the payout token
	TokenName    string             `json:"token_name,omitempty"`     // EIP-712 domain; default: the contract's name()
	TokenVersion string             `json:"token_version,omitempty"`  // EIP-712 domain; default: the contract's version()
	Treasury     string             `json:"treasury"`                 // holds the money; with "transfer" it is one of the lanes
	Lanes        []string           `json:"lanes"`                    // accounts that submit and pay gas
	Method       string             `json:"method,omitempty"`         // default "eip3009"
	Multicall3   string             `json:"multicall3,omitempty"`     // for Balances; default: one call per figure
	Finality     Finality           `json:"finality,omitzero"`        // default the tag "finalized"
	ErrorClasses map[Class][]string `json:"error_classes,omitempty"`  // what nodes of this chain say that the error table does not know: parts of messages, by class
	PaidEarlier  []Earlier          `json:"paid_earlier,omitempty"`   // smaller payments that count as paid before finality; default none
	NativeAsset  string             `json:"native_asset,omitempty"`   // default "ETH"; 18 decimals
	ExplorerTx   string             `json:"explorer_tx_url,omitzero"` // with %s for the hash

	PollIntervalMS     int64 `json:"poll_interval_ms,omitempty"`      // default 4000
	ResendAfterMS      int64 `json:"resend_after_ms,omitempty"`       // default 30000
	BumpAfterMS        int64 `json:"bump_after_ms,omitempty"`         // a lane's oldest transaction is outbid after this long; default 60000
	FinalityETAMS      int64 `json:"finality_eta_ms,omitempty"`       // default 900000
	MaxConditionsAgeMS int64 `json:"max_conditions_age_ms,omitempty"` // Sign refuses older fees; default 60000

	RPCCallsPerSecond float64 `json:"rpc_calls_per_second,omitempty"` // to one node, calls in a batch count each; default no limit
	RPCRestMS         int64   `json:"rpc_rest_ms,omitempty"`          // a failing node is left alone this long at first, up to 30 times as long; default 1000

	LaneInFlight int `json:"lane_in_flight,omitempty"` // unincluded transactions of one lane; default 16, more than nodes promise to keep

	Sponsor *Sponsoring `json:"sponsor,omitempty"` // submit payers' own authorizations, {} for the defaults; default: refuse them

	MaxFeeGwei  uint64 `json:"max_fee_gwei,omitempty"`  // most we pay per gas; default 300
	MinTipWei   uint64 `json:"min_tip_wei,omitempty"`   // least priority fee per gas; default 10000000 (0.01 gwei)
	GasLimit    uint64 `json:"gas_limit,omitempty"`     // of a payment; default 130000, "transfer" 100000
	GasExpected uint64 `json:"gas_expected,omitempty"`  // that a payment uses; default 95000, "transfer" 62000
	MaxLogRange uint64 `json:"max_log_range,omitempty"` // blocks per eth_getLogs; default 2000

	MaxCancelFeeGwei uint64 `json:"max_cancel_fee_gwei,omitempty"` // most we pay per gas to free a nonce or to cancel; default twice max_fee_gwei
	CancelGasLimit   uint64 `json:"cancel_gas_limit,omitempty"`    // of a transfer of nothing that frees a nonce; default 30000
}

// Finality says which blocks are final: those at or below a tag ("finalized",
// "safe"), or those with Depth blocks on top. Set exactly one.
type Finality struct {
	Tag   string `json:"tag,omitempty"`
	Depth uint64 `json:"depth,omitempty"`
}

// Earlier lets payments of less than an amount count as paid with so many
// blocks on top, final or not. A deeper reorganisation can then undo what was
// called paid: it is for amounts whose loss is cheaper than the wait. Nothing
// else rests on it: no payment is called dead or reverted before finality.
type Earlier struct {
	Below  string `json:"below"`  // units of the token, e.g. "100.00"
	Blocks uint64 `json:"blocks"` // on top of the payment's own; 1 or more
}

// Sponsoring bounds the authorizations of payers that are submitted at our
// expense, by the time that is left of them when they are accepted.
type Sponsoring struct {
	MinLeftSeconds int64 `json:"min_left_seconds,omitempty"` // to land in; default 300
	MaxLeftSeconds int64 `json:"max_left_seconds,omitempty"` // so long a lane nonce and a watch may be bound; default 604800, a week
}

// earlier is an Earlier in base units.
type earlier struct {
	below  payment.Amount
	blocks uint64
}

// settings is a Config that was checked, with defaults filled in.
type settings struct {
	Config
	token, treasury, multicall3  common.Address
	lanes                        []common.Address
	maxFee, maxCancelFee, minTip *big.Int  // wei per gas
	paidEarlier                  []earlier // by ascending amount
	errorLines                   []line    // of ErrorClasses
	maxAge, poll                 time.Duration
}

// Validate returns all faults of the configuration, one per line.
func (c Config) Validate() error {
	_, err := c.check()
	return err
}

func (c Config) check() (settings, error) {
	c.setDefaults()
	s := settings{
		Config: c,
		maxFee: gwei(c.MaxFeeGwei), maxCancelFee: gwei(c.MaxCancelFeeGwei),
		minTip: new(big.Int).SetUint64(c.MinTipWei),
		maxAge: time.Duration(c.MaxConditionsAgeMS) * time.Millisecond,
		poll:   time.Duration(c.PollIntervalMS) * time.Millisecond,
	}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	address := func(field, text string) common.Address {
		a, err := parseAddress(text)
		if err != nil {
			fault("%s %q: %v", field, text, err)
		}
		return a
	}

	if c.Name == "" {
		fault("name is missing, e.g. \"ethereum\"")
	}
	if c.ChainID == 0 {
		fault("chain_id is missing, e.g. 1 for Ethereum")
	}
	if len(c.RPCURLs) == 0 {
		fault("rpc_urls is empty: give at least one HTTP endpoint")
	}
	for i, raw := range c.RPCURLs {
		if u, err := url.Parse(raw); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			fault("rpc_urls[%d] is not an http(s) URL", i) // not quoted: it may hold a key
		}
	}
	s.token = address("token", c.Token)
	s.treasury = address("treasury", c.Treasury)
	if c.Multicall3 != "" {
		s.multicall3 = address("multicall3", c.Multicall3)
	}
	if len(c.Lanes) == 0 {
		fault("lanes is empty: give at least one account that pays gas")
	}
	for i, text := range c.Lanes {
		lane := address(fmt.Sprintf("lanes[%d]", i), text)
		if slices.Contains(s.lanes, lane) {
			fault("lanes[%d] %q is listed twice", i, text)
		}
		s.lanes = append(s.lanes, lane)
	}
	switch isLane := slices.Contains(s.lanes, s.treasury); {
	case c.Method != MethodEIP3009 && c.Method != MethodTransfer:
		fault("method %q is unknown: use %q or %q", c.Method, MethodEIP3009, MethodTransfer)
	case c.Method == MethodEIP3009 && isLane:
		fault("treasury is also a lane: lanes hold gas only, the treasury never sends transactions")
	case c.Method == MethodTransfer && !isLane:
		fault("treasury is not a lane: with method %q the lanes hold the funds", MethodTransfer)
	}
	if (c.Finality.Tag != "") == (c.Finality.Depth != 0) {
		fault("finality needs either a tag or a depth")
	}
	if t := c.Finality.Tag; t != "" && t != "finalized" && t != "safe" {
		fault("finality tag %q is unknown: use \"finalized\" or \"safe\"", t)
	}
	for _, class := range slices.Sorted(maps.Keys(c.ErrorClasses)) {
		l := line{class: class}
		for _, text := range c.ErrorClasses[class] {
			if text == "" {
				fault("error_classes[%q] has an empty text, which every message contains", class)
			}
			l.any = append(l.any, strings.ToLower(text))
		}
		if !slices.Contains(Classes(), class) {
			fault("error_classes[%q] is no class: use %v", class, Classes())
		}
		s.errorLines = append(s.errorLines, l)
	}
	for i, e := range c.PaidEarlier {
		below, err := payment.ParseDecimal(e.Below, payment.USDC.Decimals)
		switch {
		case err != nil:
			fault("paid_earlier[%d].below %q: %v", i, e.Below, err)
		case e.Blocks == 0:
			fault("paid_earlier[%d].blocks is 0: use 1 or more", i)
		case len(s.paidEarlier) > 0 && below.Cmp(s.paidEarlier[len(s.paidEarlier)-1].below) <= 0:
			fault("paid_earlier[%d].below %q is not above the one before", i, e.Below)
		default:
			s.paidEarlier = append(s.paidEarlier, earlier{below, e.Blocks})
		}
	}
	for _, ms := range []struct {
		field string
		value int64
	}{
		{"poll_interval_ms", c.PollIntervalMS}, {"resend_after_ms", c.ResendAfterMS}, {"bump_after_ms", c.BumpAfterMS},
		{"finality_eta_ms", c.FinalityETAMS}, {"max_conditions_age_ms", c.MaxConditionsAgeMS},
		{"rpc_rest_ms", c.RPCRestMS},
	} {
		if ms.value <= 0 {
			fault("%s is %d: use 1 or more", ms.field, ms.value)
		}
	}
	if c.RPCCallsPerSecond < 0 {
		fault("rpc_calls_per_second is %g: use 0 (no limit) or more", c.RPCCallsPerSecond)
	}
	if c.GasExpected > c.GasLimit {
		fault("gas_expected %d is above gas_limit %d", c.GasExpected, c.GasLimit)
	}
	for _, limit := range []struct {
		field string
		gas   uint64
	}{{"gas_limit", c.GasLimit}, {"cancel_gas_limit", c.CancelGasLimit}} {
		if limit.gas < 21_000 || limit.gas > 16_777_216 {
			fault("%s is %d: use 21000 to 16777216 (EIP-7825)", limit.field, limit.gas)
		}
	}
	if c.MaxCancelFeeGwei < c.MaxFeeGwei {
		fault("max_cancel_fee_gwei %d is below max_fee_gwei %d: a payment could not be canceled", c.MaxCancelFeeGwei, c.MaxFeeGwei)
	}
	if p := c.Sponsor; p != nil {
		if c.Method != MethodEIP3009 {
			fault("sponsor needs method %q", MethodEIP3009)
		}
		if p.MinLeftSeconds < 1 || p.MaxLeftSeconds <= p.MinLeftSeconds {
			fault("sponsor: min_left_seconds %d must be 1 or more, and max_left_seconds %d above it", p.MinLeftSeconds, p.MaxLeftSeconds)
		}
	}
	if s.minTip.Cmp(s.maxFee) > 0 {
		fault("min_tip_wei %d is above max_fee_gwei %d", c.MinTipWei, c.MaxFeeGwei)
	}
	return s, errors.Join(faults...)
}

// early is how many blocks on top make a payment of the amount paid; ok is
// false if it must be final.
func (s settings) early(amount payment.Amount) (blocks uint64, ok bool) {
	for _, e := range s.paidEarlier {
		if amount.Cmp(e.below) < 0 {
			return e.blocks, true
		}
	}
	return 0, false
}

func (c *Config) setDefaults() {
	defaultTo(&c.Method, MethodEIP3009)
	defaultTo(&c.NativeAsset, "ETH")
	if c.Finality == (Finality{}) {
		c.Finality.Tag = "finalized"
	}
	defaultTo(&c.PollIntervalMS, 4_000)
	defaultTo(&c.ResendAfterMS, 30_000)
	defaultTo(&c.BumpAfterMS, 60_000)
	defaultTo(&c.FinalityETAMS, 900_000)
	defaultTo(&c.MaxConditionsAgeMS, 60_000)
	defaultTo(&c.RPCRestMS, 1_000)
	defaultTo(&c.MaxFeeGwei, 300)
	defaultTo(&c.MaxCancelFeeGwei, 2*c.MaxFeeGwei)
	defaultTo(&c.CancelGasLimit, 30_000)
	defaultTo(&c.MinTipWei, 10_000_000)
	limit, expected := uint64(130_000), uint64(95_000)
	if c.Method == MethodTransfer {
		limit, expected = 100_000, 62_000
	}
	defaultTo(&c.GasLimit, limit)
	defaultTo(&c.GasExpected, min(expected, c.GasLimit))
	defaultTo(&c.MaxLogRange, 2_000)
	defaultTo(&c.LaneInFlight, 16)
	if c.Sponsor != nil {
		own := *c.Sponsor // the caller's stays as it is
		defaultTo(&own.MinLeftSeconds, 300)
		defaultTo(&own.MaxLeftSeconds, 7*24*60*60)
		c.Sponsor = &own
	}
}

func gwei(n uint64) *big.Int {
	return new(big.Int).Mul(new(big.Int).SetUint64(n), big.NewInt(1_000_000_000))
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

package solana

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
	"github.com/settlehq/settle/payment"
)

func TestVerdicts(t *testing.T) {
	t.Parallel()
	preflight := func(err string) error {
		return &rpcpool.Error{Code: -32002, Message: "Transaction simulation failed", Data: json.RawMessage(`{"err":` + err + `,"logs":[]}`)}
	}
	code := func(n int) error { return &rpcpool.Error{Code: n, Message: "words"} }
	program := func(index, n int) error {
		return preflight(fmt.Sprintf(`{"InstructionError":[%d,{"Custom":%d}]}`, index, n))
	}
	account := func(n int) error { return program(0, n) }
	instruction := func(n int) error { return program(1, n) }
	message := &sol.Message{
		AccountKeys:  []sol.PublicKey{sol.SPLAssociatedTokenAccountProgramID, sol.TokenProgramID},
		Instructions: []sol.CompiledInstruction{{ProgramIDIndex: 0}, {ProgramIDIndex: 1}},
	}
	for _, c := range []struct {
		err   error
		want  chains.Acceptance
		class string
	}{
		{code(-32001), chains.Unsure, "block_cleaned_up"},
		{code(-32003), chains.Rejected, "signature_verification_failure"},
		{code(-32004), chains.Unsure, "block_not_available"},
		{code(-32005), chains.Unsure, "node_unhealthy"},
		{code(-32006), chains.Rejected, "precompile_verification_failure"},
		{code(-32007), chains.Unsure, "slot_skipped"},
		{code(-32008), chains.Unsure, "no_snapshot"},
		{code(-32009), chains.Unsure, "long_term_storage_slot_skipped"},
		{code(-32010), chains.Unsure, "key_excluded_from_secondary_index"},
		{code(-32011), chains.Unsure, "transaction_history_not_available"},
		{code(-32012), chains.Unsure, "scan_error"},
		{code(-32013), chains.Rejected, "signature_length_mismatch"},
		{code(-32014), chains.Unsure, "block_status_not_available_yet"},
		{code(-32015), chains.Unsure, "unsupported_transaction_version"},
		{code(-32016), chains.Unsure, "min_context_slot_not_reached"},
		{code(-32017), chains.Unsure, "epoch_rewards_period_active"},
		{code(-32018), chains.Unsure, "slot_not_epoch_boundary"},
		{code(-32019), chains.Unsure, "long_term_storage_unreachable"},
		{code(-32601), chains.Unsure, "method_not_found"},
		{code(-32602), chains.Rejected, "invalid_params"},
		{code(-32603), chains.Unsure, "internal_error"},
		{code(-32429), chains.Unsure, "provider_limit"},
		{code(-1), chains.Unsure, "unclassified"},
		{code(-32002), chains.Unsure, "preflight_failure"},
		{preflight(`"AlreadyProcessed"`), chains.Accepted, "already_processed"},
		{preflight(`"BlockhashNotFound"`), chains.Unsure, "blockhash_not_found"},
		{preflight(`"InsufficientFundsForFee"`), chains.Unsure, chains.VerdictFunds},
		{preflight(`"AccountNotFound"`), chains.Unsure, chains.VerdictFunds},
		{preflight(`"AccountInUse"`), chains.Unsure, "congestion"},
		{preflight(`"WouldExceedMaxBlockCostLimit"`), chains.Unsure, "congestion"},
		{preflight(`"WouldExceedMaxAccountCostLimit"`), chains.Unsure, "congestion"},
		{preflight(`"WouldExceedAccountDataBlockLimit"`), chains.Unsure, "congestion"},
		{preflight(`"ClusterMaintenance"`), chains.Unsure, "cluster_maintenance"},
		{preflight(`{"InsufficientFundsForRent":{"account_index":2}}`), chains.Rejected, "insufficient_funds_for_rent"},
		{preflight(`"TooManyAccountLocks"`), chains.Rejected, "too_many_account_locks"},
		{preflight(`"MaxLoadedAccountsDataSizeExceeded"`), chains.Rejected, "loaded_accounts_too_large"},
		{preflight(`"SignatureFailure"`), chains.Rejected, "signature_failure"},
		{preflight(`"SanitizeFailure"`), chains.Rejected, "sanitize_failure"},
		{preflight(`"UnsupportedVersion"`), chains.Rejected, "unsupported_version"},
		{preflight(`"SomethingNew"`), chains.Unsure, "transaction_error_unclassified"},
		{preflight(`{"InstructionError":[0,"ComputationalBudgetExceeded"]}`), chains.Unsure, "instruction_error"},
		{account(0x0), chains.Unsure, "payee_account_given_away"},
		{account(0x1), chains.Unsure, chains.VerdictFunds},
		{program(2, 0x1), chains.Unsure, "instruction_error"},
		{instruction(0x1), chains.Unsure, "treasury_needs_tokens"},
		{instruction(0x3), chains.Rejected, "mint_mismatch"},
		{instruction(0x4), chains.Rejected, "owner_mismatch"},
		{instruction(0x11), chains.Unsure, "token_account_frozen"},
		{instruction(0x12), chains.Rejected, "mint_decimals_mismatch"},
		{instruction(0x99), chains.Unsure, "instruction_error"},
		{fmt.Errorf("%w: x: %w", chains.ErrUnknown, &rpcpool.HTTPError{Status: 429}), chains.Unsure, "provider_limit"},
		{&rpcpool.HTTPError{Status: 403}, chains.Unsure, "provider_limit"},
		{&rpcpool.HTTPError{Status: 503}, chains.Unsure, "node_unfit"},
		{&rpcpool.HTTPError{Status: 404}, chains.Unsure, "http_error"},
		{errors.New("connection refused"), chains.Unsure, "transport"},
	} {
		if got := verdictOf(c.err, message); got.Acceptance != c.want || got.Class != c.class {
			t.Errorf("%v: %s %s, want %s %s", c.err, got.Acceptance, got.Class, c.want, c.class)
		}
	}
}

func TestCombinedVerdict(t *testing.T) {
	t.Parallel()
	yes, no, maybe := chains.Verdict{Acceptance: chains.Accepted}, chains.Verdict{Acceptance: chains.Rejected}, chains.Verdict{Acceptance: chains.Unsure}
	for _, c := range []struct {
		in   []chains.Verdict
		want chains.Acceptance
	}{
		{nil, chains.Unsure},
		{[]chains.Verdict{no, no}, chains.Rejected},
		{[]chains.Verdict{no, maybe}, chains.Unsure},
		{[]chains.Verdict{no, maybe, yes}, chains.Accepted},
	} {
		if got := combine(c.in).Acceptance; got != c.want {
			t.Errorf("%v: %s, want %s", c.in, got, c.want)
		}
	}
}

func seen(level string) *status { return &status{Slot: 7, ConfirmationStatus: level} }

func seenFailed(level string) *status {
	return &status{Slot: 7, ConfirmationStatus: level, Err: json.RawMessage(`{"InstructionError":[3,{"Custom":1}]}`)}
}

func refused(level string) *status {
	return &status{Slot: 7, ConfirmationStatus: level, Err: json.RawMessage(`{"InstructionError":[2,{"Custom":0}]}`), guarded: true}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	const end = 1000
	for _, c := range []struct {
		name   string
		in     []*status
		height uint64
		want   chains.SightingKind
		early  chains.SightingKind // if confirmed is early enough; empty: the same
	}{
		{"absent in its window", []*status{nil}, end - 1, chains.Unseen, ""},
		{"absent at its last height", []*status{nil}, end, chains.Unseen, ""},
		{"absent past its window", []*status{nil}, end + 1, chains.Dead, ""},
		{"processed", []*status{seen("processed")}, 1, chains.Unseen, ""},
		{"processed, past the window", []*status{seen("processed")}, end + 1, chains.Unseen, ""},
		{"confirmed", []*status{seen("confirmed")}, 1, chains.Included, chains.Paid},
		{"confirmed failure", []*status{seenFailed("confirmed")}, end + 1, chains.Included, ""},
		{"finalized", []*status{seen("finalized")}, 1, chains.Paid, ""},
		{"rooted, level not named", []*status{{Slot: 7}}, 1, chains.Paid, ""},
		{"finalized failure", []*status{seenFailed("finalized")}, 1, chains.Reverted, ""},
		{"one variant failed, the other may land", []*status{seenFailed("finalized"), nil}, end, chains.Unseen, ""},
		{"one variant failed, the other expired", []*status{seenFailed("finalized"), nil}, end + 1, chains.Reverted, ""},
		{"refused by its guard", []*status{refused("finalized")}, end, chains.Unseen, ""},
		{"refused by its guard, reversible", []*status{refused("confirmed")}, end + 1, chains.Unseen, ""},
		{"refused by its guard, past the window", []*status{refused("finalized")}, end + 1, chains.Dead, ""},
		{"refused by its guard, since the other paid", []*status{refused("finalized"), seen("finalized")}, end, chains.Paid, ""},
		{"refused by its guard, the other is included", []*status{seen("confirmed"), refused("confirmed")}, end, chains.Included, chains.Paid},
		{"one variant failed, the other paid", []*status{seenFailed("finalized"), seen("finalized")}, end + 1, chains.Paid, ""},
	} {
		if got := judge(c.in, c.height, end, false); got.kind != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.kind, c.want)
		}
		if got := judge(c.in, c.height, end, true); got.kind != c.early && (c.early != "" || got.kind != c.want) {
			t.Errorf("%s, paid early: %s, want %s", c.name, got.kind, c.early)
		}
	}
}

func TestCannotPay(t *testing.T) {
	t.Parallel()
	slot := chains.Slot{FromHeight: 500, ExpiresHeight: 1000}
	good := observation{FinalizedHeight: 1001, FinalizedSlot: 1100, FirstAvailableBlock: 400, LookupSlot: 1132, BlockhashExpired: true, statuses: []*status{nil}}
	for _, c := range []struct {
		name   string
		change func(*observation)
		want   bool
	}{
		{"absent after the end", func(*observation) {}, true},
		{"the last block is not final", func(o *observation) { o.FinalizedHeight = 1000 }, false},
		{"history begins after the signing", func(o *observation) { o.FirstAvailableBlock = 501 }, false},
		{"lookup answered by a node that lags", func(o *observation) { o.LookupSlot = 1099 }, false},
		{"the node still takes the blockhash", func(o *observation) { o.BlockhashExpired = false }, false},
		{"no statuses", func(o *observation) { o.statuses = nil }, false},
		{"landed", func(o *observation) { o.statuses = []*status{seen("finalized")} }, false},
		{"landed, reversible", func(o *observation) { o.statuses = []*status{seen("processed")} }, false},
		{"failed, reversible", func(o *observation) { o.statuses = []*status{seenFailed("confirmed")} }, false},
		{"failed", func(o *observation) { o.statuses = []*status{seenFailed("finalized")}; o.FinalizedHeight = 900 }, true},
		{"one failed, one open", func(o *observation) {
			o.statuses = []*status{seenFailed("finalized"), nil}
			o.FinalizedHeight = 900
		}, false},
	} {
		o := good
		c.change(&o)
		if got := cannotPay(o, slot); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}

	slot.Kind = chains.SlotGuard
	for _, c := range []struct {
		name   string
		change func(*observation)
		want   bool
	}{
		{"absent after the end, no guard", func(*observation) {}, true},
		{"refused by its guard", func(o *observation) { o.statuses = []*status{refused("finalized"), nil} }, true},
		{"refused by its guard, another may land", func(o *observation) {
			o.statuses = []*status{refused("finalized")}
			o.FinalizedHeight = 1000
		}, false},
		{"the guard was not read", func(o *observation) { o.Guard = nil }, false},
		{"the guard was read before the end", func(o *observation) { o.Guard.Slot = 1099 }, false},
		{"the guard may have been paid by", func(o *observation) { o.Guard.doubt = "it exists" }, false},
	} {
		o := good
		o.Guard = &guardFacts{Slot: 1100}
		c.change(&o)
		if got := cannotPay(o, slot); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestGuardUses(t *testing.T) {
	t.Parallel()
	ours := []chains.StoredTx{{Hash: "ours"}}
	failed := json.RawMessage(`{"InstructionError":[2,{"Custom":0}]}`)
	for _, c := range []struct {
		name      string
		lamports  uint64
		uses      []guardUse
		doubtful  bool
		strangers int
	}{
		{"never used", 0, nil, false, 0},
		{"our failure", 0, []guardUse{{Signature: "ours", Err: failed}}, false, 0},
		{"our success", 890_880, []guardUse{{Signature: "ours"}}, true, 0},
		{"our success, and spoiled", 890_880, []guardUse{{Signature: "x"}, {Signature: "ours"}}, true, 1},
		{"spoiled", 1_000_000, []guardUse{{Signature: "x"}, {Signature: "ours", Err: failed}}, false, 1},
		{"only named by a stranger", 0, []guardUse{{Signature: "x"}}, false, 1},
		{"exists, opened by nobody", 890_880, []guardUse{{Signature: "x", Err: failed}}, true, 0},
		{"too many to tell", 0, make([]guardUse, maxGuardUses), true, maxGuardUses},
	} {
		f := guardFacts{Lamports: c.lamports}
		f.weigh(c.uses, ours)
		if (f.doubt != "") != c.doubtful || len(f.Strangers) != c.strangers {
			t.Errorf("%s: doubt %q, strangers %v", c.name, f.doubt, f.Strangers)
		}
	}
}

func TestUnitPrice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		recent     []uint64
		percentile int
		want       uint64
	}{
		{nil, 75, 10},
		{[]uint64{0, 0, 0}, 75, 10},
		{[]uint64{40, 10, 30, 20}, 75, 30},
		{[]uint64{40, 10, 30, 20}, 100, 40},
		{[]uint64{40, 10, 30, 20}, 1, 10},
		{[]uint64{5000}, 50, 5000},
	} {
		if got := unitPrice(c.recent, c.percentile, 10); got != c.want {
			t.Errorf("unitPrice(%v, %d) = %d, want %d", c.recent, c.percentile, got, c.want)
		}
	}
}

func TestPriceKeepsToWhatAnOrderAllows(t *testing.T) {
	t.Parallel()
	const floor, fixed = 1000, 10_000
	for _, c := range []struct {
		most, want uint64
		refused    bool
	}{
		{0, 50_000, false},      // the chain's own cap only
		{16_000, 50_000, false}, // 120000 units at 50000 micro-lamports are 6000 lamports
		{15_999, 49_991, false},
		{10_120, 1000, false},
		{10_119, 0, true}, // below the floor
		{1, 0, true},
	} {
		p := plan{unitLimit: 120_000, price: 50_000}
		err := p.afford(payment.Units(c.most), fixed, floor)
		if c.refused != errors.Is(err, chains.ErrFeeCapped) || !c.refused && p.price != c.want {
			t.Errorf("at most %d lamports: price %d, %v", c.most, p.price, err)
		}
		if !c.refused && c.most > 0 && fixed+feeLamports(0, p.price, p.unitLimit) > c.most {
			t.Errorf("at most %d lamports: price %d costs more", c.most, p.price)
		}
	}
}

func TestFeeLamports(t *testing.T) {
	t.Parallel()
	if got := feeLamports(2, 1, 120_000); got != 10_001 {
		t.Errorf("0.12 lamports of priority fee are rounded to %d, want up to 1", got-10_000)
	}
	if got := feeLamports(1, 1000, 120_000); got != 5120 {
		t.Errorf("fee %d", got)
	}
}

func TestPlausibleEndOfABlockhash(t *testing.T) {
	t.Parallel()
	for lastValid, want := range map[uint64]bool{0: false, 1000: false, 1099: false, 1100: true, 1150: true, 1200: true, 1201: false, 300_001_150: false} {
		if got := plausible(lastValid, 1000) == nil; got != want {
			t.Errorf("end %d at height 1000: %v", lastValid, got)
		}
	}
}

func TestDelta(t *testing.T) {
	t.Parallel()
	balance := func(index int, mint, owner, amount string) tokenBalance {
		b := tokenBalance{AccountIndex: index, Mint: mint, Owner: owner}
		b.Amount.Amount = amount
		return b
	}
	other := balance(2, "usdc", "treasury", "900")
	for _, c := range []struct {
		name      string
		pre, post []tokenBalance
		ok        bool
	}{
		{"new account", nil, []tokenBalance{other, balance(1, "usdc", "payee", "50")}, true},
		{"had some", []tokenBalance{other, balance(1, "usdc", "payee", "7")}, []tokenBalance{balance(1, "usdc", "payee", "57"), other}, true},
		{"less", nil, []tokenBalance{balance(1, "usdc", "payee", "49")}, false},
		{"more", nil, []tokenBalance{balance(1, "usdc", "payee", "51")}, false},
		{"gone down", []tokenBalance{balance(1, "usdc", "payee", "100")}, []tokenBalance{balance(1, "usdc", "payee", "50")}, false},
		{"other mint", nil, []tokenBalance{balance(1, "fake", "payee", "50")}, false},
		{"other owner", nil, []tokenBalance{balance(1, "usdc", "thief", "50")}, false},
		{"not shown", nil, []tokenBalance{other}, false},
		{"no number", nil, []tokenBalance{balance(1, "usdc", "payee", "x")}, false},
	} {
		if _, _, err := delta(&txMeta{Pre: c.pre, Post: c.post}, 1, "usdc", "payee", "50"); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestConfigFaultsNameTheField(t *testing.T) {
	t.Parallel()
	good := Config{
		Name: "solana", GenesisHash: "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", RPCURLs: []string{"https://rpc.example"},
		Mint: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", Decimals: 6, Treasury: "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM",
	}
	if _, err := good.withDefaults().validate(); err != nil {
		t.Fatalf("good configuration: %v", err)
	}
	for field, spoil := range map[string]func(*Config){
		"name":                          func(c *Config) { c.Name = "" },
		"genesis_hash":                  func(c *Config) { c.GenesisHash = "mainnet" },
		"rpc_urls":                      func(c *Config) { c.RPCURLs = nil },
		"rpc_urls[0]":                   func(c *Config) { c.RPCURLs = []string{"rpc.example"} },
		"mint":                          func(c *Config) { c.Mint = "USDC" },
		"treasury":                      func(c *Config) { c.Treasury = "0x00" },
		"lanes[0]":                      func(c *Config) { c.Lanes = []string{"x"} },
		"exclusive":                     func(c *Config) { c.Exclusive = "nonce" },
		"decimals":                      func(c *Config) { c.Decimals = 19 },
		"max_conditions_age_ms":         func(c *Config) { c.MaxConditionsAgeMS = 60_000 },
		"compute_unit_limit":            func(c *Config) { c.ComputeUnitLimit = 2_000_000 },
		"loaded_accounts_data_limit":    func(c *Config) { c.LoadedAccountsDataLimit = 1000 },
		"compute_unit_price_floor":      func(c *Config) { c.ComputeUnitPriceFloor = 9_000_000 },
		"compute_unit_price_percentile": func(c *Config) { c.ComputeUnitPricePercentile = 101 },
		"bump_after_ms":                 func(c *Config) { c.BumpAfterMS = 15_000 }, // without a guard account
		"paid_earlier.below":            func(c *Config) { c.PaidEarlier.Below = "25,00" },
		"poll_interval_ms":              func(c *Config) { c.PollIntervalMS = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := bad.withDefaults().validate(); err == nil || !strings.Contains(err.Error(), ": "+field+": ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	t.Parallel()
	c := &Chain{anchor: &witness.Anchor{}}
	good := chains.Order{IntentID: "pi_1", Seq: 1, To: "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM", Amount: payment.Units(1), Lane: chains.Lane{Address: "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"}}
	huge, err := payment.ParseUnits("18446744073709551616")
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*chains.Order){
		"reuse":       func(o *chains.Order) { o.Reuse = &chains.Slot{} },
		"no id":       func(o *chains.Order) { o.IntentID = "" },
		"long id":     func(o *chains.Order) { o.IntentID = strings.Repeat("x", 129) },
		"attempt 0":   func(o *chains.Order) { o.Seq = 0 },
		"zero":        func(o *chains.Order) { o.Amount = payment.Amount{} },
		"above 2^64":  func(o *chains.Order) { o.Amount = huge },
		"payee":       func(o *chains.Order) { o.To = "x" },
		"lane absent": func(o *chains.Order) { o.Lane.Address = "" },
	} {
		bad := good
		spoil(&bad)
		if _, err := c.Sign(t.Context(), bad); err == nil || errors.Is(err, chains.ErrStale) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Sign(t.Context(), good); !errors.Is(err, chains.ErrStale) {
		t.Errorf("without conditions: %v", err)
	}
}

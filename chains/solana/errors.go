package solana

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// verdictOf classifies a node's refusal of a transaction. The tables below
// are agave's codes (rpc-client-api/src/custom_error.rs) and TransactionErrors.
// Rejected is only what is wrong with the bytes themselves, for ever and on
// every node. All else is unknown: the bytes may be, or may get, on chain.
func verdictOf(err error) chains.Verdict {
	var rpc *rpcpool.Error
	var status *rpcpool.HTTPError
	switch {
	case errors.As(err, &rpc):
		class := classifyCode(rpc)
		return chains.Verdict{Acceptance: class.acceptance, Class: class.name, Detail: rpc.Error()}
	case errors.As(err, &status):
		return chains.Verdict{Acceptance: chains.Unsure, Class: classifyStatus(status.Status), Detail: status.Error()}
	default:
		return chains.Verdict{Acceptance: chains.Unsure, Class: "transport", Detail: err.Error()}
	}
}

// class is one line of an error table.
type class struct {
	acceptance chains.Acceptance
	name       string
}

func unsure(name string) class   { return class{chains.Unsure, name} }
func rejected(name string) class { return class{chains.Rejected, name} }

const preflightFailure = -32002

// unclassified ends the classes of what no table knows.
const unclassified = "unclassified"

// codes maps JSON-RPC error codes; -32002 carries a TransactionError and is
// read by classifyTransactionError.
var codes = map[int]class{
	-32001: unsure("block_cleaned_up"),
	-32003: rejected("signature_verification_failure"),
	-32004: unsure("block_not_available"),
	-32005: unsure("node_unhealthy"),
	-32006: rejected("precompile_verification_failure"),
	-32007: unsure("slot_skipped"),
	-32008: unsure("no_snapshot"),
	-32009: unsure("long_term_storage_slot_skipped"),
	-32010: unsure("key_excluded_from_secondary_index"),
	-32011: unsure("transaction_history_not_available"),
	-32012: unsure("scan_error"),
	-32013: rejected("signature_length_mismatch"),
	-32014: unsure("block_status_not_available_yet"),
	-32015: unsure("unsupported_transaction_version"),
	-32016: unsure("min_context_slot_not_reached"),
	-32017: unsure("epoch_rewards_period_active"),
	-32018: unsure("slot_not_epoch_boundary"),
	-32019: unsure("long_term_storage_unreachable"),
	-32429: unsure("provider_limit"),
	-32600: unsure("invalid_request"),
	-32601: unsure("method_not_found"),
	-32602: rejected("invalid_params"),
	-32603: unsure("internal_error"),
	-32700: unsure("parse_error"),
}

// transactionErrors maps agave's TransactionError. A simulation is one node's
// opinion about one moment: only what no state could change is a rejection.
var transactionErrors = map[string]class{
	"AlreadyProcessed":                  {chains.Accepted, "already_processed"}, // on chain, as a success or a failure: Scan tells
	"BlockhashNotFound":                 unsure("blockhash_not_found"),          // expired, or the node lags (S6)
	"InsufficientFundsForFee":           unsure(chains.VerdictFunds),
	"AccountNotFound":                   unsure(chains.VerdictFunds), // the fee payer has never had any
	"InvalidAccountForFee":              unsure("lane_cannot_pay_fees"),
	"AccountInUse":                      unsure("congestion"),
	"WouldExceedMaxBlockCostLimit":      unsure("congestion"),
	"WouldExceedMaxAccountCostLimit":    unsure("congestion"),
	"WouldExceedAccountDataBlockLimit":  unsure("congestion"),
	"ClusterMaintenance":                unsure("cluster_maintenance"),
	"InsufficientFundsForRent":          rejected("insufficient_funds_for_rent"),
	"TooManyAccountLocks":               rejected("too_many_account_locks"),
	"MaxLoadedAccountsDataSizeExceeded": rejected("loaded_accounts_too_large"),
	"SignatureFailure":                  rejected("signature_failure"),
	"SanitizeFailure":                   rejected("sanitize_failure"),
	"UnsupportedVersion":                rejected("unsupported_version"),
}

// tokenErrors maps the custom errors of the SPL Token program.
var tokenErrors = map[uint64]class{
	0x0:  unsure("account_not_rent_exempt_or_in_use"), // System: the account exists, which with a guard account means paid earlier
	0x1:  unsure("treasury_needs_tokens"),
	0x3:  rejected("mint_mismatch"),
	0x4:  rejected("owner_mismatch"),
	0x11: unsure("token_account_frozen"),
	0x12: rejected("mint_decimals_mismatch"),
}

func classifyCode(e *rpcpool.Error) class {
	if e.Code == preflightFailure {
		var data struct {
			Err json.RawMessage `json:"err"`
		}
		if json.Unmarshal(e.Data, &data) != nil {
			return unsure("preflight_failure")
		}
		return classifyTransactionError(data.Err)
	}
	if c, ok := codes[e.Code]; ok {
		return c
	}
	return unsure(unclassified)
}

// classifyTransactionError reads a TransactionError in JSON: a name, or an
// object with the name as its only key.
func classifyTransactionError(raw json.RawMessage) class {
	name, detail := splitTransactionError(raw)
	if name == "InstructionError" {
		var parts []json.RawMessage
		var custom struct{ Custom *uint64 }
		if json.Unmarshal(detail, &parts) == nil && len(parts) == 2 && json.Unmarshal(parts[1], &custom) == nil && custom.Custom != nil {
			if c, ok := tokenErrors[*custom.Custom]; ok {
				return c
			}
		}
		return unsure("instruction_error")
	}
	if c, ok := transactionErrors[name]; ok {
		return c
	}
	return unsure("transaction_error_" + unclassified)
}

func splitTransactionError(raw json.RawMessage) (name string, detail json.RawMessage) {
	if json.Unmarshal(raw, &name) == nil {
		return name, nil
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(raw, &object) != nil || len(object) != 1 {
		return "", nil
	}
	for name, detail = range object {
	}
	return name, detail
}

// transactionErrorText is a Sighting's reason: the class for programs, the
// chain's own words for people.
func transactionErrorText(raw json.RawMessage) string {
	return fmt.Sprintf("%s: %s", classifyTransactionError(raw).name, strings.TrimSpace(string(raw)))
}

func classifyStatus(status int) string {
	switch {
	case status == 429 || status == 403:
		return "provider_limit"
	case status >= 500 || status == 408:
		return "node_unfit"
	default:
		return "http_error"
	}
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || bytes.Equal(raw, []byte("null")) }

// combine makes one verdict of what all nodes said: a single acceptance is
// enough, and a rejection counts only if nobody is unsure.
func combine(verdicts []chains.Verdict) chains.Verdict {
	best := chains.Verdict{Acceptance: chains.Unsure, Class: "no_answer"}
	rank := map[chains.Acceptance]int{chains.Rejected: 1, chains.Unsure: 2, chains.Accepted: 3}
	top := 0
	for _, v := range verdicts {
		if rank[v.Acceptance] > top {
			best, top = v, rank[v.Acceptance]
		}
	}
	return best
}

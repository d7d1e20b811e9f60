package evm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// TestClassifyMessages has one line per message and client, as the clients
// write them.
func TestClassifyMessages(t *testing.T) {
	t.Parallel()
	for class, lines := range map[Class][]string{
		ClassKnown: {
			"geth, reth, nethermind: already known",
			"geth old: known transaction: 0xabc",
			"besu: Known transaction",
			"nethermind old: AlreadyKnown",
			"erigon: existing txn with same hash",
			"erigon: ALREADY_EXISTS: already known",
			"anvil: transaction already imported",
			"parity: Transaction with the same hash was already imported.",
			"gnosis: alreadyknown",
			"zksync: known transaction. transaction with hash 0xabc is already in the system",
			"sei: tx already exists in cache",
		},
		ClassNonceUsed: {
			"geth: nonce too low: next nonce 1000, tx nonce 5",
			"arbitrum: nonce too low: address 0xabc, tx: 5 state: 7",
			"avalanche: nonce too low: address 0xabc current nonce (7) > tx nonce (5)",
			"zksync: nonce too low. allowed nonce range: 7 - 20, actual: 5",
			"besu: Nonce too low",
			"nethermind old: OldNonce, Current nonce: 7, nonce of rejected tx: 5",
			"nethermind old: OwnNonceAlreadyUsed",
			"parity: Transaction nonce is too low. Try incrementing the nonce.",
			"provider: Transaction nonce too low",
			"arbitrum: invalid transaction nonce",
			"geth: nonce has max value",
		},
		ClassNonceAhead: {
			"geth: nonce too high: tx nonce 9, gapped nonce 7",
			"anvil: Nonce too high",
			"besu: Transaction nonce is too distant from current sender nonce",
			"besu: An invalid transaction with a lower nonce exists",
			"nethermind: nonce too far in future",
			"nethermind old: NonceGap, Future nonce. Expected nonce: 7",
			"nethermind: delegation nonce gap",
			"geth: gapped-nonce tx from delegated accounts",
			"other: nonce is too high", "other: nonce out of range", "other: tx-nonce-too-high", "other: exceeds next nonce",
		},
		ClassReplacement: {
			"geth, reth, anvil, nethermind, erigon: replacement transaction underpriced",
			"besu: Replacement transaction underpriced",
			"geth: future transaction tries to replace pending",
			"erigon: could not replace existing tx",
			"erigon: replaced by transaction with higher tip",
			"nethermind: pending transaction type conflict",
			"geth: address already reserved",
		},
		ClassUnderpriced: {
			"geth: transaction underpriced",
			"geth: transaction gas price below minimum: gas tip cap 1, minimum needed 2",
			"geth, reth: txpool is full",
			"geth: account limit exceeded: pooled 16 txs",
			"anvil: max fee per gas less than block base fee",
			"erigon: underpriced", "erigon: fee too low", "erigon: pending sub-pool is full", "erigon: baseFee sub-pool is full",
			"erigon: queued sub-pool is full", "erigon: spammer",
			"nethermind: FeeTooLow", "nethermind: FeeTooLowToCompete",
			"besu: Gas price below configured minimum gas price", "besu: Gas price below current base fee",
			"arbitrum: gas price too low", "arbitrum: sequencer pending tx pool full, please try again", "arbitrum: queue full",
			"parity: There are too many transactions in the queue. Your transaction was dropped due to limit.",
			"mantle: failed to forward tx to sequencer, please try again. Error message: 'x'",
		},
		ClassDelegated: {
			"geth: in-flight transaction limit reached for delegated accounts",
			"geth: authority already reserved",
			"erigon: EIP-7702 transaction with authority already reserved",
			"nethermind: delegation authority has pending transaction",
		},
		ClassFunds: {
			"geth: insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1",
			"geth: insufficient funds for transfer",
			"anvil: Insufficient funds for gas * price + value",
			"erigon: insufficient funds",
			"nethermind old: InsufficientFunds",
			"besu: Upfront cost exceeds account balance",
		},
		ClassInvalid: {
			"geth: intrinsic gas too low: gas 1, minimum needed 21000",
			"geth: insufficient gas for floor data gas cost: gas 1, minimum needed 2",
			"geth: gas uint64 overflow", "geth: exceeds block gas limit",
			"geth: transaction gas limit too high (cap: 16777216, tx: 20000000)",
			"reth: exceeds max transaction gas limit",
			"geth: max priority fee per gas higher than max fee per gas",
			"geth: tx fee (1.10 ether) exceeds the configured cap (1.00 ether)",
			"reth: tx fee (11 wei) exceeds the configured cap (10 wei)",
			"besu: Transaction fee cap exceeded", "besu: Intrinsic gas exceeds gas limit",
			"besu: Transaction gas limit exceeds block gas limit", "besu: Max priority fee per gas exceeds max fee per gas",
			"nethermind: GasLimitExceeded", "nethermind: gas limit reached", "nethermind: transaction cost overflow", "nethermind: Int256Overflow",
			"erigon: IntrinsicGas", "erigon: GasUintOverflow", "erigon: gas limit is too high",
			"anvil: intrinsic gas too low", "anvil: intrinsic gas too high -- tx.gas_limit > env.block.gas_limit",
			"anvil: Transaction gas limit is greater than the block gas limit, gas_limit: 2, cap: 1",
			"geth: out of gas covering EIP-2780 runtime charge",
		},
		ClassMisconfigured: {
			"geth: invalid sender", "geth: invalid chain id for signer: have 1 want 2", "besu: Wrong chainId", "besu: Invalid signature",
			"besu: Sender account not authorized to send transactions", "geth: sender not an eoa: address 0xabc", "nethermind: SenderIsContract",
			"nethermind: FailedToResolveSender", "nethermind: failed to recover sender",
			"geth: only replay-protected (EIP-155) transactions allowed over RPC",
			"geth: transaction type not supported", "reth: unsupported transaction type",
			"anvil: fork supporting this transaction type is not activated yet",
			"geth: oversized data: transaction size 200000, limit 131072", "erigon: RLPTooLong", "reth: transaction too large", "geth: negative value",
			"anvil: Failed to decode transaction", "besu: Plugin has marked the transaction as invalid",
		},
		ClassAcceptedUnmined: {
			"geth: The transaction was added to the transaction pool but wasn't processed in 500ms",
			"reth: Transaction 0xabc was added to the mempool but wasn't confirmed within 30s",
		},
		ClassNodeUnfit: {
			"infra: limit exceeded", "infra: rate limit reached", "geth: request timed out", "geth: response too large", "geth: batch too large",
			"besu: Initial sync is still in progress", "besu: Transaction pool not enabled. (Either txpool is disabled or sync is in progress)",
			"besu: Timeout expired", "nethermind: node is syncing", "geth: transaction indexing is in progress",
			"geth: the method eth_foo does not exist/is not available", "besu: Method not found", "geth: header not found", "geth: missing trie node abc",
		},
		ClassReverted:     {"geth: execution reverted: FiatTokenV2: authorization is expired"},
		ClassUnclassified: {"somebody: computer says no", "somebody: unknown transaction", "somebody: not determined"},
	} {
		for _, line := range lines {
			if got := classifyText(line, -32000, nil); got != class {
				t.Errorf("%q: %s, want %s", line, got, class)
			}
		}
	}
	if got := classifyText("mined", -32000, nil); got != ClassNonceUsed {
		t.Errorf("erigon's mined: %s, want %s", got, ClassNonceUsed)
	}
}

func nodeError(message string, code int, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err)
	}
	return &rpcpool.Error{Message: message, Code: code, Data: raw}
}

func TestClassifyErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want Class
	}{
		{"success", nil, ClassAccepted},
		{"closed connection", errors.New("EOF"), ClassNodeUnfit},
		{"nobody listens", errors.New("dial tcp: connection refused"), ClassNodeUnfit},
		{"HTTP 429", &rpcpool.HTTPError{Status: 429}, ClassNodeUnfit},
		{"HTTP 502", &rpcpool.HTTPError{Status: 502}, ClassNodeUnfit},
		{"no JSON", errors.New("invalid character '<' looking for beginning of value"), ClassNodeUnfit},
		{"message over code", nodeError("nonce too low", -32005, nil), ClassNonceUsed},
		{"wrapped", fmt.Errorf("send: %w", nodeError("already known", -32000, nil)), ClassKnown},
		{"words in data", nodeError("internal error", -32603, "nonce too low"), ClassNonceUsed},
		{"bytes in data are no words", nodeError("failed", -32000, "0x08c379a0"), ClassUnclassified},
		{"code alone", nodeError("no", -32601, nil), ClassNodeUnfit},
		{"revert code", nodeError("no", 3, nil), ClassReverted},
	} {
		if got := classify(c.err, nil); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestVerdictJoinsNodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		classes []Class
		want    chains.Acceptance
		class   Class
	}{
		{"one accepts", []Class{ClassNodeUnfit, ClassAccepted}, chains.Accepted, ClassAccepted},
		{"one has it already", []Class{ClassKnown, ClassNonceUsed}, chains.Accepted, ClassKnown},
		{"accepted here, impossible there", []Class{ClassAccepted, ClassMisconfigured}, chains.Accepted, ClassAccepted},
		{"all refuse", []Class{ClassInvalid, ClassInvalid}, chains.Rejected, ClassInvalid},
		{"one refuses, one is gone", []Class{ClassNodeUnfit, ClassInvalid}, chains.Rejected, ClassInvalid},
		{"one refuses, one has used the nonce", []Class{ClassInvalid, ClassNonceUsed}, chains.Unsure, ClassNonceUsed},
		{"nonce used everywhere", []Class{ClassNonceUsed, ClassNonceUsed}, chains.Unsure, ClassNonceUsed},
		{"too poor here, gone there", []Class{ClassNodeUnfit, ClassFunds}, chains.Unsure, ClassFunds},
		{"all gone", []Class{ClassNodeUnfit, ClassNodeUnfit}, chains.Unsure, ClassNodeUnfit},
		{"another hash", []Class{ClassHashMismatch}, chains.Unsure, ClassHashMismatch},
		{"nothing known", []Class{ClassUnclassified}, chains.Unsure, ClassUnclassified},
	} {
		answers := make([]answer, len(c.classes))
		for i, class := range c.classes {
			answers[i] = answer{class: class}
		}
		if got := verdict(answers); got.Acceptance != c.want || got.Class != string(c.class) {
			t.Errorf("%s: %s %s, want %s %s", c.name, got.Acceptance, got.Class, c.want, c.class)
		}
	}
}

// TestChainsHaveErrorsOfTheirOwn: the configuration's lines come before the table.
func TestChainsHaveErrorsOfTheirOwn(t *testing.T) {
	t.Parallel()
	cfg := Config{ErrorClasses: map[Class][]string{ClassUnderpriced: {"Bid Below Reserve"}, ClassNodeUnfit: {"already known to be down"}}}
	set, _ := cfg.check()
	for text, want := range map[string]Class{
		"tx rejected: BID below reserve":   ClassUnderpriced,
		"backend already known to be down": ClassNodeUnfit,
		"already known":                    ClassKnown,
		"something else":                   ClassUnclassified,
	} {
		if got := classify(&rpcpool.Error{Code: -32000, Message: text}, set.errorLines); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	for _, wrong := range []map[Class][]string{{"nonsense": {"x"}}, {ClassFunds: {""}}} {
		if err := (Config{ErrorClasses: wrong}).Validate(); err == nil || !strings.Contains(err.Error(), "error_classes") {
			t.Errorf("%v: %v", wrong, err)
		}
	}
}

package evm

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// Class is what a node's answer to a transaction means.
type Class string

// Classes, in the order in which the table is searched.
const (
	ClassAccepted        Class = "accepted"
	ClassKnown           Class = "already_known"             // these bytes are in the pool
	ClassNonceUsed       Class = "nonce_too_low"             // the nonce is consumed, perhaps by these bytes: look
	ClassNonceAhead      Class = "nonce_ahead"               // waits for its predecessors
	ClassReplacement     Class = chains.VerdictReplacement   // another transaction of this nonce is pooled
	ClassUnderpriced     Class = chains.VerdictUnderpriced   // too cheap, or the pool is full
	ClassDelegated       Class = "delegated_account"         // EIP-7702 limits: one in flight
	ClassFunds           Class = chains.VerdictFunds         // the lane cannot pay the gas
	ClassInvalid         Class = "invalid_transaction"       // for these bytes, definitely
	ClassMisconfigured   Class = chains.VerdictMisconfigured // key, network or type of transaction: definitely, and a person must look
	ClassAcceptedUnmined Class = "accepted_unmined"          // eth_sendRawTransactionSync ran into its timeout
	ClassNodeUnfit       Class = "node_unfit"                // transport, limits, syncing
	ClassReverted        Class = "execution_reverted"        // a gateway simulated it
	ClassHashMismatch    Class = "hash_mismatch"             // the node named another hash than the bytes have
	ClassUnclassified    Class = "unclassified"
)

// acceptance is what a class says about the bytes.
func (c Class) acceptance() chains.Acceptance {
	switch c {
	case ClassAccepted, ClassKnown, ClassAcceptedUnmined:
		return chains.Accepted
	case ClassInvalid, ClassMisconfigured:
		return chains.Rejected
	default:
		return chains.Unsure
	}
}

// messages is searched from the top; the first line that the message contains,
// without regard to case, decides. Codes are no help: -32000 to -32010 mean
// different things on different clients. Sources: geth, op-geth, reth, erigon,
// besu, nethermind, anvil, parity, Arbitrum, Avalanche, zkSync, Sei, Mantle.
var messages = []struct {
	class Class
	any   []string
}{
	{ClassKnown, []string{
		"already known", "alreadyknown", "known transaction", "existing txn with same hash", "already_exists",
		"transaction already imported", "same hash was already imported", "tx already exists in cache",
	}},
	{ClassNonceUsed, []string{
		"nonce too low", "nonce is too low", "oldnonce", "ownnoncealreadyused", "invalid transaction nonce", "nonce has max value",
	}},
	{ClassNonceAhead, []string{
		"nonce too high", "nonce is too high", "nonce is too distant", "an invalid transaction with a lower nonce exists", "nonce too far in future",
		"noncegap", "delegation nonce gap", "gapped-nonce tx from delegated accounts", "nonce out of range", "tx-nonce-too-high", "exceeds next nonce",
	}},
	{ClassReplacement, []string{
		"replacement transaction underpriced", "future transaction tries to replace pending", "could not replace existing tx",
		"replaced by transaction with higher tip", "pending transaction type conflict", "address already reserved",
	}},
	{ClassUnderpriced, []string{
		"underpriced", "gas price below minimum", "txpool is full", "account limit exceeded", "max fee per gas less than block base fee",
		"fee too low", "sub-pool is full", "spammer", "feetoolow", "gas price below configured minimum", "gas price below current base fee",
		"gas price too low", "pending tx pool full", "queue full", "too many transactions in the queue", "failed to forward tx to sequencer",
	}},
	{ClassDelegated, []string{
		"in-flight transaction limit reached for delegated accounts", "authority already reserved", "delegation authority has pending transaction",
	}},
	{ClassFunds, []string{"insufficient funds", "insufficientfunds", "upfront cost exceeds account balance"}},
	{ClassInvalid, []string{
		"intrinsic gas too low", "insufficient gas for floor data gas cost", "gas uint64 overflow", "exceeds block gas limit",
		"transaction gas limit too high", "exceeds max transaction gas limit", "max priority fee per gas higher than max fee per gas",
		"exceeds the configured cap", "transaction fee cap exceeded", "intrinsic gas exceeds gas limit",
		"max priority fee per gas exceeds max fee per gas", "gaslimitexceeded", "gas limit reached", "transaction cost overflow",
		"int256overflow", "intrinsicgas", "gasuintoverflow", "gas limit is too high", "intrinsic gas too high",
		"greater than the block gas limit", "out of gas covering eip-2780",
	}},
	{ClassMisconfigured, []string{
		"invalid sender", "invalid chain id", "wrong chainid", "invalid signature", "sender account not authorized to send transactions",
		"sender not an eoa", "senderiscontract", "failedtoresolvesender", "failed to recover sender",
		"only replay-protected (eip-155) transactions allowed", "transaction type not supported", "unsupported transaction type",
		"supporting this transaction type is not activated yet", "oversized data", "rlptoolong", "transaction too large", "negative value",
		"failed to decode transaction", "marked the transaction as invalid",
	}},
	{ClassAcceptedUnmined, []string{"was added to the mempool but", "was added to the transaction pool but"}},
	{ClassNodeUnfit, []string{
		"timeout", "timed out", "eof", "connection refused", "connection reset", "network is unreachable", "limit exceeded", "rate limit",
		"too many requests", "response too large", "batch too large", "initial sync is still in progress", "transaction pool not enabled",
		"node is syncing", "indexing is in progress", "method not found", "does not exist/is not available", "header not found", "missing trie node",
	}},
	{ClassReverted, []string{"execution reverted"}},
}

// codes decides where no message matched.
var codes = map[int]Class{
	3: ClassReverted, 4: ClassAcceptedUnmined, -32601: ClassNodeUnfit,
	-38010: ClassReverted, -38011: ClassReverted, -38012: ClassReverted, -38013: ClassReverted, -38014: ClassReverted, -38026: ClassReverted,
}

// classify sorts a node's answer. nil is acceptance; whatever is no JSON-RPC
// error came from the way to the node.
func classify(err error) Class {
	if err == nil {
		return ClassAccepted
	}
	var answer *rpcpool.Error
	if !errors.As(err, &answer) {
		return ClassNodeUnfit
	}
	text := strings.ToLower(answer.Message)
	var data string
	if json.Unmarshal(answer.Data, &data) == nil && !strings.HasPrefix(data, "0x") {
		text += "\n" + strings.ToLower(data)
	}
	return classifyText(text, answer.Code)
}

func classifyText(text string, code int) Class {
	text = strings.ToLower(text)
	if text == "mined" { // erigon's discard reason; too short to look for inside others
		return ClassNonceUsed
	}
	text = strings.ReplaceAll(text, "unknown transaction", "") // is no "known transaction"
	for _, line := range messages {
		for _, words := range line.any {
			if strings.Contains(text, words) {
				return line.class
			}
		}
	}
	if class, ok := codes[code]; ok {
		return class
	}
	return ClassUnclassified
}

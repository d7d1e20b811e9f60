package faultproxy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	sol "github.com/gagliardetto/solana-go"
)

// Kind is a way to fail.
type Kind string

// Kinds.
const (
	LostResponse Kind = "lost response" // forwarded, then answered 502
	LostHangUp   Kind = "lost hang-up"  // forwarded, then the connection is closed
	Swallowed    Kind = "swallowed"     // never forwarded, answered with the hash or signature as if it were; sends only
	Refused      Kind = "refused"       // not forwarded, answered like a node whose network is another one; Ethereum's sends only
	RateLimited  Kind = "rate limited"  // not forwarded, answered 429
	BadGateway   Kind = "bad gateway"   // not forwarded, answered 502
	HangUp       Kind = "hang-up"       // not forwarded, the connection is closed
	Hang         Kind = "hang"          // not forwarded, no answer until the client gives up
	Slow         Kind = "slow"          // forwarded after Fault.Delay
	Forgetful    Kind = "forgetful"     // a receipt is null, a transaction unknown, a status absent, a list of logs empty
	FalseFailure Kind = "false failure" // a transaction is in a final block and has failed, whatever became of it; a list of logs empty
)

// The methods that hand a transaction to a node.
const (
	EthereumSend = "eth_sendRawTransaction"
	SolanaSend   = "sendTransaction"
)

// Fault is one way to fail at one method.
type Fault struct {
	Kind   Kind
	Method string        // "" is any
	Times  int           // how many requests it strikes; 0: until Clear
	Skip   int           // of the requests that it would strike, how many it spares before each one that it does
	Delay  time.Duration // of Slow

	spared int
}

// transport reports whether the fault strikes the whole request.
func (k Kind) transport() bool {
	return k != Swallowed && k != Refused && k != Forgetful && k != FalseFailure
}

// call is one JSON-RPC request.
type call struct {
	Version string            `json:"jsonrpc"`
	ID      json.RawMessage   `json:"id"`
	Method  string            `json:"method"`
	Params  []json.RawMessage `json:"params"`
}

type answer struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result"`
}

func (c call) answer(result any) (json.RawMessage, error) {
	return json.Marshal(answer{Version: "2.0", ID: c.ID, Result: result})
}

// refuse is what go-ethereum says to a transaction for another chain.
func (c call) refuse() (json.RawMessage, error) {
	return json.Marshal(map[string]any{"jsonrpc": "2.0", "id": c.ID, "error": map[string]any{
		"code": -32000, "message": "invalid sender: invalid chain id for signer: have 1 want 2"}})
}

// swallow is what a node says that accepted the transaction.
func (c call) swallow() (json.RawMessage, error) {
	var text string
	if len(c.Params) == 0 || json.Unmarshal(c.Params[0], &text) != nil {
		return nil, fmt.Errorf("%s without a transaction", c.Method)
	}
	switch c.Method {
	case EthereumSend:
		raw, err := hexutil.Decode(text)
		if err != nil {
			return nil, err
		}
		return c.answer(crypto.Keccak256Hash(raw))
	case SolanaSend:
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, err
		}
		tx, err := sol.TransactionFromBytes(raw)
		if err != nil {
			return nil, err
		}
		return c.answer(tx.Signatures[0].String())
	}
	return nil, fmt.Errorf("%s sends nothing", c.Method)
}

// forget is what a node says that has not heard of anything. Calls that are not
// about transactions keep the true answer.
func (c call) forget(truth json.RawMessage) (json.RawMessage, error) {
	switch c.Method {
	case "eth_getTransactionReceipt", "eth_getTransactionByHash", "getTransaction":
		return c.answer(nil)
	case "eth_getLogs", "getSignaturesForAddress":
		return c.answer([]any{})
	case "getSignatureStatuses":
		return c.edit(truth, func(result map[string]any) {
			values, _ := result["value"].([]any)
			result["value"] = make([]any, len(values))
		})
	}
	return truth, nil
}

// Where a false failure is on Ethereum: a block with a hash that it does not have.
const falseBlock = "0x1"

var (
	falseHash  = common.HexToHash("0xb10c")
	falseError = map[string]any{"InstructionError": []any{0, "InvalidAccountData"}}
)

// fail is what a node says to which every transaction has failed for good. The
// lie holds together: the receipt's block is the one that the node shows at its
// number, and a transaction of Solana shows the error of its status.
func (c call) fail(truth json.RawMessage) (json.RawMessage, error) {
	switch c.Method {
	case "eth_getLogs":
		return c.answer([]any{})
	case "eth_getTransactionReceipt":
		if len(c.Params) == 0 {
			return nil, fmt.Errorf("%s without a hash", c.Method)
		}
		return c.answer(map[string]any{"transactionHash": c.Params[0], "status": "0x0", "blockNumber": falseBlock, "blockHash": falseHash,
			"gasUsed": "0x1", "effectiveGasPrice": "0x1", "from": common.Address{}, "logs": []any{}})
	case "eth_getBlockByNumber":
		return c.edit(truth, func(block map[string]any) {
			if block["number"] == falseBlock {
				block["hash"] = falseHash
			}
		})
	case "getSignatureStatuses":
		return c.edit(truth, func(result map[string]any) {
			values, _ := result["value"].([]any)
			for i, v := range values {
				status, known := v.(map[string]any)
				if !known {
					status = map[string]any{"slot": 1}
				}
				status["err"], status["confirmations"], status["confirmationStatus"] = falseError, nil, "finalized"
				values[i] = status
			}
		})
	case "getTransaction":
		return c.edit(truth, func(result map[string]any) {
			if meta, known := result["meta"].(map[string]any); known {
				meta["err"] = falseError
			}
		})
	}
	return truth, nil
}

// edit changes the result in an answer; where there is none the answer stays.
func (c call) edit(truth json.RawMessage, change func(result map[string]any)) (json.RawMessage, error) {
	var known struct {
		Result map[string]any `json:"result"`
	}
	if err := json.Unmarshal(truth, &known); err != nil {
		return nil, err
	}
	if known.Result == nil {
		return truth, nil
	}
	change(known.Result)
	return c.answer(known.Result)
}

package faultproxy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

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
	RateLimited  Kind = "rate limited"  // not forwarded, answered 429
	BadGateway   Kind = "bad gateway"   // not forwarded, answered 502
	HangUp       Kind = "hang-up"       // not forwarded, the connection is closed
	Hang         Kind = "hang"          // not forwarded, no answer until the client gives up
	Slow         Kind = "slow"          // forwarded after Fault.Delay
	Forgetful    Kind = "forgetful"     // a receipt is null, a transaction unknown, a status absent, a list of logs empty
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
func (k Kind) transport() bool { return k != Swallowed && k != Forgetful }

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
		var known struct {
			Result struct {
				Context json.RawMessage   `json:"context"`
				Value   []json.RawMessage `json:"value"`
			} `json:"result"`
		}
		if err := json.Unmarshal(truth, &known); err != nil {
			return nil, err
		}
		return c.answer(map[string]any{"context": known.Result.Context, "value": make([]any, len(known.Result.Value))})
	}
	return truth, nil
}

package evm_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
)

// TestOneNodeGoesWrong runs the fault cases of all chain families.
func TestOneNodeGoesWrong(t *testing.T) {
	t.Parallel()
	chaintest.RunFaults(t, harness(sandbox.StartEthereum(t, 100*time.Millisecond), evm.MethodEIP3009))
}

func lies(token string) chaintest.Lies {
	none, no := []any{}, hexutil.Encode(make([]byte, 32))
	hides := func(chains.Watched) chaintest.Rewrite {
		return func(method string, _ []json.RawMessage, result json.RawMessage) any {
			switch method {
			case "eth_getLogs":
				return none
			case "eth_getTransactionReceipt":
				return nil
			}
			return result
		}
	}
	return chaintest.Lies{
		Hides:   hides,
		Invents: func(w chains.Watched) chaintest.Rewrite { return invents(w, token) },
		Kills: func(w chains.Watched) chaintest.Rewrite {
			hide := hides(w)
			return func(method string, params []json.RawMessage, result json.RawMessage) any {
				switch {
				case method == "eth_getBlockByNumber" && string(params[0]) == `"finalized"`:
					return with(result, "timestamp", hexutil.Uint64(w.Slot.ExpiresAt.Unix()+1))
				case method == "eth_call" && strings.Contains(string(params[0]), "0xe94a0102"): // authorizationState
					return no
				}
				return hide(method, params, result)
			}
		},
		Lags: func(w chains.Watched) chaintest.Rewrite {
			hide := hides(w)
			return func(method string, params []json.RawMessage, result json.RawMessage) any {
				switch {
				case method == "eth_blockNumber":
					return "0x1"
				case method == "eth_getBlockByNumber" && !bytes.HasPrefix(params[0], []byte(`"0x`)):
					return with(result, "number", "0x1")
				}
				return hide(method, params, result)
			}
		},
		Network: func(w chains.Watched) chaintest.Rewrite {
			hide := hides(w)
			return func(method string, params []json.RawMessage, result json.RawMessage) any {
				if method == "eth_chainId" {
					return "0x2a"
				}
				return hide(method, params, result)
			}
		},
		Finalized: func(chains.Watched) chaintest.Rewrite {
			return func(method string, params []json.RawMessage, result json.RawMessage) any {
				if method == "eth_getBlockByNumber" && bytes.HasPrefix(params[0], []byte(`"0x`)) {
					return with(result, "hash", crypto.Keccak256Hash(result))
				}
				return result
			}
		},
	}
}

// with sets a field of a block.
func with(result json.RawMessage, field string, value any) any {
	var block map[string]any
	if json.Unmarshal(result, &block) != nil || block == nil {
		return result
	}
	block[field] = value
	return block
}

// invents a payment in block 1: its log, its receipt, all consistent.
func invents(w chains.Watched, token string) chaintest.Rewrite {
	tx, hash := common.HexToHash(w.Txs[0].Hash), ""
	entry := func(index int, topics []common.Hash, data []byte) map[string]any {
		return map[string]any{
			"address": token, "topics": topics, "data": hexutil.Bytes(data), "blockHash": hash, "blockNumber": "0x1",
			"transactionHash": tx, "logIndex": hexutil.Uint64(index), "removed": false,
		}
	}
	from, to := common.HexToHash(w.Slot.Authority), common.HexToHash(w.To)
	amount := w.Amount.Bytes32()
	used := []common.Hash{crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)")), from, common.HexToHash(w.Slot.Nonce)}
	transfer := []common.Hash{crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)")), from, to}
	hash = common.HexToHash("0xb10c").Hex()
	return func(method string, params []json.RawMessage, result json.RawMessage) any {
		switch {
		case method == "eth_getLogs":
			var logs []any
			if json.Unmarshal(result, &logs) != nil {
				return result
			}
			return append(logs, entry(0, used, nil))
		case method == "eth_getTransactionReceipt" && strings.Contains(string(params[0]), tx.Hex()):
			return map[string]any{
				"transactionHash": tx, "blockHash": hash, "blockNumber": "0x1", "status": "0x1", "gasUsed": "0x1", "effectiveGasPrice": "0x1",
				"from": w.Slot.Authority, "logs": []any{entry(0, used, nil), entry(1, transfer, amount[:])},
			}
		case method == "eth_getBlockByNumber" && string(params[0]) == `"0x1"`:
			return with(result, "hash", hash)
		}
		return result
	}
}

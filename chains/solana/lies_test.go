package solana_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"
	"time"

	bin "github.com/gagliardetto/binary"
	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
)

// TestOneNodeGoesWrong runs the fault cases of all chain families.
func TestOneNodeGoesWrong(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []string{solana.ExclusiveBlockhash, solana.ExclusiveGuard} {
		t.Run(exclusive, func(t *testing.T) {
			t.Parallel()
			h := harness(sandbox.StartSolana(t, 50*time.Millisecond), exclusive)
			h.Advance = nil // its clock is quick enough
			chaintest.RunFaults(t, h)
		})
	}
}

// answers is an answer about several signatures or accounts as of a slot, with
// another one about that which is named.
func answers(params []json.RawMessage, result json.RawMessage, slot uint64, of string, is any) any {
	var asked []string
	var answer struct {
		Context map[string]any `json:"context"`
		Value   []any          `json:"value"`
	}
	if json.Unmarshal(params[0], &asked) != nil || json.Unmarshal(result, &answer) != nil {
		return result
	}
	if slot > 0 {
		answer.Context["slot"] = slot
	}
	if at := slices.Index(asked, of); at >= 0 {
		answer.Value[at] = is
	}
	return answer
}

func lies(s sandbox.Solana) chaintest.Lies {
	const far = 1_000_000
	// at answers as of a slot or height, without knowing the payment.
	at := func(w chains.Watched, slot uint64) chaintest.Rewrite {
		return func(method string, params []json.RawMessage, result json.RawMessage) any {
			switch method {
			case "getSignatureStatuses":
				return answers(params, result, slot, w.Txs[0].Hash, nil)
			case "getTransaction":
				return nil
			case "getMultipleAccounts":
				if slot > 0 {
					return answers(params, result, slot, w.Slot.Nonce, nil)
				}
			case "getSignaturesForAddress":
				if slot > 0 {
					return []any{}
				}
			case "getBlockHeight", "getSlot":
				if slot > 0 {
					return slot
				}
			case "isBlockhashValid":
				if slot > 0 {
					return map[string]any{"context": map[string]any{"slot": slot}, "value": false}
				}
			}
			return result
		}
	}
	return chaintest.Lies{
		Hides:   func(w chains.Watched) chaintest.Rewrite { return at(w, 0) },
		Invents: func(w chains.Watched) chaintest.Rewrite { return invents(w, s.USDCMint) },
		Kills:   func(w chains.Watched) chaintest.Rewrite { return at(w, far) },
		Lags:    func(w chains.Watched) chaintest.Rewrite { return at(w, 1) },
		Network: func(w chains.Watched) chaintest.Rewrite {
			hide := at(w, 0)
			return func(method string, params []json.RawMessage, result json.RawMessage) any {
				if method == "getGenesisHash" {
					return "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
				}
				return hide(method, params, result)
			}
		},
		Finalized: func(chains.Watched) chaintest.Rewrite {
			return func(method string, _ []json.RawMessage, result json.RawMessage) any {
				if method == "getBlock" {
					return json.RawMessage(bytes.Replace(result, []byte(`"blockhash":"`), []byte(`"blockhash":"another`), 1))
				}
				return result
			}
		},
	}
}

// invents a payment in slot 1, with everything that proves one.
func invents(w chains.Watched, mint string) chaintest.Rewrite {
	tx, err := sol.TransactionFromDecoder(bin.NewBinDecoder(w.Txs[0].Raw))
	if err != nil {
		panic(err)
	}
	ata, _, err := sol.FindAssociatedTokenAddress(sol.MustPublicKeyFromBase58(w.To), sol.MustPublicKeyFromBase58(mint))
	if err != nil {
		panic(err)
	}
	transaction := map[string]any{
		"slot": 1, "blockTime": 1, "transaction": []string{base64.StdEncoding.EncodeToString(w.Txs[0].Raw), "base64"},
		"meta": map[string]any{
			"err": nil, "fee": 10_000, "preBalances": []int{50_000}, "postBalances": []int{40_000}, "preTokenBalances": []any{},
			"postTokenBalances": []any{map[string]any{
				"accountIndex": slices.Index(tx.Message.AccountKeys, ata), "mint": mint, "owner": w.To,
				"uiTokenAmount": map[string]any{"amount": w.Amount.String()},
			}},
		},
	}
	return func(method string, params []json.RawMessage, result json.RawMessage) any {
		switch {
		case method == "getSignatureStatuses":
			return answers(params, result, 0, w.Txs[0].Hash, map[string]any{"slot": 1, "confirmations": nil, "err": nil, "confirmationStatus": "finalized"})
		case method == "getTransaction" && bytes.Contains(params[0], []byte(w.Txs[0].Hash)):
			return transaction
		}
		return result
	}
}

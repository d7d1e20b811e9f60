package deployment

import (
	"context"
	"encoding/json"
	"math/big"
	"regexp"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// ChainPayment is one transfer out of a treasury as its chain tells it. It is
// read from logs and token balances, past everything that Settle believes.
type ChainPayment struct {
	Chain  payment.Chain
	TxHash string
	To     string         // address on Ethereum; owner on Solana
	Amount payment.Amount // base units
}

// seqs is how many attempts of an intent are looked for.
const seqs = 10

// PaidOnChain returns every payment out of the treasuries by intent. Transfers
// that belong to none of the intents are under "".
func (d *Deployment) PaidOnChain(t sandbox.T, intents []string) map[string][]ChainPayment {
	t.Helper()
	paid := map[string][]ChainPayment{}
	d.paidOnEthereum(t, intents, paid)
	d.paidOnSolana(t, paid)
	return paid
}

func (d *Deployment) paidOnEthereum(t sandbox.T, intents []string, paid map[string][]ChainPayment) {
	t.Helper()
	ctx, e := t.Context(), d.Sandbox.Descriptor.Ethereum
	client, err := ethclient.DialContext(ctx, e.HTTPURL)
	must(t, err)
	defer client.Close()
	token, treasury := common.HexToAddress(e.USDC), common.HexToAddress(d.EthereumTreasury)
	byNonce := map[common.Hash]string{}
	for _, id := range intents {
		for seq := 1; seq <= seqs; seq++ {
			byNonce[evm.AuthorizationNonce(e.ChainID, token, treasury, id, seq)] = id
		}
	}
	used := crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	transfer := crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
	logs := logsOf(t, client, token, [][]common.Hash{{used, transfer}, {common.BytesToHash(treasury.Bytes())}})
	nonces := map[common.Hash][]common.Hash{} // by transaction, in log order
	for _, l := range logs {
		if l.Topics[0] == used {
			nonces[l.TxHash] = append(nonces[l.TxHash], l.Topics[2])
		}
	}
	seen := map[common.Hash]int{}
	for _, l := range logs {
		if l.Topics[0] != transfer {
			continue
		}
		id := ""
		if n := seen[l.TxHash]; n < len(nonces[l.TxHash]) {
			id = byNonce[nonces[l.TxHash][n]]
		}
		seen[l.TxHash]++
		paid[id] = append(paid[id], ChainPayment{Chain: "ethereum", TxHash: l.TxHash.Hex(), To: payee(l), Amount: value(t, l)})
	}
}

// paidByPayer returns the transfers that a sponsored payment's authorization has
// made of its amount to its payee.
func (d *Deployment) paidByPayer(t sandbox.T, r payment.Resource) (paid []ChainPayment) {
	t.Helper()
	ctx, e := t.Context(), d.Sandbox.Descriptor.Ethereum
	client, err := ethclient.DialContext(ctx, e.HTTPURL)
	must(t, err)
	defer client.Close()
	used := crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	logs := logsOf(t, client, common.HexToAddress(e.USDC),
		[][]common.Hash{{used}, {common.BytesToHash(common.HexToAddress(r.Authorization.From).Bytes())}, {common.HexToHash(r.Authorization.Nonce)}})
	for _, l := range logs {
		receipt, err := client.TransactionReceipt(ctx, l.TxHash)
		must(t, err)
		for i, x := range receipt.Logs[:len(receipt.Logs)-1] {
			if x.Index != l.Index {
				continue
			}
			p := ChainPayment{Chain: "ethereum", TxHash: l.TxHash.Hex(), To: payee(*receipt.Logs[i+1]), Amount: value(t, *receipt.Logs[i+1])}
			if p.To == r.Destinations[0].Address && p.Amount.Decimal(payment.USDC.Decimals) == r.Amount {
				paid = append(paid, p)
			}
		}
	}
	return paid
}

// logsOf returns all logs of a contract with the topics. A node that indexes its
// newest blocks meanwhile answers with an error, and is asked again.
func logsOf(t sandbox.T, client *ethclient.Client, contract common.Address, topics [][]common.Hash) []types.Log {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		logs, err := client.FilterLogs(ctx, ethereum.FilterQuery{FromBlock: new(big.Int), Addresses: []common.Address{contract}, Topics: topics})
		if err == nil {
			return logs
		}
		select {
		case <-ctx.Done():
			t.Fatalf("logs of %s: %v", contract, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func payee(l types.Log) string { return common.BytesToAddress(l.Topics[2].Bytes()).Hex() }

func value(t sandbox.T, l types.Log) payment.Amount {
	a, err := payment.ParseUnits(new(big.Int).SetBytes(l.Data).String())
	must(t, err)
	return a
}

// memoText takes the length off what getSignaturesForAddress calls a memo.
var memoText = regexp.MustCompile(`^(?:\[\d+\] )?(.*)$`)

func (d *Deployment) paidOnSolana(t sandbox.T, paid map[string][]ChainPayment) {
	t.Helper()
	ctx, s := t.Context(), d.Sandbox.Descriptor.Solana
	client, err := rpc.DialContext(ctx, s.HTTPURL) // any JSON-RPC client reads it
	must(t, err)
	defer client.Close()
	ata, _, err := sol.FindAssociatedTokenAddress(sol.MustPublicKeyFromBase58(d.SolanaTreasury), sol.MustPublicKeyFromBase58(s.USDCMint))
	must(t, err)
	before := ""
	for {
		var page []struct {
			Signature string          `json:"signature"`
			Err       json.RawMessage `json:"err"`
			Memo      *string         `json:"memo"`
		}
		options := map[string]any{"limit": 1000, "commitment": "confirmed"}
		if before != "" {
			options["before"] = before
		}
		must(t, client.CallContext(ctx, &page, "getSignaturesForAddress", ata.String(), options))
		for _, p := range page {
			before = p.Signature
			if string(p.Err) != "null" {
				continue
			}
			id := ""
			if p.Memo != nil {
				id = memoText.FindStringSubmatch(*p.Memo)[1]
			}
			if transfer, out := d.solanaTransfer(ctx, t, client, p.Signature); out {
				paid[id] = append(paid[id], transfer)
			}
		}
		if len(page) < 1000 {
			return
		}
	}
}

// solanaTransfer reads who gained what from the token balances around a
// transaction; out is false if the treasury did not pay it.
func (d *Deployment) solanaTransfer(ctx context.Context, t sandbox.T, client *rpc.Client, signature string) (p ChainPayment, out bool) {
	t.Helper()
	type balance struct {
		Owner  string `json:"owner"`
		Amount struct {
			Amount string `json:"amount"`
		} `json:"uiTokenAmount"`
	}
	var tx struct {
		Meta struct {
			Pre  []balance `json:"preTokenBalances"`
			Post []balance `json:"postTokenBalances"`
		} `json:"meta"`
	}
	must(t, client.CallContext(ctx, &tx, "getTransaction", signature, map[string]any{"commitment": "confirmed", "maxSupportedTransactionVersion": 0}))
	had := map[string]payment.Amount{}
	for _, b := range tx.Meta.Pre {
		a, err := payment.ParseUnits(b.Amount.Amount)
		must(t, err)
		had[b.Owner] = a
	}
	p = ChainPayment{Chain: "solana", TxHash: signature}
	for _, b := range tx.Meta.Post {
		a, err := payment.ParseUnits(b.Amount.Amount)
		must(t, err)
		gain, err := a.Sub(had[b.Owner])
		switch {
		case b.Owner == d.SolanaTreasury:
			out = err != nil // it has less than before
		case err == nil && !gain.IsZero():
			p.To, p.Amount = b.Owner, gain
		}
	}
	return p, out
}

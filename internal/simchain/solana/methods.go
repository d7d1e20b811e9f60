package solana

import (
	"encoding/base64"
	"fmt"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/internal/simchain"
)

// software is what nodes call themselves.
const software = "3.1.0-simulated"

// Bounds of agave.
const (
	maxStatuses  = 256 // per getSignatureStatuses
	maxAccounts  = 100 // per getMultipleAccounts
	statusCache  = 300 // finalized blocks whose transactions are known without a search of the history
	feesOfBlocks = 150 // in getRecentPrioritizationFees
)

// methods are what chains/solana and chains/rpcpool ask, with agave's names,
// parameters, results and errors.
var methods = map[string]func(view, simchain.Call) (any, error){
	"getVersion": func(view, simchain.Call) (any, error) {
		return map[string]any{"solana-core": software, "feature-set": 0}, nil
	},
	getGenesisHash:                      func(v view, _ simchain.Call) (any, error) { return v.genesis.Hash, nil },
	"getFirstAvailableBlock":            func(v view, _ simchain.Call) (any, error) { return v.first, nil },
	"getSlot":                           ofBlock(func(b *block) any { return b.slot }),
	"getBlockHeight":                    ofBlock(func(b *block) any { return b.height }),
	getLatestBlockhash:                  ofBlock(func(b *block) any { return asOf(b, latestBlockhash{b.hash, b.height + maxAge}) }),
	"isBlockhashValid":                  isBlockhashValid,
	"getBlock":                          getBlock,
	"getRecentPrioritizationFees":       getRecentPrioritizationFees,
	"getMinimumBalanceForRentExemption": getMinimumBalanceForRentExemption,
	"getAccountInfo":                    getAccountInfo,
	"getMultipleAccounts":               getMultipleAccounts,
	sendTransaction:                     send,
	getSignatureStatuses:                statuses,
	getTransaction:                      transactionOf,
}

// The methods that nodes lie about.
const (
	getGenesisHash       = "getGenesisHash"
	getLatestBlockhash   = "getLatestBlockhash"
	sendTransaction      = "sendTransaction"
	getSignatureStatuses = "getSignatureStatuses"
	getTransaction       = "getTransaction"
)

// options is the last parameter of most methods.
type options struct {
	Commitment               string `json:"commitment"`
	Encoding                 string `json:"encoding"`
	MinContextSlot           uint64 `json:"minContextSlot"`
	SearchTransactionHistory bool   `json:"searchTransactionHistory"`
	SkipPreflight            bool   `json:"skipPreflight"`
	PreflightCommitment      string `json:"preflightCommitment"`
}

func (o options) wantBase64() error {
	if o.Encoding != "base64" {
		return &simchain.Error{Code: simchain.InvalidParams, Message: fmt.Sprintf("unsupported encoding %q: only base64 is simulated", o.Encoding)}
	}
	return nil
}

// asked reads a first parameter and the options behind it.
func asked[T any](c simchain.Call) (first T, o options, err error) {
	if err = c.Param(0, &first); err == nil {
		err = c.Param(1, &o)
	}
	return first, o, err
}

// withContext is the shape of answers that say which slot they are from.
type withContext struct {
	Context map[string]any `json:"context"`
	Value   any            `json:"value"`
}

func asOf(b *block, value any) withContext {
	return withContext{map[string]any{"slot": b.slot, "apiVersion": software}, value}
}

// ofBlock answers from the newest block of the commitment in the only
// parameter.
func ofBlock(read func(*block) any) func(view, simchain.Call) (any, error) {
	return func(v view, c simchain.Call) (any, error) {
		var o options
		if err := c.Param(0, &o); err != nil {
			return nil, err
		}
		b, err := v.block(o)
		if err != nil {
			return nil, err
		}
		return read(b), nil
	}
}

// latestBlockhash is getLatestBlockhash's value.
type latestBlockhash struct {
	Blockhash            sol.Hash `json:"blockhash"`
	LastValidBlockHeight uint64   `json:"lastValidBlockHeight"`
}

func isBlockhashValid(v view, c simchain.Call) (any, error) {
	hash, o, err := asked[sol.Hash](c)
	if err != nil {
		return nil, err
	}
	b, err := v.block(o)
	if err != nil {
		return nil, err
	}
	return asOf(b, v.takes(hash, b.height)), nil
}

// getBlock is for transactionDetails "none".
func getBlock(v view, c simchain.Call) (any, error) {
	slot, o, err := asked[uint64](c)
	if err != nil {
		return nil, err
	}
	newest, err := v.block(o)
	if err != nil {
		return nil, err
	}
	b, err := v.inSlot(slot, newest.height)
	if err != nil {
		return nil, err
	}
	return map[string]any{"blockhash": b.hash, "parentSlot": b.parent, "blockHeight": b.height, "blockTime": b.time.Unix()}, nil
}

// recentFee is an entry of getRecentPrioritizationFees.
type recentFee struct {
	Slot  uint64 `json:"slot"`
	Price uint64 `json:"prioritizationFee"` // micro-lamports per compute unit
}

func getRecentPrioritizationFees(v view, c simchain.Call) (any, error) {
	accounts, _, err := asked[[]sol.PublicKey](c)
	if err != nil {
		return nil, err
	}
	out := []recentFee{}
	for h := max(v.processed, firstHeight+feesOfBlocks) - feesOfBlocks; h < v.processed; h++ {
		b := v.at(h)
		fee := recentFee{Slot: b.slot}
		for _, key := range accounts {
			fee.Price = max(fee.Price, b.prices[key])
		}
		out = append(out, fee)
	}
	return out, nil
}

func getMinimumBalanceForRentExemption(_ view, c simchain.Call) (any, error) {
	size, _, err := asked[int](c)
	if err != nil {
		return nil, err
	}
	return rentExempt(size), nil
}

func getAccountInfo(v view, c simchain.Call) (any, error) {
	key, o, err := asked[sol.PublicKey](c)
	if err != nil {
		return nil, err
	}
	return v.accountInfos([]sol.PublicKey{key}, o, func(infos []*accountInfo) any { return infos[0] })
}

func getMultipleAccounts(v view, c simchain.Call) (any, error) {
	keys, o, err := asked[[]sol.PublicKey](c)
	if err != nil {
		return nil, err
	}
	if len(keys) > maxAccounts {
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: fmt.Sprintf("Too many inputs provided; max %d", maxAccounts)}
	}
	return v.accountInfos(keys, o, func(infos []*accountInfo) any { return infos })
}

// accountInfo is getAccountInfo's value.
type accountInfo struct {
	Lamports   uint64        `json:"lamports"`
	Owner      sol.PublicKey `json:"owner"`
	Data       [2]string     `json:"data"`
	Executable bool          `json:"executable"`
	Space      int           `json:"space"`
}

func (v view) accountInfos(keys []sol.PublicKey, o options, value func([]*accountInfo) any) (any, error) {
	if err := o.wantBase64(); err != nil {
		return nil, err
	}
	b, err := v.block(o)
	if err != nil {
		return nil, err
	}
	infos := make([]*accountInfo, len(keys))
	for i, key := range keys {
		a := v.accountAt(key, b.height)
		if a.lamports == 0 {
			continue
		}
		data := a.data
		if v.frozen[key] {
			data = append([]byte(nil), data...)
			data[stateOffset] = frozen
		}
		infos[i] = &accountInfo{a.lamports, a.owner, inBase64(data), a.executable, len(data)}
	}
	return asOf(b, value(infos)), nil
}

func inBase64(data []byte) [2]string {
	return [2]string{base64.StdEncoding.EncodeToString(data), "base64"}
}

// send takes a transaction and says nothing about what becomes of it, but for
// the preflight if that is not skipped. Signatures are verified in any case.
func send(v view, c simchain.Call) (any, error) {
	tx, o, err := sent(c)
	if err != nil {
		return nil, err
	}
	b, err := v.block(options{Commitment: o.PreflightCommitment, MinContextSlot: o.MinContextSlot})
	if err != nil {
		return nil, err
	}
	if !o.SkipPreflight {
		r, refused := v.execute(tx, b.height)
		if refused == nil {
			refused = r.err
		}
		if refused != nil {
			return nil, &simchain.Error{Code: preflightFailure, Message: fmt.Sprintf("Transaction simulation failed: %v", refused), Data: map[string]any{"err": refused, "logs": []string{}}}
		}
	}
	v.receive(tx)
	return tx.Signatures[0], nil
}

// sent is the transaction in a call of sendTransaction.
func sent(c simchain.Call) (*transaction, options, error) {
	text, o, err := asked[string](c)
	if err == nil {
		err = o.wantBase64()
	}
	if err != nil {
		return nil, o, err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, o, &simchain.Error{Code: simchain.InvalidParams, Message: "invalid base64 encoding: " + err.Error()}
	}
	tx, err := verified(raw)
	return tx, o, err
}

// verified is the transaction in bytes that a node takes.
func verified(raw []byte) (*transaction, error) {
	tx, err := decodeTransaction(raw)
	if err != nil {
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: "failed to deserialize transaction: " + err.Error()}
	}
	if err := tx.VerifySignatures(); err != nil {
		return nil, &simchain.Error{Code: signatureFailure, Message: "Transaction signature verification failure"}
	}
	return tx, nil
}

// seen is a transaction's record, if the node has its block.
func (v view) seen(signature sol.Signature) *record {
	r := v.records[signature]
	if r == nil || r.block.height > v.processed || r.block.slot < v.first {
		return nil
	}
	return r
}

// status is an entry of getSignatureStatuses' value.
type status struct {
	Slot               uint64  `json:"slot"`
	Confirmations      *uint64 `json:"confirmations"` // null: finalized
	Err                refusal `json:"err"`
	ConfirmationStatus string  `json:"confirmationStatus"`
}

// statuses answers getSignatureStatuses.
func statuses(v view, c simchain.Call) (any, error) {
	signatures, o, err := asked[[]sol.Signature](c)
	if err != nil {
		return nil, err
	}
	if len(signatures) > maxStatuses {
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: fmt.Sprintf("Too many inputs provided; max %d", maxStatuses)}
	}
	out := make([]*status, len(signatures))
	for i, signature := range signatures {
		r := v.seen(signature)
		if r == nil || (!o.SearchTransactionHistory && r.block.height+statusCache < v.finalized) {
			continue
		}
		out[i] = &status{Slot: r.block.slot, Err: r.err, ConfirmationStatus: v.level(r.block.height)}
		if out[i].ConfirmationStatus != finalized {
			above := v.processed - r.block.height
			out[i].Confirmations = &above
		}
	}
	return asOf(v.at(v.processed), out), nil
}

// transactionOf answers getTransaction.
func transactionOf(v view, c simchain.Call) (any, error) {
	signature, o, err := asked[sol.Signature](c)
	if err == nil {
		err = o.wantBase64()
	}
	if err != nil {
		return nil, err
	}
	newest, err := v.block(o)
	if err != nil {
		return nil, err
	}
	r := v.seen(signature)
	if r == nil || r.block.height > newest.height {
		return nil, nil
	}
	return map[string]any{
		"slot": r.block.slot, "blockTime": r.block.time.Unix(), "version": "legacy", "transaction": inBase64(r.tx.raw),
		"meta": map[string]any{
			"err": r.err, "fee": r.fee, "preBalances": r.pre.lamports, "postBalances": r.post.lamports,
			"preTokenBalances": r.pre.tokens, "postTokenBalances": r.post.tokens,
		},
	}, nil
}

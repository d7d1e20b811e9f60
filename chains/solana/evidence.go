package solana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"

	bin "github.com/gagliardetto/binary"
	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// evidence is the transaction as stored with an outcome, or to be booked:
// everything a person needs to check it against any node.
type evidence struct {
	Kind           chains.SightingKind `json:"kind"`
	Node           string              `json:"node"`
	Commitment     string              `json:"commitment"` // finalized, or confirmed if that was enough for the amount
	Signature      string              `json:"signature"`
	Slot           uint64              `json:"slot"`
	BlockHash      string              `json:"block_hash"`
	BlockTime      int64               `json:"block_time"` // Unix seconds
	FeePayer       string              `json:"fee_payer"`
	Fee            uint64              `json:"fee_lamports"`     // of the network
	Charged        uint64              `json:"charged_lamports"` // to the fee payer: the fee, and the rent of accounts it opened
	Instruction    int                 `json:"instruction"`      // index of the transfer
	Memo           string              `json:"memo"`
	Mint           string              `json:"mint,omitempty"`
	PayeeAccount   string              `json:"payee_token_account,omitempty"`
	BalanceBefore  string              `json:"payee_balance_before,omitempty"` // base units
	BalanceAfter   string              `json:"payee_balance_after,omitempty"`  // base units
	Error          json.RawMessage     `json:"error,omitempty"`
	Observed       *observation        `json:"observed,omitempty"` // with Reverted: that no other transaction can pay
	PaymentAddress string              `json:"payee"`
	Amount         string              `json:"amount"`
}

// transactionResult is getTransaction's answer.
type transactionResult struct {
	Slot        uint64  `json:"slot"`
	BlockTime   int64   `json:"blockTime"`
	Transaction data    `json:"transaction"`
	Meta        *txMeta `json:"meta"`
}

type txMeta struct {
	Err  json.RawMessage `json:"err"`
	Fee  uint64          `json:"fee"`
	Had  []uint64        `json:"preBalances"`  // lamports, by account; the fee payer is the first
	Has  []uint64        `json:"postBalances"` // lamports
	Pre  []tokenBalance  `json:"preTokenBalances"`
	Post []tokenBalance  `json:"postTokenBalances"`
}

type tokenBalance struct {
	AccountIndex int    `json:"accountIndex"`
	Mint         string `json:"mint"`
	Owner        string `json:"owner"`
	Amount       struct {
		Amount string `json:"amount"`
	} `json:"uiTokenAmount"`
}

type blockResult struct {
	Blockhash string `json:"blockhash"`
}

// evidence checks what a node shows of a transaction that is finalized, or
// confirmed and paid early, and returns an error if it is not proof of what its
// status said.
func (c *Chain) evidence(n *rpcpool.Node, w chains.Watched, x wantedTx) (evidence, error) {
	var tx *transactionResult
	if err := decode(x.call, &tx); err != nil {
		return evidence{}, err
	}
	// The block's hash is for people; slot and signature already say which
	// transaction it is, so a node without getBlock is good enough.
	var block blockResult
	if err := decode(x.block, &block); err != nil {
		block = blockResult{}
	}
	if tx == nil || tx.Meta == nil {
		return evidence{}, fmt.Errorf("%w: %s names a status but not the transaction", chains.ErrUnknown, n.Name())
	}
	if len(tx.Meta.Had) == 0 || len(tx.Meta.Has) == 0 || tx.Meta.Had[0] < tx.Meta.Has[0]+tx.Meta.Fee {
		return evidence{}, fmt.Errorf("%w: %s does not show what the fee payer was charged", chains.ErrUnknown, n.Name())
	}
	stored := w.Txs[x.tx]
	e := evidence{
		Kind: chains.Paid, Node: n.Name(), Commitment: x.level(), Signature: stored.Hash, Slot: tx.Slot, BlockHash: block.Blockhash, BlockTime: tx.BlockTime,
		Fee: tx.Meta.Fee, Charged: tx.Meta.Had[0] - tx.Meta.Has[0], PaymentAddress: w.To, Amount: w.Amount.String(),
	}
	if !bytes.Equal(tx.Transaction.bytes, stored.Raw) {
		return evidence{}, fmt.Errorf("%w: %s shows other bytes than were signed", chains.ErrUnknown, n.Name())
	}
	if tx.Slot != x.status.Slot || isNull(tx.Meta.Err) == x.status.failed() {
		return evidence{}, fmt.Errorf("%w: %s contradicts itself: status says slot %d error %s, transaction slot %d error %s", chains.ErrUnknown, n.Name(), x.status.Slot, x.status.Err, tx.Slot, tx.Meta.Err)
	}
	if err := e.readBytes(stored.Raw); err != nil {
		return evidence{}, err
	}
	if e.Memo != w.IntentID {
		return evidence{}, fmt.Errorf("the transaction's memo is %q, not the intent", e.Memo)
	}
	if x.status.failed() {
		e.Kind, e.Error = chains.Reverted, x.status.Err
		return e, nil
	}
	if err := c.checkDelta(&e, w, stored.Raw, tx.Meta); err != nil {
		return evidence{}, err
	}
	return e, nil
}

// readBytes takes from our own bytes who pays the fee, the memo, and where the
// transfer stands.
func (e *evidence) readBytes(raw []byte) error {
	message, err := decodeMessage(raw)
	if err != nil {
		return err
	}
	e.FeePayer = message.AccountKeys[0].String()
	e.Instruction = -1
	for i, ix := range message.Instructions {
		program, err := message.Program(ix.ProgramIDIndex)
		if err != nil {
			return fmt.Errorf("stored bytes: %w", err)
		}
		switch program {
		case sol.MemoProgramID:
			e.Memo = string(ix.Data)
		case sol.TokenProgramID:
			e.Instruction = i
		}
	}
	if e.Instruction < 0 {
		return fmt.Errorf("stored bytes hold no transfer")
	}
	return nil
}

func decodeMessage(raw []byte) (*sol.Message, error) {
	tx, err := sol.TransactionFromDecoder(bin.NewBinDecoder(raw))
	if err != nil {
		return nil, fmt.Errorf("stored bytes: %w", err)
	}
	if len(tx.Message.AccountKeys) == 0 {
		return nil, fmt.Errorf("stored bytes: no accounts")
	}
	return &tx.Message, nil
}

// checkDelta is rule S7: over all instructions, the payee's token account
// gained exactly the amount, of this mint, and the payee owns it.
func (c *Chain) checkDelta(e *evidence, w chains.Watched, raw []byte, meta *txMeta) error {
	ata, err := c.payeeAccount(w)
	if err != nil {
		return err
	}
	message, err := decodeMessage(raw)
	if err != nil {
		return err
	}
	index := -1
	for i, k := range message.AccountKeys {
		if k == ata {
			index = i
		}
	}
	if index < 0 {
		return fmt.Errorf("stored bytes do not name the payee's token account %s", ata)
	}
	e.Mint, e.PayeeAccount = c.cfg.Mint, ata.String()
	e.BalanceBefore, e.BalanceAfter, err = delta(meta, index, e.Mint, w.To, w.Amount.String())
	return err
}

// delta returns the balances of one account before and after, if they differ
// by exactly the amount. An account that did not exist before had 0.
func delta(meta *txMeta, index int, mint, owner, amount string) (before, after string, err error) {
	find := func(list []tokenBalance) (string, bool, error) {
		for _, b := range list {
			if b.AccountIndex != index {
				continue
			}
			if b.Mint != mint || b.Owner != owner {
				return "", false, fmt.Errorf("the token account has mint %s and owner %s, want %s and %s", b.Mint, b.Owner, mint, owner)
			}
			return b.Amount.Amount, true, nil
		}
		return "0", false, nil
	}
	if before, _, err = find(meta.Pre); err != nil {
		return "", "", err
	}
	after, there, err := find(meta.Post)
	if err != nil {
		return "", "", err
	}
	if !there {
		return "", "", fmt.Errorf("the payee's token balance is not shown")
	}
	b, okB := new(big.Int).SetString(before, 10)
	a, okA := new(big.Int).SetString(after, 10)
	want, okW := new(big.Int).SetString(amount, 10)
	if !okA || !okB || !okW || a.Sub(a, b).Cmp(want) != 0 {
		return "", "", fmt.Errorf("the payee's balance went from %s to %s, want +%s", before, after, amount)
	}
	return before, after, nil
}

package ethereum

import (
	"encoding/binary"
	"errors"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// block is one block and the state at its end.
type block struct {
	number, time uint64 // time in seconds
	hash, parent common.Hash
	baseFee      *big.Int
	txs          []included
	acts         []func(*state) // of the issuer and the faucet, before the transactions
	state        *state
}

// included is a transaction in a block.
type included struct {
	pooled
	gasUsed uint64
	price   *big.Int // wei per gas
	failed  error    // nil: it succeeded
	logs    []*types.Log
}

// build makes the block behind b of acts and of what is in the pool.
func (c *Chain) build(b *block, acts []func(*state), p pool) *block {
	next := &block{number: b.number + 1, time: max(b.time+c.step, c.notBefore), parent: b.hash, baseFee: c.baseFee, acts: acts, state: b.state}
	if len(acts) > 0 || len(p) > 0 {
		next.state = b.state.clone()
	}
	for _, act := range acts {
		act(next.state)
	}
	gas, skip := uint64(0), map[common.Address]bool{}
	for {
		tx, ok := p.best(next.state, next.baseFee, skip)
		if !ok {
			break
		}
		if gas+tx.Gas() > blockGas || next.state.account(tx.from).Wei.Cmp(tx.Cost()) < 0 {
			skip[tx.from] = true
			continue
		}
		done := c.apply(next.state, tx, next)
		gas += done.gasUsed
		next.txs = append(next.txs, done)
	}
	next.seal(c.branch)
	return next
}

// apply runs a transaction and charges its sender.
func (c *Chain) apply(s *state, tx pooled, b *block) included {
	price := new(big.Int).Add(b.baseFee, tip(tx.Transaction, b.baseFee))
	out, err := c.run(s, tx.from, *tx.To(), tx.Value(), tx.Data(), b.time, tx.Gas())
	s.update(tx.from, func(a *Account) {
		a.Nonce++
		a.Wei = new(big.Int).Sub(a.Wei, new(big.Int).Mul(price, new(big.Int).SetUint64(out.gas)))
	})
	return included{pooled: tx, gasUsed: out.gas, price: price, failed: err, logs: out.logs}
}

// run is one message call. With an error the state is as it was.
func (c *Chain) run(s *state, from, to common.Address, value *big.Int, data []byte, now, limit uint64) (outcome, error) {
	if to != c.token.address {
		s.moveWei(from, to, value)
		return outcome{gas: intrinsic(data)}, nil
	}
	if value.Sign() > 0 {
		return outcome{gas: min(gasReverted, limit)}, revert("") // not payable
	}
	if limit < gasAuthorized+gasNewHolder { // more than any call needs
		if out, _ := c.token.call(s.clone(), from, data, now); out.gas > limit {
			return outcome{gas: limit}, errOutOfGas
		}
	}
	return c.token.call(s, from, data, now)
}

var errOutOfGas = errors.New("out of gas")

// seal names the block and its logs, now that it is complete.
func (b *block) seal(branch uint64) {
	figures := make([]byte, 0, 64)
	for _, n := range []uint64{b.number, b.time, branch} {
		figures = binary.BigEndian.AppendUint64(figures, n)
	}
	content := [][]byte{b.parent[:], figures, b.baseFee.Bytes()}
	for _, tx := range b.txs {
		content = append(content, tx.Hash().Bytes())
	}
	b.hash = crypto.Keccak256Hash(content...)
	index := uint(0)
	for i, tx := range b.txs {
		for _, l := range tx.logs {
			l.BlockNumber, l.BlockHash, l.BlockTimestamp, l.TxHash, l.TxIndex, l.Index = b.number, b.hash, b.time, tx.Hash(), uint(i), index
			index++
		}
	}
}

func (b *block) gasUsed() (sum uint64) {
	for _, tx := range b.txs {
		sum += tx.gasUsed
	}
	return sum
}

// rpcBlock is a block as nodes tell it.
type rpcBlock struct {
	Number       hexutil.Uint64 `json:"number"`
	Hash         common.Hash    `json:"hash"`
	ParentHash   common.Hash    `json:"parentHash"`
	Timestamp    hexutil.Uint64 `json:"timestamp"`
	BaseFee      *hexutil.Big   `json:"baseFeePerGas"`
	GasLimit     hexutil.Uint64 `json:"gasLimit"`
	GasUsed      hexutil.Uint64 `json:"gasUsed"`
	Transactions []any          `json:"transactions"` // hashes, or all about them
}

func (b *block) rpc(full bool) rpcBlock {
	out := rpcBlock{
		Number: hexutil.Uint64(b.number), Hash: b.hash, ParentHash: b.parent, Timestamp: hexutil.Uint64(b.time), BaseFee: (*hexutil.Big)(b.baseFee),
		GasLimit: blockGas, GasUsed: hexutil.Uint64(b.gasUsed()), Transactions: []any{},
	}
	for i, tx := range b.txs {
		if full {
			out.Transactions = append(out.Transactions, tx.rpc(b, i))
		} else {
			out.Transactions = append(out.Transactions, tx.Hash())
		}
	}
	return out
}

// rpcTx is a transaction as nodes tell it; the last three are null for one
// that is in no block.
type rpcTx struct {
	Hash        common.Hash     `json:"hash"`
	Type        hexutil.Uint64  `json:"type"`
	From        common.Address  `json:"from"`
	To          *common.Address `json:"to"`
	Nonce       hexutil.Uint64  `json:"nonce"`
	Value       *hexutil.Big    `json:"value"`
	Input       hexutil.Bytes   `json:"input"`
	Gas         hexutil.Uint64  `json:"gas"`
	FeeCap      *hexutil.Big    `json:"maxFeePerGas"`
	TipCap      *hexutil.Big    `json:"maxPriorityFeePerGas"`
	BlockHash   *common.Hash    `json:"blockHash"`
	BlockNumber *hexutil.Uint64 `json:"blockNumber"`
	Index       *hexutil.Uint64 `json:"transactionIndex"`
}

// rpc tells a transaction; b is nil if it is in no block.
func (tx pooled) rpc(b *block, index int) rpcTx {
	out := rpcTx{
		Hash: tx.Hash(), Type: hexutil.Uint64(tx.Type()), From: tx.from, To: tx.To(), Nonce: hexutil.Uint64(tx.Nonce()), Value: (*hexutil.Big)(tx.Value()),
		Input: tx.Data(), Gas: hexutil.Uint64(tx.Gas()), FeeCap: (*hexutil.Big)(tx.GasFeeCap()), TipCap: (*hexutil.Big)(tx.GasTipCap()),
	}
	if b != nil {
		number, at := hexutil.Uint64(b.number), hexutil.Uint64(index)
		out.BlockHash, out.BlockNumber, out.Index = &b.hash, &number, &at
	}
	return out
}

// rpcReceipt is a receipt as nodes tell it.
type rpcReceipt struct {
	TxHash      common.Hash     `json:"transactionHash"`
	Index       hexutil.Uint64  `json:"transactionIndex"`
	BlockHash   common.Hash     `json:"blockHash"`
	BlockNumber hexutil.Uint64  `json:"blockNumber"`
	From        common.Address  `json:"from"`
	To          *common.Address `json:"to"`
	Status      hexutil.Uint64  `json:"status"`
	GasUsed     hexutil.Uint64  `json:"gasUsed"`
	GasPrice    *hexutil.Big    `json:"effectiveGasPrice"`
	Logs        []*types.Log    `json:"logs"`
}

func (b *block) receipt(index int) rpcReceipt {
	tx := b.txs[index]
	r := rpcReceipt{
		TxHash: tx.Hash(), Index: hexutil.Uint64(index), BlockHash: b.hash, BlockNumber: hexutil.Uint64(b.number), From: tx.from, To: tx.To(),
		GasUsed: hexutil.Uint64(tx.gasUsed), GasPrice: (*hexutil.Big)(tx.price), Logs: tx.logs,
	}
	if tx.failed == nil {
		r.Status = 1
	}
	if r.Logs == nil {
		r.Logs = []*types.Log{}
	}
	return r
}

package ethereum

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/params"

	"github.com/settlehq/settle/internal/simchain"
)

// Node is one view of the chain, with an endpoint and a pool of its own. It has
// full history. Faults are put in place by [simchain.Server.Strike]; the lies
// in lies.go are handlers for them. It is safe for concurrent use.
type Node struct {
	*simchain.Server
	chain *Chain
	pool  pool   // under chain.mu
	lag   uint64 // blocks behind the chain; under chain.mu
}

// Node adds a node to the network. The caller closes it.
func (c *Chain) Node() *Node {
	n := &Node{chain: c, pool: pool{}}
	n.Server = simchain.Start(n.answer)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, n)
	return n
}

// SetLag keeps the node so many blocks behind the chain.
func (n *Node) SetLag(blocks uint64) { n.chain.set(func() { n.lag = blocks }) }

// Drop makes the node forget every transaction that is in no block. Builders
// keep them.
func (n *Node) Drop() { n.chain.set(func() { clear(n.pool) }) }

// answer is the node without fault.
func (n *Node) answer(c simchain.Call) (any, error) {
	method, ok := methods[c.Method]
	if !ok {
		return nil, simchain.Unsupported(c)
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	result, err := method(n, c)
	var is *simchain.Error
	if err != nil && !errors.As(err, &is) {
		err = &simchain.Error{Code: serverError, Message: err.Error()}
	}
	return result, err
}

// Codes of geth.
const (
	serverError = -32000
	codeRevert  = 3
)

// methods run under chain.mu.
var methods = map[string]func(*Node, simchain.Call) (any, error){
	"web3_clientVersion": func(*Node, simchain.Call) (any, error) { return "simulated/v1", nil },
	"eth_chainId":        func(n *Node, _ simchain.Call) (any, error) { return hexutil.Uint64(n.chain.chainID), nil },
	"eth_blockNumber":    func(n *Node, _ simchain.Call) (any, error) { return hexutil.Uint64(n.head().number), nil },
	"eth_maxPriorityFeePerGas": func(n *Node, _ simchain.Call) (any, error) {
		return (*hexutil.Big)(n.chain.tip), nil
	},
	"eth_getBlockByNumber":      (*Node).getBlock,
	"eth_getLogs":               (*Node).getLogs,
	"eth_getTransactionReceipt": (*Node).getReceipt,
	"eth_getTransactionByHash":  (*Node).getTransaction,
	"eth_getTransactionCount":   (*Node).getNonce,
	"eth_getBalance":            (*Node).getBalance,
	"eth_call":                  (*Node).call,
	"eth_sendRawTransaction":    (*Node).send,
}

func (n *Node) head() *block {
	last := uint64(len(n.chain.blocks) - 1)
	return n.chain.blocks[last-min(last, n.lag)]
}

// at is the block of a parameter: a number or a tag, by default "latest". Nil
// if the node does not have it.
func (n *Node) at(c simchain.Call, param int) (*block, error) {
	tag := "latest"
	if err := c.Param(param, &tag); err != nil {
		return nil, err
	}
	head := n.head()
	switch tag {
	case "latest", "pending":
		return head, nil
	case "finalized", "safe":
		return n.chain.blocks[min(n.chain.final, head.number)], nil
	case "earliest":
		return n.chain.blocks[0], nil
	}
	number, err := hexutil.DecodeUint64(tag)
	if err != nil {
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: fmt.Sprintf("invalid argument %d: %v", param, err)}
	}
	if number > head.number {
		return nil, nil
	}
	return n.chain.blocks[number], nil
}

// stateAt is at for questions about accounts.
func (n *Node) stateAt(c simchain.Call, param int) (*block, error) {
	b, err := n.at(c, param)
	if err == nil && b == nil {
		err = errors.New("header not found")
	}
	return b, err
}

func (n *Node) getBlock(c simchain.Call) (any, error) {
	full := false
	if err := c.Param(1, &full); err != nil {
		return nil, err
	}
	b, err := n.at(c, 0)
	if err != nil || b == nil {
		return nil, err
	}
	return b.rpc(full), nil
}

// place is where the node sees a transaction.
func (n *Node) place(c simchain.Call) (hash common.Hash, at place, ok bool, err error) {
	if err := c.Param(0, &hash); err != nil {
		return hash, place{}, false, err
	}
	at, ok = n.chain.places[hash]
	return hash, at, ok && at.block.number <= n.head().number, nil
}

func (n *Node) getReceipt(c simchain.Call) (any, error) {
	_, at, ok, err := n.place(c)
	if err != nil || !ok {
		return nil, err
	}
	return at.block.receipt(at.index), nil
}

func (n *Node) getTransaction(c simchain.Call) (any, error) {
	hash, at, ok, err := n.place(c)
	if err != nil {
		return nil, err
	}
	if ok {
		return at.block.txs[at.index].rpc(at.block, at.index), nil
	}
	n.pool.forget(n.head().state)
	if tx, waits := n.pool.find(hash); waits {
		return tx.rpc(nil, 0), nil
	}
	return nil, nil
}

func (n *Node) getNonce(c simchain.Call) (any, error) {
	address, tag := common.Address{}, ""
	if err := errors.Join(c.Param(0, &address), c.Param(1, &tag)); err != nil {
		return nil, err
	}
	b, err := n.stateAt(c, 1)
	if err != nil {
		return nil, err
	}
	if tag == "pending" {
		return hexutil.Uint64(n.pool.next(address, b.state)), nil
	}
	return hexutil.Uint64(b.state.account(address).Nonce), nil
}

func (n *Node) getBalance(c simchain.Call) (any, error) {
	var address common.Address
	if err := c.Param(0, &address); err != nil {
		return nil, err
	}
	b, err := n.stateAt(c, 1)
	if err != nil {
		return nil, err
	}
	return (*hexutil.Big)(b.state.account(address).Wei), nil
}

func (n *Node) call(c simchain.Call) (any, error) {
	msg := struct {
		From  common.Address  `json:"from"`
		To    common.Address  `json:"to"`
		Gas   *hexutil.Uint64 `json:"gas"`
		Value *hexutil.Big    `json:"value"`
		Data  hexutil.Bytes   `json:"data"`
		Input hexutil.Bytes   `json:"input"` // in place of data
	}{Value: new(hexutil.Big)}
	if err := c.Param(0, &msg); err != nil {
		return nil, err
	}
	b, err := n.stateAt(c, 1)
	if err != nil {
		return nil, err
	}
	limit := uint64(blockGas)
	if msg.Gas != nil {
		limit = uint64(*msg.Gas)
	}
	out, err := n.chain.run(b.state.clone(), msg.From, msg.To, msg.Value.ToInt(), append(msg.Data, msg.Input...), b.time, limit)
	var words revert
	if errors.As(err, &words) {
		return nil, &simchain.Error{Code: codeRevert, Message: err.Error(), Data: hexutil.Bytes(revertData(words))}
	}
	return hexutil.Bytes(out.ret), err
}

// send takes the transaction into the node's pool, and passes it on.
func (n *Node) send(c simchain.Call) (any, error) {
	var raw hexutil.Bytes
	if err := c.Param(0, &raw); err != nil {
		return nil, err
	}
	tx, err := decode(raw, n.chain.signer)
	if err != nil {
		return nil, err
	}
	if most := mostFee(tx); most.Cmp(feeCap) > 0 {
		return nil, fmt.Errorf("tx fee (%s wei) exceeds the configured cap (%s wei)", most, feeCap)
	}
	if err := n.pool.add(tx, n.head().state, n.chain.full); err != nil {
		return nil, err
	}
	_ = n.chain.builders.add(tx, n.chain.head().state, n.chain.full) // builders that have a better one keep it
	return tx.Hash(), nil
}

// feeCap is the wei that a transaction handed to a node may cost.
var feeCap = big.NewInt(params.Ether)

// mostFee is what a transaction may cost in gas, in wei.
func mostFee(tx pooled) *big.Int {
	return new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas()))
}

// filter is the parameter of eth_getLogs.
type filter struct {
	Address *common.Address `json:"address"`
	From    *hexutil.Uint64 `json:"fromBlock"`
	To      *hexutil.Uint64 `json:"toBlock"`
	Topics  []topics        `json:"topics"`
}

// topics are what a position may hold; none is anything.
type topics []common.Hash

// UnmarshalJSON takes null, one topic or a list.
func (t *topics) UnmarshalJSON(b []byte) error {
	var one *common.Hash
	if err := json.Unmarshal(b, &one); err == nil {
		if one != nil {
			*t = topics{*one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]common.Hash)(t))
}

func (n *Node) getLogs(c simchain.Call) (any, error) {
	var f filter
	if err := c.Param(0, &f); err != nil {
		return nil, err
	}
	head := n.head().number
	from, to := head, head
	if f.From != nil {
		from = uint64(*f.From)
	}
	if f.To != nil {
		to = uint64(*f.To)
	}
	switch {
	case from > to:
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: "invalid block range params"}
	case to > head:
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: "block range extends beyond current head block"}
	}
	out := []*types.Log{}
	for _, b := range n.chain.blocks[from : to+1] {
		for _, tx := range b.txs {
			for _, l := range tx.logs {
				if f.matches(l) {
					out = append(out, l)
				}
			}
		}
	}
	return out, nil
}

func (f filter) matches(l *types.Log) bool {
	if f.Address != nil && *f.Address != l.Address || len(f.Topics) > len(l.Topics) {
		return false
	}
	for i, wanted := range f.Topics {
		if len(wanted) > 0 && !slices.Contains(wanted, l.Topics[i]) {
			return false
		}
	}
	return true
}

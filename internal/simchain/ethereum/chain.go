package ethereum

import (
	"cmp"
	"context"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/settlehq/settle/payment"
)

// Chain is the network: its blocks and what its builders have. It is safe for
// concurrent use.
type Chain struct {
	chainID uint64
	signer  types.Signer
	token   token

	mu        sync.Mutex
	blocks    []*block // by number
	places    map[common.Hash]place
	branch    uint64 // makes the blocks of a reorg different ones
	final     uint64 // newest finalized block
	finality  uint64 // blocks between head and finalized
	step      uint64 // seconds between blocks
	notBefore uint64 // the next block's time at least
	baseFee   *big.Int
	tip       *big.Int // that nodes suggest
	full      *big.Int // tip of the transactions that fill all pools, 0: there is room
	builders  pool
	acts      []func(*state) // for the next block
	nodes     []*Node
}

// place is where a transaction is.
type place struct {
	block *block
	index int
}

// Genesis is how a chain begins. Fields with a default may be left out.
type Genesis struct {
	ChainID  uint64         // default 1
	Token    common.Address // default the one of mainnet's USDC
	Time     time.Time      // of block 0; default the beginning of 2026
	Step     time.Duration  // between blocks, whole seconds; default 12 s
	Finality uint64         // blocks between head and finalized; default 2
	BaseFee  *big.Int       // wei per gas; default 1 gwei
	Tip      *big.Int       // wei per gas, that nodes suggest; default 1 gwei
	Accounts map[common.Address]Account
}

var gwei = big.NewInt(1_000_000_000)

// New returns a chain of one block, without nodes.
func New(g Genesis) *Chain {
	start := cmp.Or(g.Time, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	c := &Chain{
		chainID: cmp.Or(g.ChainID, 1), places: map[common.Hash]place{}, builders: pool{},
		finality: cmp.Or(g.Finality, 2), step: uint64(cmp.Or(g.Step, 12*time.Second) / time.Second),
		baseFee: cmp.Or(g.BaseFee, gwei), tip: cmp.Or(g.Tip, gwei), full: zero,
	}
	c.signer = types.LatestSignerForChainID(new(big.Int).SetUint64(c.chainID))
	c.token = newToken(c.chainID, cmp.Or(g.Token, common.HexToAddress("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")))
	s := &state{accounts: map[common.Address]Account{}, spent: map[authorization]bool{}}
	for a, x := range g.Accounts {
		s.accounts[a] = x
	}
	genesis := &block{time: uint64(start.Unix()), baseFee: c.baseFee, state: s}
	genesis.seal(0)
	c.blocks = []*block{genesis}
	return c
}

// Token is the address of the token's contract.
func (c *Chain) Token() common.Address { return c.token.address }

// Mine makes n blocks: the first takes what builders have and can include, the
// next ones what became possible with it.
func (c *Chain) Mine(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		c.extend(c.builders)
	}
	c.finalize()
}

// extend puts a block of the pool's transactions on the head.
func (c *Chain) extend(p pool) {
	b := c.build(c.head(), c.acts, p)
	c.acts = nil
	c.blocks = append(c.blocks, b)
	for i, tx := range b.txs {
		c.places[tx.Hash()] = place{b, i}
	}
	c.builders.forget(b.state)
}

func (c *Chain) head() *block { return c.blocks[len(c.blocks)-1] }

// finalize moves the finalized block on, never back.
func (c *Chain) finalize() {
	if head := c.head().number; head > c.finality {
		c.final = max(c.final, head-c.finality)
	}
}

// Reorg replaces the newest depth blocks by depth+1 empty ones. Their
// transactions are in no pool afterwards; with keep, they are in all of them.
// What Fund, Blacklist and PauseToken did in these blocks is done in the new
// ones. If depth reaches below the finalized block, finality has failed.
func (c *Chain) Reorg(depth int, keep bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	depth = min(depth, len(c.blocks)-1)
	cut := len(c.blocks) - depth
	gone := c.blocks[cut:]
	c.blocks = c.blocks[:cut:cut]
	c.branch++
	var acts []func(*state)
	for _, b := range gone {
		acts = append(acts, b.acts...)
	}
	c.acts = append(acts, c.acts...)
	for range depth + 1 {
		c.extend(nil)
	}
	for _, b := range gone {
		for _, tx := range b.txs {
			delete(c.places, tx.Hash())
			c.eachPool(func(p pool) {
				p.remove(tx.pooled)
				if keep {
					p.put(tx.pooled)
				}
			})
		}
	}
	c.finalize()
}

func (c *Chain) eachPool(do func(pool)) {
	do(c.builders)
	for _, n := range c.nodes {
		do(n.pool)
	}
}

// Drop makes builders and nodes forget every transaction that is in no block.
func (c *Chain) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eachPool(func(p pool) { clear(p) })
}

// Submit hands the bytes of a transaction to the builders past all nodes, as
// anybody may who has them. The error is what a node would say.
func (c *Chain) Submit(raw []byte) error {
	tx, err := decode(raw, c.signer)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.builders.add(tx, c.head().state, c.full)
}

// Foreign has somebody else use the next nonce of a key in keys, for a transfer
// of nothing to itself that goes into the next block before anything else of
// that account. It returns the transaction's hash.
func (c *Chain) Foreign(keys *Keys, key common.Address) common.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	price := new(big.Int).Add(c.baseFee, c.tip)
	unsigned := types.NewTx(&types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(c.chainID), Nonce: c.head().state.account(key).Nonce, GasTipCap: c.tip, GasFeeCap: price, Gas: gasIntrinsic, To: &key,
	})
	sig, err := keys.Sign(context.Background(), key.Hex(), c.signer.Hash(unsigned).Bytes())
	if err != nil {
		panic(err)
	}
	tx, err := unsigned.WithSignature(c.signer, sig)
	if err != nil {
		panic(err)
	}
	c.builders.put(pooled{tx, key})
	return tx.Hash()
}

// act does something to the state in the next block.
func (c *Chain) act(what func(*state)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acts = append(c.acts, what)
}

// Fund gives wei and token base units to an address, in the next block.
func (c *Chain) Fund(to common.Address, wei, units *big.Int) {
	c.act(func(s *state) {
		s.update(to, func(a *Account) {
			a.Wei, a.USDC = new(big.Int).Add(a.Wei, wei), new(big.Int).Add(a.USDC, units)
		})
	})
}

// Blacklist has the token's issuer put an address on the blacklist, or take it
// off, in the next block.
func (c *Chain) Blacklist(address common.Address, listed bool) {
	c.act(func(s *state) { s.update(address, func(a *Account) { a.Blacklisted = listed }) })
}

// PauseToken has the issuer pause all transfers, or resume them, in the next
// block.
func (c *Chain) PauseToken(paused bool) { c.act(func(s *state) { s.paused = paused }) }

// SetTime keeps all new blocks from being earlier than that.
func (c *Chain) SetTime(at time.Time) {
	c.set(func() { c.notBefore = uint64(at.Unix()) })
}

// SetBaseFee is the wei per gas that all new blocks burn.
func (c *Chain) SetBaseFee(wei *big.Int) { c.set(func() { c.baseFee = wei }) }

// SetTip is the wei per gas that nodes suggest on top.
func (c *Chain) SetTip(wei *big.Int) { c.set(func() { c.tip = wei }) }

// SetFull fills all pools with transactions that tip so many wei per gas; 0
// makes room.
func (c *Chain) SetFull(tip *big.Int) { c.set(func() { c.full = tip }) }

// SetFinality is how many blocks the finalized one is behind the head. It does
// not go back when that grows.
func (c *Chain) SetFinality(blocks uint64) {
	c.set(func() { c.finality = blocks; c.finalize() })
}

func (c *Chain) set(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
}

// Head is the number of the newest block, and its time.
func (c *Chain) Head() (number uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.head()
	return b.number, time.Unix(int64(b.time), 0).UTC()
}

// Final is the number of the newest finalized block, and its time.
func (c *Chain) Final() (number uint64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.blocks[c.final]
	return b.number, time.Unix(int64(b.time), 0).UTC()
}

// Account is what the newest block knows of an address.
func (c *Chain) Account(a common.Address) Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head().state.account(a)
}

// Transfer is a movement of tokens on the chain as it is now.
type Transfer struct {
	From, To common.Address
	Amount   payment.Amount // base units
	Tx       common.Hash
	Block    uint64
	Final    bool
}

// Transfers are all that happened, in order.
func (c *Chain) Transfers() []Transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Transfer
	for _, b := range c.blocks {
		for _, tx := range b.txs {
			for _, l := range tx.logs {
				if l.Topics[0] != topicTransfer {
					continue
				}
				amount, err := payment.ParseUnits(new(big.Int).SetBytes(l.Data).String())
				if err != nil {
					panic(err) // a balance is a uint256
				}
				out = append(out, Transfer{
					From: common.BytesToAddress(l.Topics[1][:]), To: common.BytesToAddress(l.Topics[2][:]), Amount: amount,
					Tx: tx.Hash(), Block: b.number, Final: b.number <= c.final,
				})
			}
		}
	}
	return out
}

// Mined tells whether a transaction is in a block, in which, and whether it
// succeeded there.
func (c *Chain) Mined(hash common.Hash) (number uint64, succeeded, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.places[hash]
	if !ok {
		return 0, false, false
	}
	return at.block.number, at.block.txs[at.index].failed == nil, true
}

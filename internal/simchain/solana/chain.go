package solana

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	sol "github.com/gagliardetto/solana-go"
)

// maxAge is how many blocks above that of its blockhash a transaction can land.
const maxAge = 150

// A chain does not begin at 0, and its slots run ahead of its heights, so that
// whoever takes one for the other is found out.
const (
	firstSlot   = 1000
	firstHeight = 700
)

// Genesis is how a chain begins. Zero values of the fields with a default take
// it.
type Genesis struct {
	Hash      sol.Hash      // names the network; default a fixed one
	Mint      sol.PublicKey // of the payout token, which has 6 decimals; default a fixed one
	Time      time.Time     // of the first slot; default 2026-01-01
	SlotTime  time.Duration // chain time from slot to slot; default 400 ms
	Confirmed uint64        // blocks that the confirmed one is behind the newest; default 1
	Finalized uint64        // blocks that the finalized one is behind the newest; default 32
	Accounts  map[sol.PublicKey]Account
}

func (g *Genesis) setDefaults() {
	g.Hash = cmp.Or(g.Hash, sol.Hash(sha256.Sum256([]byte("settle simulated genesis"))))
	g.Mint = cmp.Or(g.Mint, sol.PublicKey(sha256.Sum256([]byte("settle simulated mint"))))
	if g.Time.IsZero() {
		g.Time = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	g.SlotTime = cmp.Or(g.SlotTime, 400*time.Millisecond)
	g.Confirmed = cmp.Or(g.Confirmed, 1)
	g.Finalized = max(cmp.Or(g.Finalized, 32), g.Confirmed)
}

// Chain is one simulated network. It is safe for concurrent use.
type Chain struct {
	genesis Genesis

	mu       sync.Mutex
	blocks   []*block // of the present fork, by height
	slot     uint64   // newest slot of any fork
	final    uint64   // height of the finalized block; never goes back
	heights  map[sol.Hash]uint64
	accounts map[sol.PublicKey][]version
	frozen   map[sol.PublicKey]bool // token accounts
	records  map[sol.Signature]*record
	waiting  []*transaction // sent and in no block, oldest first
}

// block is one block of the present fork.
type block struct {
	slot, height, parent uint64
	hash                 sol.Hash
	time                 time.Time
	txs                  []*transaction
	prices               map[sol.PublicKey]uint64 // lowest price paid per account written, micro-lamports per compute unit
}

// New begins a chain, with as many blocks as it takes to have a finalized one.
func New(g Genesis) *Chain {
	g.setDefaults()
	c := &Chain{
		genesis: g, slot: firstSlot, final: firstHeight, heights: map[sol.Hash]uint64{},
		accounts: map[sol.PublicKey][]version{}, frozen: map[sol.PublicKey]bool{}, records: map[sol.Signature]*record{},
	}
	c.adopt(&block{slot: firstSlot, height: firstHeight, parent: firstSlot - 1, hash: g.Hash, time: g.Time})
	for program := range programs {
		c.put(program, firstHeight, account{lamports: 1, owner: sol.BPFLoaderProgramID, executable: true})
	}
	c.put(g.Mint, firstHeight, mintAccount())
	for owner, a := range g.Accounts {
		c.Fund(owner, a.Lamports, a.Tokens)
	}
	c.Advance(int(g.Finalized))
	return c
}

// GenesisHash names the network, in base58.
func (c *Chain) GenesisHash() string { return c.genesis.Hash.String() }

// Mint is the payout token's, in base58.
func (c *Chain) Mint() string { return c.genesis.Mint.String() }

// Advance closes so many slots. The first gets all that waits and can land; what
// cannot is forgotten, as on a real cluster.
func (c *Chain) Advance(slots int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range slots {
		b := c.next()
		for _, tx := range c.waiting {
			c.land(tx, b)
		}
		c.waiting = nil
	}
}

// AdvanceEmpty closes so many slots without what waits, as leaders do that are
// congested or did not get it.
func (c *Chain) AdvanceEmpty(slots int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range slots {
		c.next()
	}
}

// Reorg abandons the newest blocks, at most depth and none that is finalized,
// and returns how many; Advance makes the other fork. Their blockhashes are
// worth nothing any more. Their transactions are lost; with keep, they wait
// again before all others, and land if their own blockhash is older than the
// fork.
func (c *Chain) Reorg(depth int, keep bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	abandoned := min(depth, int(c.tip().height-c.final))
	cut := len(c.blocks) - abandoned
	var back []*transaction
	for _, b := range c.blocks[cut:] {
		delete(c.heights, b.hash)
		for _, tx := range b.txs {
			delete(c.records, tx.Signatures[0])
		}
		back = append(back, b.txs...)
	}
	c.blocks = c.blocks[:cut]
	c.forget(c.tip().height)
	if keep {
		c.waiting = append(back, c.waiting...)
	}
	return abandoned
}

// Drop loses every transaction that is in no block.
func (c *Chain) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = nil
}

// Submit hands the bytes of a transaction to the leaders past all nodes, as
// anybody may who has them. The error is what a node would say.
func (c *Chain) Submit(raw []byte) error {
	tx, err := verified(raw)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receive(tx)
	return nil
}

func (c *Chain) tip() *block { return c.blocks[len(c.blocks)-1] }

func (c *Chain) at(height uint64) *block { return c.blocks[height-firstHeight] }

func (c *Chain) adopt(b *block) {
	c.blocks = append(c.blocks, b)
	c.heights[b.hash] = b.height
}

// next opens a block on top of the newest. A slot is used once, whatever
// becomes of its fork.
func (c *Chain) next() *block {
	parent := c.tip()
	c.slot++
	hash := sha256.Sum256(binary.LittleEndian.AppendUint64(parent.hash[:], c.slot))
	b := &block{
		slot: c.slot, height: parent.height + 1, parent: parent.slot, hash: hash,
		time: c.genesis.Time.Add(time.Duration(c.slot-firstSlot) * c.genesis.SlotTime),
	}
	c.adopt(b)
	if reached := max(b.height, firstHeight+c.genesis.Finalized) - c.genesis.Finalized; reached > c.final {
		c.final = reached
	}
	return b
}

// takes reports whether a block of a height can hold transactions with this
// blockhash.
func (c *Chain) takes(blockhash sol.Hash, height uint64) bool {
	issued, known := c.heights[blockhash]
	return known && issued <= height && height-issued <= maxAge
}

// receive takes a transaction that was sent. What is there already is not
// taken twice.
func (c *Chain) receive(tx *transaction) {
	signature := tx.Signatures[0]
	if c.records[signature] != nil {
		return
	}
	for _, w := range c.waiting {
		if w.Signatures[0] == signature {
			return
		}
	}
	c.waiting = append(c.waiting, tx)
}

// land puts a transaction into the newest block, if it can be.
func (c *Chain) land(tx *transaction, b *block) {
	r, refused := c.execute(tx, b.height)
	if refused != nil {
		return
	}
	for key, a := range r.changed {
		c.put(key, b.height, a)
	}
	r.block = b
	c.records[tx.Signatures[0]] = r
	b.txs = append(b.txs, tx)
	if b.prices == nil {
		b.prices = map[sol.PublicKey]uint64{}
	}
	for i, key := range tx.Message.AccountKeys {
		if !tx.writable(i) {
			continue
		}
		if least, paid := b.prices[key]; !paid || r.price < least {
			b.prices[key] = r.price
		}
	}
}

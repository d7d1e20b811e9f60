package solana

import (
	"encoding/binary"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/payment"
)

// Account is what an owner has.
type Account struct {
	Lamports uint64
	Tokens   uint64 // base units, in the associated token account; 0 also without one
}

// Account is what an owner has at the newest block.
func (c *Chain) Account(owner sol.PublicKey) Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	height := c.tip().height
	t, _ := tokenOf(c.accountAt(associated(owner, c.genesis.Mint), height))
	return Account{Lamports: c.accountAt(owner, height).lamports, Tokens: t.amount}
}

// Head is the newest block.
func (c *Chain) Head() (slot, height uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tip().slot, c.tip().height
}

// Final is the finalized block.
func (c *Chain) Final() (slot, height uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at(c.final).slot, c.final
}

// Landed tells whether a transaction is in a block, in which, and whether it
// succeeded there.
func (c *Chain) Landed(signature sol.Signature) (slot uint64, succeeded, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.records[signature]
	if !ok {
		return 0, false, false
	}
	return r.block.slot, r.err == nil, true
}

// Transfer is a payment in a block.
type Transfer struct {
	From, To sol.PublicKey  // owners
	Amount   payment.Amount // base units
	Memo     string
	Tx       sol.Signature
	Slot     uint64
	Final    bool
}

// Transfers are all that happened, in order.
func (c *Chain) Transfers() []Transfer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Transfer
	for _, b := range c.blocks {
		for _, tx := range b.txs {
			r := c.records[tx.Signatures[0]]
			if r.err != nil {
				continue
			}
			for _, t := range r.transfers() {
				t.Slot, t.Final = b.slot, b.height <= c.final
				out = append(out, t)
			}
		}
	}
	return out
}

func (r *record) transfers() []Transfer {
	var out []Transfer
	memo := ""
	for _, x := range r.tx.Message.Instructions {
		switch r.tx.Message.AccountKeys[x.ProgramIDIndex] {
		case sol.MemoProgramID:
			memo = string(x.Data)
		case sol.TokenProgramID:
			out = append(out, Transfer{
				From: r.ownerOf(x.Accounts[0]), To: r.ownerOf(x.Accounts[2]),
				Amount: payment.Units(binary.LittleEndian.Uint64(x.Data[1:])), Tx: r.tx.Signatures[0],
			})
		}
	}
	for i := range out {
		out[i].Memo = memo
	}
	return out
}

// ownerOf is the owner of a token account of the transaction.
func (r *record) ownerOf(index uint16) sol.PublicKey {
	for _, b := range r.post.tokens {
		if b.AccountIndex == int(index) {
			return b.Owner
		}
	}
	return sol.PublicKey{}
}

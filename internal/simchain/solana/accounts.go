package solana

import (
	"encoding/binary"

	sol "github.com/gagliardetto/solana-go"
)

const (
	mintDecimals     = 6
	mintSize         = 82  // bytes
	tokenAccountSize = 165 // bytes
)

// account is one account's content. It is a value; data is never changed in
// place. No lamports: there is no such account.
type account struct {
	lamports   uint64
	owner      sol.PublicKey
	data       []byte
	executable bool
}

// version is an account as it is from a block on, until its next version.
type version struct {
	height uint64
	account
}

// rentExempt is the least that an account of a size must hold, in lamports.
func rentExempt(size int) uint64 { return uint64(128+size) * 3480 * 2 }

// accountAt is an account as of a block.
func (c *Chain) accountAt(key sol.PublicKey, height uint64) account {
	if key == sol.SysVarClockPubkey {
		return clockAccount(c.at(height))
	}
	list := c.accounts[key]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].height <= height {
			return list[i].account
		}
	}
	return account{}
}

func (c *Chain) put(key sol.PublicKey, height uint64, a account) {
	list := c.accounts[key]
	if last := len(list) - 1; last >= 0 && list[last].height == height {
		list[last].account = a
		return
	}
	c.accounts[key] = append(list, version{height, a})
}

// forget undoes what blocks above a height did to accounts.
func (c *Chain) forget(above uint64) {
	for key, list := range c.accounts {
		for len(list) > 0 && list[len(list)-1].height > above {
			list = list[:len(list)-1]
		}
		c.accounts[key] = list
	}
}

// Fund gives an owner lamports, and tokens in base units in the associated
// token account. It is as if both had been there since genesis: at every
// commitment, at every node, and no reorg takes them away.
func (c *Chain) Fund(owner sol.PublicKey, lamports, tokens uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if lamports > 0 {
		c.always(owner, func(a account) account {
			a.lamports += lamports
			return a
		})
	}
	if tokens > 0 {
		c.always(associated(owner, c.genesis.Mint), func(a account) account {
			t, ok := tokenOf(a)
			if !ok {
				return tokenAccount(token{mint: c.genesis.Mint, owner: owner, amount: tokens}, max(a.lamports, rentExempt(tokenAccountSize)))
			}
			t.amount += tokens
			return tokenAccount(t, a.lamports)
		})
	}
}

// always changes an account in all blocks.
func (c *Chain) always(key sol.PublicKey, change func(account) account) {
	list := c.accounts[key]
	if len(list) == 0 || list[0].height > firstHeight {
		list = append([]version{{height: firstHeight}}, list...)
	}
	for i := range list {
		list[i].account = change(list[i].account)
	}
	c.accounts[key] = list
}

// Freeze stops the associated token account of an owner from sending and
// receiving, as the issuer of a token can, or lifts that. It holds from the
// next block on, and no reorg undoes it.
func (c *Chain) Freeze(owner sol.PublicKey, frozen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen[associated(owner, c.genesis.Mint)] = frozen
}

// associated is the token account of an owner.
func associated(owner, mint sol.PublicKey) sol.PublicKey {
	key, _, err := sol.FindAssociatedTokenAddress(owner, mint)
	if err != nil {
		panic(err) // all 256 candidates are on the curve
	}
	return key
}

// token is a token account's content, as far as it is not the same in all.
type token struct {
	mint, owner sol.PublicKey
	amount      uint64 // base units
}

func tokenOf(a account) (token, bool) {
	if a.owner != sol.TokenProgramID || len(a.data) != tokenAccountSize {
		return token{}, false
	}
	return token{
		mint: sol.PublicKeyFromBytes(a.data[:32]), owner: sol.PublicKeyFromBytes(a.data[32:64]),
		amount: binary.LittleEndian.Uint64(a.data[64:72]),
	}, true
}

// State of a token account, at byte 108.
const (
	stateOffset = 108
	initialized = 1
	frozen      = 2
)

func tokenAccount(t token, lamports uint64) account {
	data := make([]byte, tokenAccountSize)
	copy(data, t.mint[:])
	copy(data[32:], t.owner[:])
	binary.LittleEndian.PutUint64(data[64:], t.amount)
	data[stateOffset] = initialized
	return account{lamports: lamports, owner: sol.TokenProgramID, data: data}
}

func mintAccount() account {
	data := make([]byte, mintSize)
	data[44] = mintDecimals
	data[45] = initialized
	return account{lamports: rentExempt(mintSize), owner: sol.TokenProgramID, data: data}
}

// clockAccount is the clock sysvar: the slot, and at byte 32 the Unix time.
func clockAccount(b *block) account {
	data := make([]byte, 40)
	binary.LittleEndian.PutUint64(data, b.slot)
	binary.LittleEndian.PutUint64(data[32:], uint64(b.time.Unix()))
	return account{lamports: rentExempt(len(data)), owner: sysvarOwner, data: data}
}

var sysvarOwner = sol.MustPublicKeyFromBase58("Sysvar1111111111111111111111111111111111111")

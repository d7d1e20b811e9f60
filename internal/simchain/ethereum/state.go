package ethereum

import (
	"maps"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// Account is what the chain knows of an address. Its figures are not to be
// changed.
type Account struct {
	Nonce       uint64
	Wei         *big.Int
	USDC        *big.Int // base units
	Blacklisted bool     // by the token's issuer
}

// authorization identifies an EIP-3009 authorization to the token.
type authorization struct {
	authorizer common.Address
	nonce      common.Hash
}

// state is everything at the end of a block.
type state struct {
	accounts map[common.Address]Account
	spent    map[authorization]bool // used or canceled
	paused   bool                   // the token
}

func (s *state) clone() *state {
	return &state{accounts: maps.Clone(s.accounts), spent: maps.Clone(s.spent), paused: s.paused}
}

var zero = new(big.Int)

func (s *state) account(a common.Address) Account {
	x := s.accounts[a]
	if x.Wei == nil {
		x.Wei = zero
	}
	if x.USDC == nil {
		x.USDC = zero
	}
	return x
}

func (s *state) update(a common.Address, change func(*Account)) {
	x := s.account(a)
	change(&x)
	s.accounts[a] = x
}

// moveWei and moveTokens expect that the sender has enough.
func (s *state) moveWei(from, to common.Address, wei *big.Int) {
	s.update(from, func(a *Account) { a.Wei = new(big.Int).Sub(a.Wei, wei) })
	s.update(to, func(a *Account) { a.Wei = new(big.Int).Add(a.Wei, wei) })
}

func (s *state) moveTokens(from, to common.Address, units *big.Int) {
	s.update(from, func(a *Account) { a.USDC = new(big.Int).Sub(a.USDC, units) })
	s.update(to, func(a *Account) { a.USDC = new(big.Int).Add(a.USDC, units) })
}

package solana

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	sol "github.com/gagliardetto/solana-go"
)

// Wallets are accounts with their keys. It is a chains.Signer.
type Wallets struct {
	Treasury string
	Lanes    []string
	keys     map[string]ed25519.PrivateKey
}

// NewWallets makes a treasury with 1,000,000 tokens and lanes with 100 SOL. The
// keys are the same in every run.
func (c *Chain) NewWallets(lanes int) Wallets {
	w := Wallets{keys: map[string]ed25519.PrivateKey{}}
	w.Treasury = w.add(c, sol.LAMPORTS_PER_SOL, 1_000_000_000_000)
	for range lanes {
		w.Lanes = append(w.Lanes, w.add(c, 100*sol.LAMPORTS_PER_SOL, 0))
	}
	return w
}

func (w Wallets) add(c *Chain, lamports, tokens uint64) string {
	private := c.newKey()
	owner := sol.PublicKeyFromBytes(private[ed25519.SeedSize:])
	c.Fund(owner, lamports, tokens)
	w.keys[owner.String()] = private
	return owner.String()
}

// Sign signs a message with ed25519.
func (w Wallets) Sign(_ context.Context, address string, message []byte) ([]byte, error) {
	key, ok := w.keys[address]
	if !ok {
		return nil, fmt.Errorf("no key for %s", address)
	}
	return ed25519.Sign(key, message), nil
}

// NewPayee is the address of a wallet that has never been used: the same ones in
// every run, in this order.
func (c *Chain) NewPayee() sol.PublicKey {
	return sol.PublicKeyFromBytes(c.newKey()[ed25519.SeedSize:])
}

func (c *Chain) newKey() ed25519.PrivateKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys++
	seed := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte("settle simulated key"), c.keys))
	return ed25519.NewKeyFromSeed(seed[:])
}

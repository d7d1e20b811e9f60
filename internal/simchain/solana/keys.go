package solana

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"sync"

	sol "github.com/gagliardetto/solana-go"
)

// Keys is a chains.Signer whose keys follow from a seed. It is safe for
// concurrent use.
type Keys struct {
	seed string

	mu   sync.RWMutex
	keys map[string]ed25519.PrivateKey
}

// NewKeys returns a signer without keys.
func NewKeys(seed string) *Keys {
	return &Keys{seed: seed, keys: map[string]ed25519.PrivateKey{}}
}

// Add makes the key of that name and returns its address.
func (k *Keys) Add(name string) sol.PublicKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	seed := sha256.Sum256([]byte(k.seed + "\x00" + name))
	key := ed25519.NewKeyFromSeed(seed[:])
	address := sol.PublicKeyFromBytes(key[ed25519.SeedSize:])
	k.keys[address.String()] = key
	return address
}

// Sign signs a message with ed25519.
func (k *Keys) Sign(_ context.Context, address string, message []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[address]
	if !ok {
		return nil, fmt.Errorf("no key for %s", address)
	}
	return ed25519.Sign(key, message), nil
}

package ethereum

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Keys is a chains.Signer whose keys follow from a seed. It is safe for
// concurrent use.
type Keys struct {
	seed string

	mu   sync.RWMutex
	keys map[common.Address]*ecdsa.PrivateKey
}

// NewKeys returns a signer without keys.
func NewKeys(seed string) *Keys {
	return &Keys{seed: seed, keys: map[common.Address]*ecdsa.PrivateKey{}}
}

// Add makes the key of that name and returns its address.
func (k *Keys) Add(name string) common.Address {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte(k.seed), []byte{0}, []byte(name)))
	if err != nil {
		panic(err) // as likely as finding somebody's key
	}
	address := crypto.PubkeyToAddress(key.PublicKey)
	k.keys[address] = key
	return address
}

// Sign signs a 32-byte digest for a hex address: [R || S || V], V 0 or 1.
func (k *Keys) Sign(_ context.Context, address string, digest []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[common.HexToAddress(address)]
	if !ok {
		return nil, fmt.Errorf("no key for %s", address)
	}
	return crypto.Sign(digest, key)
}

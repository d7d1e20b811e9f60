package sandbox

import (
	"crypto/rand"

	"github.com/ethereum/go-ethereum/common"
	sol "github.com/gagliardetto/solana-go"
)

// NewEthereumAddress returns a payee that nobody has seen before.
func NewEthereumAddress(t T) string {
	t.Helper()
	var a common.Address
	if _, err := rand.Read(a[:]); err != nil {
		t.Fatalf("sandbox: %v", err)
	}
	return a.Hex()
}

// NewSolanaAddress returns an owner that nobody has seen before and that has
// no token account.
func NewSolanaAddress(t T) string {
	t.Helper()
	key, err := sol.NewRandomPrivateKey()
	if err != nil {
		t.Fatalf("sandbox: %v", err)
	}
	return key.PublicKey().String()
}

package treasury

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/mr-tron/base58"
	"golang.org/x/crypto/sha3"

	"github.com/settlehq/settle/payment"
)

// ErrNoKey says that the keyring has no key for the address.
var ErrNoKey = errors.New("no key for this address")

// KeyType says how a key signs.
type KeyType string

// Key types.
const (
	Secp256k1 KeyType = "secp256k1" // EVM chains; the secret is 32 bytes in hex
	Ed25519   KeyType = "ed25519"   // Solana; the secret is a 32-byte seed or 64-byte key pair, in base58 or hex
)

// Key is the public side of a key in the ring.
type Key struct {
	Chain   payment.Chain `json:"chain"`
	Address string        `json:"address"`
	Type    KeyType       `json:"type"`
}

// Keyring holds signing keys in memory. It is safe for concurrent use, and
// shows no secret however it is printed: the secrets are out of reflection's
// reach, in closures.
type Keyring struct {
	keys    []Key
	signers map[string]signer // by normal(address)
}

// signer makes a signature, or says what is wrong with the payload.
type signer func(payload []byte) ([]byte, error)

// LoadKeyring reads a JSON file of keys:
//
//	[{"chain": "ethereum", "address": "0x…", "type": "secp256k1", "secret": "0x…"},
//	 {"chain": "solana", "address": "…", "type": "ed25519", "secret": "…"}]
//
// The file must not be readable by group or others. Errors name the entry that
// is wrong, never its secret.
func LoadKeyring(path string) (*Keyring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("keyring: %s may be used by others (mode %04o): run chmod 600 on it", path, mode)
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	k, err := parseKeyring(raw)
	if err != nil {
		return nil, fmt.Errorf("keyring %s: %w", path, err)
	}
	return k, nil
}

func parseKeyring(raw []byte) (*Keyring, error) {
	var entries []struct {
		Key
		Secret string `json:"secret"`
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&entries); err != nil {
		return nil, fmt.Errorf("not a JSON list of keys with chain, address, type and secret: %w", err)
	}
	ring := &Keyring{signers: map[string]signer{}}
	for n, e := range entries {
		if e.Chain == "" || e.Address == "" {
			return nil, fmt.Errorf("key %d: chain or address is missing", n+1)
		}
		address, sign, err := open(e.Type, e.Secret)
		if err != nil {
			return nil, fmt.Errorf("key %d (%s): %w", n+1, e.Address, err)
		}
		if normal(address) != normal(e.Address) {
			return nil, fmt.Errorf("key %d: the secret belongs to %s, not to %s", n+1, address, e.Address)
		}
		ring.keys = append(ring.keys, e.Key)
		ring.signers[normal(e.Address)] = sign
	}
	return ring, nil
}

// normal makes EVM addresses comparable, whose capitals are only a checksum.
func normal(address string) string {
	if strings.HasPrefix(address, "0x") {
		return strings.ToLower(address)
	}
	return address
}

// Sign signs with the key of the address: for secp256k1 a 32-byte digest into
// 65 bytes R || S || V with V 0 or 1, for ed25519 a message into 64 bytes.
// ErrNoKey if there is no such key. Both kinds are deterministic.
func (k *Keyring) Sign(_ context.Context, address string, payload []byte) ([]byte, error) {
	sign, ok := k.signers[normal(address)]
	if !ok {
		return nil, fmt.Errorf("sign: %w: %s", ErrNoKey, address)
	}
	signature, err := sign(payload)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", address, err)
	}
	return signature, nil
}

// Addresses lists the keys in the order of the file.
func (k *Keyring) Addresses() []Key { return append([]Key(nil), k.keys...) }

// Format prints the number of keys, whatever the verb.
func (k Keyring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// String tells the number of keys.
func (k Keyring) String() string { return fmt.Sprintf("keyring of %d keys [redacted]", len(k.keys)) }

// MarshalJSON writes String.
func (k Keyring) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// open turns a secret into the address it belongs to and a signer.
func open(t KeyType, secret string) (address string, sign signer, err error) {
	switch t {
	case Secp256k1:
		return openSecp256k1(secret)
	case Ed25519:
		return openEd25519(secret)
	default:
		return "", nil, fmt.Errorf("type %q is unknown: use %s or %s", t, Secp256k1, Ed25519)
	}
}

// openSecp256k1 names the address by the last 20 bytes of the public key's
// Keccak-256, in lower case.
func openSecp256k1(secret string) (address string, sign signer, err error) {
	b, err := hex.DecodeString(strings.TrimPrefix(secret, "0x"))
	if err != nil || len(b) != 32 {
		return "", nil, errors.New("the secret is not 32 bytes in hex")
	}
	var scalar secp256k1.ModNScalar
	if overflow := scalar.SetByteSlice(b); overflow || scalar.IsZero() {
		return "", nil, errors.New("the secret is not a private key of secp256k1")
	}
	private := secp256k1.NewPrivateKey(&scalar)
	h := sha3.NewLegacyKeccak256()
	h.Write(private.PubKey().SerializeUncompressed()[1:])

	return "0x" + hex.EncodeToString(h.Sum(nil)[12:]), func(digest []byte) ([]byte, error) {
		if len(digest) != 32 {
			return nil, fmt.Errorf("a secp256k1 key signs a digest of 32 bytes, not %d", len(digest))
		}
		// Compact form: 27 + recovery code, R, S; with low S as EIP-2 demands.
		c := ecdsa.SignCompact(private, digest, false)
		return append(c[1:65:65], c[0]-27), nil
	}, nil
}

// openEd25519 names the address by the public key in base58.
func openEd25519(secret string) (address string, sign signer, err error) {
	b, err := hex.DecodeString(strings.TrimPrefix(secret, "0x"))
	if err != nil {
		b, err = base58.Decode(secret)
	}
	if err != nil || (len(b) != ed25519.SeedSize && len(b) != ed25519.PrivateKeySize) {
		return "", nil, errors.New("the secret is not 32 or 64 bytes in base58 or hex")
	}
	private := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])
	if !bytes.HasPrefix(private, b) {
		return "", nil, errors.New("the secret's two halves do not belong together")
	}
	return base58.Encode(private[ed25519.SeedSize:]), func(message []byte) ([]byte, error) {
		return ed25519.Sign(private, message), nil
	}, nil
}

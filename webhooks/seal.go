package webhooks

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// Errors of a Sealer.
var (
	// ErrUnknownKey means that the bytes were sealed with a master key that
	// this process does not have.
	ErrUnknownKey = errors.New("sealed with an unknown master key")
	// ErrSealed means that the bytes were damaged, or belong to another owner.
	ErrSealed = errors.New("sealed bytes do not open")
)

// sealedV1 opens every sealed value: version, length of the key id, key id,
// then nonce and ciphertext of AES-256-GCM.
const sealedV1 = 1

// Sealer encrypts signing secrets at rest with AES-256-GCM. The id of the
// master key is written in front of each value, so that a new key takes over
// while values under the old one still open. A value opens only for the owner
// it was sealed for, so a row copied to another endpoint is useless. A Sealer
// is safe for concurrent use.
type Sealer struct {
	current string
	aeads   map[string]cipher.AEAD
}

// NewSealer takes the id of the key to seal with, and all keys that may still
// be needed to open: id to 32 bytes. Ids are 1 to 255 bytes.
func NewSealer(current string, keys map[string][]byte) (*Sealer, error) {
	s := &Sealer{current: current, aeads: make(map[string]cipher.AEAD, len(keys))}
	for id, key := range keys {
		if id == "" || len(id) > 255 {
			return nil, fmt.Errorf("master key id %q: needs 1 to 255 bytes", id)
		}
		if len(key) != 32 {
			return nil, fmt.Errorf("master key %s: %d bytes, needs 32", id, len(key))
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("master key %s: %w", id, err)
		}
		if s.aeads[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("master key %s: %w", id, err)
		}
	}
	if s.aeads[current] == nil {
		return nil, fmt.Errorf("current master key %q is not among the keys", current)
	}
	return s, nil
}

// KeyID is the id of the key that Seal uses.
func (s *Sealer) KeyID() string { return s.current }

// Seal encrypts plaintext for owner, here the endpoint's id.
func (s *Sealer) Seal(plaintext []byte, owner string) []byte {
	header := append([]byte{sealedV1, byte(len(s.current))}, s.current...)
	return s.aeads[s.current].Seal(header, nil, plaintext, additional(header, owner))
}

// Open returns what Seal was given, or an error that wraps ErrUnknownKey or
// ErrSealed.
func (s *Sealer) Open(sealed []byte, owner string) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealedV1 || len(sealed) < 2+int(sealed[1]) {
		return nil, fmt.Errorf("%w: no key id in front", ErrSealed)
	}
	header, box := sealed[:2+int(sealed[1])], sealed[2+int(sealed[1]):]
	id := string(header[2:])
	aead := s.aeads[id]
	if aead == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, id)
	}
	plaintext, err := aead.Open(nil, nil, box, additional(header, owner))
	if err != nil {
		return nil, fmt.Errorf("%w: key %s, owner %s", ErrSealed, id, owner)
	}
	return plaintext, nil
}

// additional binds a value to its header and owner; the header says its own
// length, so the two cannot be shifted against each other.
func additional(header []byte, owner string) []byte {
	return append(append([]byte(nil), header...), owner...)
}

// reseal seals under the current key what was sealed for owner under any.
func (s *Sealer) reseal(sealed []byte, owner string) ([]byte, error) {
	plaintext, err := s.Open(sealed, owner)
	if err != nil {
		return nil, err
	}
	return s.Seal(plaintext, owner), nil
}

package store

import (
	"encoding/hex"

	"github.com/google/uuid"
)

// NewID returns prefix, an underscore and a UUIDv7 (RFC 9562) in 32 hex
// digits, e.g. pi_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f. Ids of one process sort in
// the order of their making. It panics if the system has no randomness.
func NewID(prefix string) string {
	id := uuid.Must(uuid.NewV7())
	return prefix + "_" + hex.EncodeToString(id[:])
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// Merchant orders payments. The limits are in base units of the asset.
type Merchant struct {
	ID          string
	Name        string
	ReviewAbove *payment.Amount // larger payments wait for a person; nil: never by amount
	MaxAmount   *payment.Amount // larger payments are refused; nil: no limit
	CreatedAt   time.Time
}

// CreateMerchant inserts a merchant and returns it as stored. An empty ID gets
// a new one. ErrConflict if the id is taken.
func (tx *Tx) CreateMerchant(ctx context.Context, m Merchant) (Merchant, error) {
	if m.ID == "" {
		m.ID = NewID("mer")
	}
	row, err := tx.InsertMerchant(ctx, db.InsertMerchantParams{ID: m.ID, Name: m.Name, ReviewAbove: m.ReviewAbove, MaxAmount: m.MaxAmount})
	if err != nil {
		return Merchant{}, fmt.Errorf("create merchant %s: %w", m.ID, err)
	}
	return Merchant(row), nil
}

// Merchant reads a merchant. ErrNotFound if there is none. What was read is
// remembered for 5 s, so a new limit takes that long to be noticed.
func (s *Store) Merchant(ctx context.Context, id string) (Merchant, error) {
	if m, ok := s.found.get(id); ok {
		return m.(Merchant), nil
	}
	row, err := s.queries.GetMerchant(ctx, id)
	if err != nil {
		return Merchant{}, fmt.Errorf("merchant %s: %w", id, err)
	}
	m := Merchant(row)
	s.found.put(id, m)
	return m, nil
}

// APIKey is what is stored of an API key: never its secret.
type APIKey struct {
	ID         string // the public prefix
	MerchantID string
	Mode       payment.Mode
	PepperID   string // names the pepper that Hash was made with
	Hash       []byte // HMAC-SHA-256(pepper, secret), 32 bytes
	Scopes     []string
	Name       string
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	RevokedAt  *time.Time // nil: valid
}

// CreateAPIKey inserts a key and returns it as stored. ErrConflict if the id is
// taken, ErrRefused if the merchant does not exist.
func (tx *Tx) CreateAPIKey(ctx context.Context, k APIKey) (APIKey, error) {
	if k.Scopes == nil {
		k.Scopes = []string{}
	}
	row, err := tx.InsertAPIKey(ctx, db.InsertAPIKeyParams{
		ID: k.ID, MerchantID: k.MerchantID, Mode: string(k.Mode), PepperID: k.PepperID, Hash: k.Hash,
		Scopes: k.Scopes, Name: k.Name, ExpiresAt: k.ExpiresAt,
	})
	if err != nil {
		return APIKey{}, fmt.Errorf("create api key %s: %w", k.ID, err)
	}
	return apiKeyOf(row), nil
}

// APIKey reads a key, also one that is revoked or expired. ErrNotFound if there
// is none.
func (s *Store) APIKey(ctx context.Context, id string) (APIKey, error) {
	row, err := s.queries.GetAPIKey(ctx, id)
	if err != nil {
		return APIKey{}, fmt.Errorf("api key %s: %w", id, err)
	}
	return apiKeyOf(row), nil
}

// RevokeAPIKey ends a key from now on; a key that is revoked already stays as
// it is. ErrNotFound if there is none.
func (tx *Tx) RevokeAPIKey(ctx context.Context, id string) (APIKey, error) {
	row, err := tx.Queries.RevokeAPIKey(ctx, id)
	if err != nil {
		return APIKey{}, fmt.Errorf("revoke api key %s: %w", id, err)
	}
	return apiKeyOf(row), nil
}

// NoteKeyUse writes down that a key was used just now, at most once a minute;
// the use of a key that does not exist is no error.
func (s *Store) NoteKeyUse(ctx context.Context, id string) error {
	if err := s.queries.NoteAPIKeyUse(ctx, id); err != nil {
		return fmt.Errorf("note use of api key %s: %w", id, err)
	}
	return nil
}

func apiKeyOf(r db.ApiKey) APIKey {
	return APIKey{
		ID: r.ID, MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode), PepperID: r.PepperID, Hash: r.Hash,
		Scopes: r.Scopes, Name: r.Name, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt,
	}
}

// EveryChain stands for all chains in BlockAddress.
const EveryChain payment.Chain = "*"

// BlockAddress forbids payments to an address, in the chain's canonical form,
// on the chain or on EveryChain. Blocking it again replaces the reason.
func (tx *Tx) BlockAddress(ctx context.Context, chain payment.Chain, address, reason string) error {
	err := tx.InsertBlockedAddress(ctx, db.InsertBlockedAddressParams{Chain: string(chain), Address: address, Reason: reason})
	if err != nil {
		return fmt.Errorf("block address %s: %w", address, err)
	}
	return nil
}

// IsBlocked reports whether nobody may pay the address on the chain, and why.
func (s *Store) IsBlocked(ctx context.Context, chain payment.Chain, address string) (reason string, blocked bool, err error) {
	reason, err = s.queries.GetBlockedAddress(ctx, db.GetBlockedAddressParams{Chain: string(chain), Address: address})
	if isNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("is %s blocked: %w", address, err)
	}
	return reason, true, nil
}

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

// Merchant reads a merchant as it is now. ErrNotFound if there is none.
func (tx *Tx) Merchant(ctx context.Context, id string) (Merchant, error) {
	row, err := tx.GetMerchant(ctx, id)
	if err != nil {
		return Merchant{}, fmt.Errorf("merchant %s: %w", id, err)
	}
	return Merchant(row), nil
}

// Merchants reads at most limit merchants (0: all), newest first, that come
// after the cursor (nil: from the newest on); more reports whether others follow.
func (s *Store) Merchants(ctx context.Context, after *Cursor, limit int) (merchants []Merchant, more bool, err error) {
	p := db.ListMerchantsParams{MaxRows: oneMore(limit)}
	p.AfterCreatedAt, p.AfterID = after.place()
	rows, err := s.queries.ListMerchants(ctx, p)
	if err != nil {
		return nil, false, fmt.Errorf("merchants: %w", err)
	}
	rows, more = Page(rows, limit)
	merchants = make([]Merchant, len(rows))
	for n, r := range rows {
		merchants[n] = Merchant(r)
	}
	return merchants, more, nil
}

// ChangeMerchant applies change to the merchant's name and limits and returns
// it as it was and as it is stored now. ErrNotFound if there is none.
func (tx *Tx) ChangeMerchant(ctx context.Context, id string, change func(*Merchant)) (before, after Merchant, err error) {
	fault := func(err error) (Merchant, Merchant, error) {
		return Merchant{}, Merchant{}, fmt.Errorf("change merchant %s: %w", id, err)
	}
	if _, err := tx.LockMerchant(ctx, id); err != nil {
		return fault(err)
	}
	if before, err = tx.Merchant(ctx, id); err != nil {
		return fault(err)
	}
	after = before
	change(&after)
	row, err := tx.UpdateMerchant(ctx, db.UpdateMerchantParams{ID: id, Name: after.Name, ReviewAbove: after.ReviewAbove, MaxAmount: after.MaxAmount})
	if err != nil {
		return fault(err)
	}
	return before, Merchant(row), nil
}

// Admin is the mode of operators' keys. They belong to no merchant and see no
// payments.
const Admin payment.Mode = "admin"

// APIKey is what is stored of an API key: never its secret.
type APIKey struct {
	ID         string       // the public prefix
	MerchantID string       // "": an operator's
	Mode       payment.Mode // or Admin
	PepperID   string       // names the pepper that Hash was made with
	Hash       []byte       // HMAC-SHA-256(pepper, secret), 32 bytes
	Scopes     []string
	Name       string
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	RevokedAt  *time.Time // nil: valid
	LastUsedAt *time.Time // to the minute; nil: never
}

// ValidAt reports whether the key is neither revoked nor expired at a time.
func (k APIKey) ValidAt(at time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || k.ExpiresAt.After(at))
}

// CreateAPIKey inserts a key and returns it as stored. ErrConflict if the id is
// taken, ErrRefused if the merchant does not exist, or the scopes are not of its mode.
func (tx *Tx) CreateAPIKey(ctx context.Context, k APIKey) (APIKey, error) {
	if k.Scopes == nil {
		k.Scopes = []string{}
	}
	row, err := tx.InsertAPIKey(ctx, db.InsertAPIKeyParams{
		ID: k.ID, MerchantID: given(k.MerchantID), Mode: string(k.Mode), PepperID: k.PepperID, Hash: k.Hash,
		Scopes: k.Scopes, Name: k.Name, ExpiresAt: k.ExpiresAt,
	})
	if err != nil {
		return APIKey{}, fmt.Errorf("create api key %s: %w", k.ID, err)
	}
	return apiKeyOf(row), nil
}

// Principal reads a key, also one that is revoked or expired, and its merchant,
// both as they are now. The merchant of an operator's key is the zero one.
// ErrNotFound if there is no such key.
func (s *Store) Principal(ctx context.Context, keyID string) (APIKey, Merchant, error) {
	row, err := s.queries.GetPrincipal(ctx, keyID)
	if err != nil {
		return APIKey{}, Merchant{}, fmt.Errorf("api key %s: %w", keyID, err)
	}
	key := apiKeyOf(row.ApiKey)
	if key.MerchantID == "" {
		return key, Merchant{}, nil
	}
	return key, Merchant{key.MerchantID, *row.Name, row.ReviewAbove, row.MaxAmount, *row.CreatedAt}, nil
}

// APIKeys reads at most limit keys (0: all) of a merchant, or of everybody if
// merchantID is empty, newest first, that come after the cursor (nil: from the
// newest on); more reports whether others follow.
func (s *Store) APIKeys(ctx context.Context, merchantID string, after *Cursor, limit int) (keys []APIKey, more bool, err error) {
	p := db.ListAPIKeysParams{MerchantID: merchantID, MaxRows: oneMore(limit)}
	p.AfterCreatedAt, p.AfterID = after.place()
	rows, err := s.queries.ListAPIKeys(ctx, p)
	if err != nil {
		return nil, false, fmt.Errorf("api keys of %s: %w", merchantID, err)
	}
	rows, more = Page(rows, limit)
	keys = make([]APIKey, len(rows))
	for n, r := range rows {
		keys[n] = apiKeyOf(r)
	}
	return keys, more, nil
}

// ExpireAPIKey has a valid key end after overlap by the database's clock, or
// when it would have ended anyway if that is sooner, and returns it as stored.
// Another transaction that expires it waits for this one. ErrNotFound if there
// is no such key, ErrKeyEnded if it has ended already.
func (tx *Tx) ExpireAPIKey(ctx context.Context, id string, overlap time.Duration) (APIKey, error) {
	fault := func(err error) (APIKey, error) {
		return APIKey{}, fmt.Errorf("expire api key %s: %w", id, err)
	}
	row, err := tx.LockAPIKey(ctx, id)
	if err != nil {
		return fault(err)
	}
	key := apiKeyOf(row.ApiKey)
	if !key.ValidAt(row.At) {
		return fault(ErrKeyEnded)
	}
	end := row.At.Add(overlap)
	if key.ExpiresAt != nil && key.ExpiresAt.Before(end) {
		return key, nil
	}
	stored, err := tx.Queries.ExpireAPIKey(ctx, db.ExpireAPIKeyParams{ID: id, ExpiresAt: &end})
	if err != nil {
		return fault(err)
	}
	return apiKeyOf(stored), nil
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
	k := APIKey{
		ID: r.ID, Mode: payment.Mode(r.Mode), PepperID: r.PepperID, Hash: r.Hash,
		Scopes: r.Scopes, Name: r.Name, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt,
		LastUsedAt: r.LastUsedAt,
	}
	if r.MerchantID != nil {
		k.MerchantID = *r.MerchantID
	}
	return k
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

// BlockedAddress is an address that nobody may pay.
type BlockedAddress struct {
	Chain     payment.Chain // or EveryChain
	Address   string
	Reason    string
	CreatedAt time.Time
}

// UnblockAddress takes an address off the list of a chain, or of EveryChain.
// ErrNotFound if it is not on it.
func (tx *Tx) UnblockAddress(ctx context.Context, chain payment.Chain, address string) error {
	n, err := tx.DeleteBlockedAddress(ctx, db.DeleteBlockedAddressParams{Chain: string(chain), Address: address})
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("unblock address %s on %s: %w", address, chain, err)
	}
	return nil
}

// BlockedAddresses reads the whole list, oldest first.
func (s *Store) BlockedAddresses(ctx context.Context) ([]BlockedAddress, error) {
	rows, err := s.queries.ListBlockedAddresses(ctx)
	if err != nil {
		return nil, fmt.Errorf("blocked addresses: %w", err)
	}
	list := make([]BlockedAddress, len(rows))
	for n, r := range rows {
		list[n] = BlockedAddress{payment.Chain(r.Chain), r.Address, r.Reason, r.CreatedAt}
	}
	return list, nil
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

package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// Scope is a permission of an API key.
type Scope string

// Scopes.
const (
	IntentsWrite  Scope = "payment_intents:write" // create and cancel
	IntentsRead   Scope = "payment_intents:read"  // get, list, events, quotes
	BalancesRead  Scope = "balances:read"
	WebhooksWrite Scope = "webhooks:write"
	WebhooksRead  Scope = "webhooks:read"
)

// AllScopes is everything a key can be allowed.
func AllScopes() []Scope {
	return []Scope{IntentsWrite, IntentsRead, BalancesRead, WebhooksWrite, WebhooksRead}
}

// A key is sk_test_ or sk_live_, 8 characters that identify it, 32 that are
// secret (190 bits), and 6 that check the rest (CRC-32), so that typos are
// found, and scanners sure, without a database. All are base62.
const (
	idLength       = 8
	secretLength   = 32
	checksumLength = 6
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// KeyRequest describes an API key to issue.
type KeyRequest struct {
	MerchantID string
	Mode       payment.Mode
	Scopes     []Scope // default: AllScopes
	Name       string
	ExpiresAt  *time.Time // nil: never
	Actor      string     // who issues it, for the audit log
}

// MaxOverlap is how long a key may go on beside the one that replaces it, and
// DefaultOverlap how long it does as a rule.
const (
	MaxOverlap     = 7 * 24 * time.Hour
	DefaultOverlap = 24 * time.Hour
)

// IssueKey stores a new API key and returns it in full. It cannot be read
// again: the database holds HMAC-SHA-256(pepper, secret) under the first of
// the peppers. Errors: store.ErrRefused if the merchant does not exist.
func IssueKey(ctx context.Context, st *store.Store, peppers config.Keyring, r KeyRequest) (string, error) {
	var key string
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		key, err = issue(ctx, tx, peppers, r, "api_key.issued", nil)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("issue api key: %w", err)
	}
	return key, nil
}

// RollKey issues a key that may do what the key with this id may, and has the
// old one end after overlap, 0 to MaxOverlap, by the database's clock. The new
// key's text is returned once; it expires at expires, or never. Errors:
// store.ErrNotFound, and store.ErrRefused if the old key has ended.
func RollKey(ctx context.Context, st *store.Store, peppers config.Keyring, id string, overlap time.Duration, expires *time.Time, actor string) (string, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return "", fmt.Errorf("roll api key %s: an overlap of %s: use 0 to %s", id, overlap, MaxOverlap)
	}
	var key string
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		old, err := tx.ExpireAPIKey(ctx, id, overlap)
		if err != nil {
			return err
		}
		r := KeyRequest{MerchantID: old.MerchantID, Mode: old.Mode, Name: old.Name, ExpiresAt: expires, Actor: actor}
		for _, s := range old.Scopes {
			r.Scopes = append(r.Scopes, Scope(s))
		}
		key, err = issue(ctx, tx, peppers, r, "api_key.rolled", map[string]any{"old_key": id, "old_expires_at": old.ExpiresAt})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("roll api key: %w", err)
	}
	return key, nil
}

// RevokeKey ends a key. Every process refuses it within a second; a key that
// is revoked already stays as it is. Errors: store.ErrNotFound.
func RevokeKey(ctx context.Context, st *store.Store, id, reason, actor string) error {
	return st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.RevokeAPIKey(ctx, id); err != nil {
			return err
		}
		return tx.Audit(ctx, store.AuditEntry{Actor: actor, Action: "api_key.revoked", ObjectID: id, Reason: reason})
	})
}

// issue stores a key and says so in the audit log, with more beside what the
// key may do.
func issue(ctx context.Context, tx *store.Tx, peppers config.Keyring, r KeyRequest, action string, more map[string]any) (string, error) {
	if len(peppers) == 0 {
		return "", errors.New("no pepper is configured, set SETTLE_API_KEY_PEPPERS")
	}
	if r.Mode != payment.Test && r.Mode != payment.Live {
		return "", fmt.Errorf("mode %q: use test or live", r.Mode)
	}
	scopes, err := scopeNames(r.Scopes)
	if err != nil {
		return "", err
	}
	pepper, key := peppers.Current(), newKey(r.Mode)
	_, err = tx.CreateAPIKey(ctx, store.APIKey{
		ID: key.id, MerchantID: r.MerchantID, Mode: r.Mode, PepperID: pepper.ID, Hash: key.hash(pepper.Key),
		Scopes: scopes, Name: r.Name, ExpiresAt: r.ExpiresAt,
	})
	if err != nil {
		return "", err
	}
	detail := map[string]any{"merchant_id": r.MerchantID, "mode": r.Mode, "scopes": scopes, "name": r.Name, "expires_at": r.ExpiresAt}
	maps.Copy(detail, more)
	return key.String(), tx.Audit(ctx, store.AuditEntry{Actor: r.Actor, Action: action, ObjectID: key.id, Detail: detail})
}

// scopeNames are the scopes as they are stored; none stands for all.
func scopeNames(scopes []Scope) ([]string, error) {
	if len(scopes) == 0 {
		scopes = AllScopes()
	}
	var names []string
	for _, s := range scopes {
		if !slices.Contains(AllScopes(), s) {
			return nil, fmt.Errorf("scope %q is unknown: use %v", s, AllScopes())
		}
		names = append(names, string(s))
	}
	return names, nil
}

// KeyID returns the id of a key that is given in full, and other text as it is:
// operators may name a key either way.
func KeyID(text string) string {
	if key, ok := parseKey(text); ok {
		return key.id
	}
	return text
}

// apiKey is a key in its parts.
type apiKey struct {
	mode       payment.Mode
	id, secret string
}

func newKey(mode payment.Mode) apiKey {
	return apiKey{mode: mode, id: randomText(idLength), secret: randomText(secretLength)}
}

// parseKey takes a key apart. ok is false if it cannot be one: wrong form, or
// a checksum that does not fit.
func parseKey(text string) (k apiKey, ok bool) {
	for _, mode := range []payment.Mode{payment.Test, payment.Live} {
		rest, found := strings.CutPrefix(text, "sk_"+string(mode)+"_")
		if !found || len(rest) != idLength+secretLength+checksumLength || strings.Trim(rest, base62) != "" {
			continue
		}
		k = apiKey{mode: mode, id: rest[:idLength], secret: rest[idLength : idLength+secretLength]}
		return k, k.String() == text
	}
	return apiKey{}, false
}

// String is the whole key; it is a secret.
func (k apiKey) String() string {
	body := "sk_" + string(k.mode) + "_" + k.id + k.secret
	sum := crc32.ChecksumIEEE([]byte(body))
	check := make([]byte, checksumLength)
	for i := checksumLength - 1; i >= 0; i-- {
		check[i] = base62[sum%62]
		sum /= 62
	}
	return body + string(check)
}

func (k apiKey) hash(pepper []byte) []byte {
	mac := hmac.New(sha256.New, pepper)
	mac.Write([]byte(k.secret))
	return mac.Sum(nil)
}

// randomText draws n characters of base62, each equally likely. rand.Read
// never fails: the runtime stops the process instead.
func randomText(n int) string {
	out := make([]byte, 0, n)
	buf := make([]byte, n)
	for len(out) < n {
		_, _ = rand.Read(buf)
		for _, b := range buf {
			if b < 248 && len(out) < n { // 248 = 4*62: the rest would favour some characters
				out = append(out, base62[b%62])
			}
		}
	}
	return string(out)
}

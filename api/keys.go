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
	"github.com/settlehq/settle/telemetry"
)

// Scope is a permission of an API key.
type Scope string

// Scopes of merchants' keys, and of operators'.
const (
	IntentsWrite  Scope = "payment_intents:write" // create and cancel
	IntentsRead   Scope = "payment_intents:read"  // get, list, events, quotes
	BalancesRead  Scope = "balances:read"
	WebhooksWrite Scope = "webhooks:write"
	WebhooksRead  Scope = "webhooks:read"

	AdminWrite Scope = "admin:write"
	AdminRead  Scope = "admin:read"
)

// AllScopes is everything that a key of the mode can be allowed.
func AllScopes(mode payment.Mode) []Scope {
	if mode == store.Admin {
		return []Scope{AdminWrite, AdminRead}
	}
	return []Scope{IntentsWrite, IntentsRead, BalancesRead, WebhooksWrite, WebhooksRead}
}

// A key is sk_test_, sk_live_ or sk_admin_, 8 characters that identify it, 32
// that are secret (190 bits), and 6 that check the rest (CRC-32), so that typos
// are found, and scanners sure, without a database. All are base62.
const (
	idLength       = 8
	secretLength   = 32
	checksumLength = 6
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Key is an API key as operators see it: never its secret.
type Key struct {
	ID         string       `json:"id" example:"7Kq2mZ9x" doc:"The 8 characters that follow the prefix"`
	Object     string       `json:"object" enum:"api_key"`
	MerchantID string       `json:"merchant_id,omitempty" required:"true" example:"mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"` // "": an operator's
	Mode       payment.Mode `json:"mode" enum:"test,live"`                                                                // or store.Admin
	Name       string       `json:"name"`
	State      string       `json:"state" enum:"valid,expired,revoked"`
	Scopes     []string     `json:"scopes"`
	CreatedAt  time.Time    `json:"created_at"`
	ExpiresAt  *time.Time   `json:"expires_at" doc:"null: never"`
	RevokedAt  *time.Time   `json:"revoked_at" doc:"null: not revoked"`
	LastUsedAt *time.Time   `json:"last_used_at" doc:"To the minute; null: never"`
}

// IssuedKey is a key that was just made, with its text, which is a secret and
// cannot be read again.
type IssuedKey struct {
	Key
	Text string `json:"key" doc:"The whole key; shown only now" example:"sk_live_..."`
}

func showKey(k store.APIKey) Key {
	state := "valid"
	switch {
	case k.RevokedAt != nil:
		state = "revoked"
	case !k.ValidAt(time.Now()):
		state = "expired"
	}
	return Key{k.ID, "api_key", k.MerchantID, k.Mode, k.Name, state, k.Scopes, k.CreatedAt.UTC(), payment.UTC(k.ExpiresAt), payment.UTC(k.RevokedAt), payment.UTC(k.LastUsedAt)}
}

// ListKeys returns at most limit keys (0: all) of a merchant, or of everybody if
// merchantID is empty, newest first, behind the cursor; more reports whether
// others follow.
func ListKeys(ctx context.Context, st *store.Store, merchantID string, after *store.Cursor, limit int) (keys []Key, more bool, err error) {
	stored, more, err := st.APIKeys(ctx, merchantID, after, limit)
	keys = make([]Key, len(stored))
	for n, k := range stored {
		keys[n] = showKey(k)
	}
	return keys, more, err
}

// KeyRequest describes an API key to issue: a merchant's, or with the mode
// store.Admin and without a merchant, an operator's.
type KeyRequest struct {
	MerchantID string
	Mode       payment.Mode
	Scopes     []Scope    // default: AllScopes
	Name       string     // of an operator's: who it is
	ExpiresAt  *time.Time // nil: never
	Actor      string     // who issues it, for the audit log
}

// MaxOverlap is how long a key may go on beside the one that replaces it, and
// DefaultOverlap how long it does as a rule.
const (
	MaxOverlap     = 7 * 24 * time.Hour
	DefaultOverlap = 24 * time.Hour
)

// Longest texts that operators give, in characters.
const (
	maxName   = 200
	maxReason = 500
)

// IssueKey stores a new API key and returns it in full. It cannot be read
// again: the database holds HMAC-SHA-256(pepper, secret) under the first of
// the peppers. Errors: a *Problem if the request is not usable, and
// store.ErrNotFound if the merchant does not exist.
func IssueKey(ctx context.Context, st *store.Store, peppers config.Keyring, r KeyRequest) (IssuedKey, error) {
	var key IssuedKey
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		key, err = issue(ctx, tx, peppers, r, "api_key.issued", nil)
		return err
	})
	if err != nil {
		return IssuedKey{}, fmt.Errorf("issue api key: %w", err)
	}
	return key, nil
}

// RollKey issues a key that may do what the key with this id may, and has the
// old one end after overlap, 0 to MaxOverlap, by the database's clock. The new
// key expires at expires, or never. Errors: a *Problem if the times are not
// usable, store.ErrNotFound, and store.ErrKeyEnded if the old key has ended.
func RollKey(ctx context.Context, st *store.Store, peppers config.Keyring, id string, overlap time.Duration, expires *time.Time, actor string) (IssuedKey, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return IssuedKey{}, fmt.Errorf("roll api key %s: an overlap of %s: use 0 to %s", id, overlap, MaxOverlap)
	}
	var key IssuedKey
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
		return IssuedKey{}, fmt.Errorf("roll api key: %w", err)
	}
	return key, nil
}

// RevokeKey ends a key. Every process refuses it within a second; a key that
// is revoked already stays as it is. Errors: a *Problem if the reason is not
// usable, and store.ErrNotFound.
func RevokeKey(ctx context.Context, st *store.Store, id, reason, actor string) (Key, error) {
	if errs := checkLength("#/reason", reason, 1, maxReason); len(errs) > 0 {
		return Key{}, failFields(errs)
	}
	var key store.APIKey
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if key, err = tx.RevokeAPIKey(ctx, id); err != nil {
			return err
		}
		return audit(ctx, tx, store.AuditEntry{Actor: actor, Action: "api_key.revoked", ObjectID: id, Reason: reason})
	})
	return showKey(key), err
}

// audit says in the audit log what an operator did, and by which request.
func audit(ctx context.Context, tx *store.Tx, e store.AuditEntry) error {
	e.RequestID = telemetry.RequestID(ctx)
	return tx.Audit(ctx, e)
}

// issue stores a key and says so in the audit log, with more beside what the
// key may do.
func issue(ctx context.Context, tx *store.Tx, peppers config.Keyring, r KeyRequest, action string, more map[string]any) (IssuedKey, error) {
	if len(peppers) == 0 {
		return IssuedKey{}, errors.New("no pepper is configured, set SETTLE_API_KEY_PEPPERS")
	}
	scopes, errs := r.check()
	if len(errs) > 0 {
		return IssuedKey{}, failFields(errs)
	}
	if r.Mode != store.Admin {
		if _, err := tx.Merchant(ctx, r.MerchantID); err != nil {
			return IssuedKey{}, err
		}
	}
	pepper, key := peppers.Current(), newKey(r.Mode)
	stored, err := tx.CreateAPIKey(ctx, store.APIKey{
		ID: key.id, MerchantID: r.MerchantID, Mode: r.Mode, PepperID: pepper.ID, Hash: key.hash(pepper.Key),
		Scopes: scopes, Name: r.Name, ExpiresAt: r.ExpiresAt,
	})
	if err != nil {
		return IssuedKey{}, err
	}
	detail := map[string]any{"merchant_id": r.MerchantID, "mode": r.Mode, "scopes": scopes, "name": r.Name, "expires_at": r.ExpiresAt}
	maps.Copy(detail, more)
	return IssuedKey{showKey(stored), key.String()}, audit(ctx, tx, store.AuditEntry{Actor: r.Actor, Action: action, ObjectID: key.id, Detail: detail})
}

// check returns the scopes as they are stored, and all that is wrong.
func (r KeyRequest) check() (scopes []string, errs []FieldError) {
	switch r.Mode {
	case payment.Test, payment.Live:
		errs = checkLength("#/name", r.Name, 0, maxName)
	case store.Admin:
		errs = checkLength("#/name", r.Name, 1, maxName) // the audit log names operators by it
	default:
		errs = []FieldError{{"#/mode", FieldInvalid, fmt.Sprintf("%q is unknown: use test or live.", r.Mode)}}
	}
	if (r.Mode == store.Admin) != (r.MerchantID == "") {
		errs = append(errs, FieldError{"#/merchant", FieldInvalid, "Merchants' keys have a merchant, operators' keys have none."})
	}
	if r.ExpiresAt != nil && !r.ExpiresAt.After(time.Now()) {
		errs = append(errs, FieldError{"#/expires_at", FieldInvalid, "Give a time to come, or none."})
	}
	if len(r.Scopes) == 0 {
		r.Scopes = AllScopes(r.Mode)
	}
	for n, s := range r.Scopes {
		if !slices.Contains(AllScopes(r.Mode), s) {
			errs = append(errs, FieldError{fmt.Sprintf("#/scopes/%d", n), FieldInvalid, fmt.Sprintf("%q is unknown: use some of %v.", s, AllScopes(r.Mode))})
		}
		scopes = append(scopes, string(s))
	}
	return scopes, errs
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
	for _, mode := range []payment.Mode{payment.Test, payment.Live, store.Admin} {
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

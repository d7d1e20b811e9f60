package api

import (
	"context"
	"crypto/hmac"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

// Bounds of the key cache. A revoked key works for keyTTL at most.
const (
	keyTTL    = 30 * time.Second
	keyMax    = 10_000
	usedEvery = time.Minute // last_used_at is written this often at most
)

// securityScheme names the API key in the OpenAPI document; an operation's
// requirement of it carries the scope, which is what is enforced.
const securityScheme = "apiKey"

// principal is who asks.
type principal struct {
	store.Merchant
	Key store.APIKey
}

func (p principal) actor() string { return "key:" + p.Key.ID }

type principalKey struct{}

// caller returns the principal that authenticate attached. Handlers of
// operations without a security requirement have none.
func caller(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

// keyring finds the principal of an API key, from a short-lived cache or the
// database.
type keyring struct {
	store   *store.Store
	peppers config.Keyring
	now     func() time.Time
	note    func(ctx context.Context, keyID string) error // see Deps.KeyUsed; may be nil

	mu      sync.Mutex
	entries map[string]*keyEntry
}

type keyEntry struct {
	principal
	until time.Time // of the cache
	noted time.Time // when its use was noted last
}

// authenticate is a huma middleware. Operations name their scope in Security;
// without it they are public.
func (s *Server) authenticate(ctx huma.Context, next func(huma.Context)) {
	security := ctx.Operation().Security
	if len(security) == 0 {
		next(ctx)
		return
	}
	p, err := s.keys.find(ctx.Context(), ctx.Header("Authorization"))
	if err == nil {
		telemetry.Add(ctx.Context(), zap.String("merchant_id", p.ID), zap.String("key_id", p.Key.ID), zap.String("mode", string(p.Key.Mode)))
		for _, scope := range security[0][securityScheme] {
			if !slices.Contains(p.Key.Scopes, scope) {
				err = fail(ScopeMissing, "The key lacks the scope "+scope+".")
			}
		}
	}
	if err != nil {
		s.respond(ctx, problemOf(err))
		return
	}
	next(huma.WithValue(ctx, principalKey{}, p))
}

// find resolves an Authorization header. Errors are problems, or of the
// database.
func (k *keyring) find(ctx context.Context, header string) (principal, error) {
	scheme, text, _ := strings.Cut(header, " ")
	if header == "" || !strings.EqualFold(scheme, "Bearer") || text == "" {
		return principal{}, fail(Unauthenticated, "")
	}
	key, ok := parseKey(strings.TrimSpace(text))
	if !ok {
		return principal{}, fail(APIKeyMalformed, "")
	}
	p, err := k.load(ctx, key.id)
	if errors.Is(err, store.ErrNotFound) {
		return principal{}, fail(APIKeyInvalid, "")
	}
	if err != nil {
		return principal{}, err
	}
	pepper, ok := k.peppers.Find(p.Key.PepperID)
	if !ok {
		telemetry.Logger(ctx).Error("an API key's pepper is not configured", zap.String("key_id", key.id), zap.String("pepper_id", p.Key.PepperID))
	}
	now := k.now()
	valid := ok && hmac.Equal(key.hash(pepper), p.Key.Hash) && p.Key.Mode == key.mode &&
		p.Key.RevokedAt == nil && (p.Key.ExpiresAt == nil || p.Key.ExpiresAt.After(now))
	if !valid {
		return principal{}, fail(APIKeyInvalid, "")
	}
	k.noteUse(ctx, key.id, now)
	return p, nil
}

// noteUse has a key's use noted now and then, off the request's path.
func (k *keyring) noteUse(ctx context.Context, id string, now time.Time) {
	k.mu.Lock()
	e := k.entries[id]
	due := k.note != nil && e != nil && now.Sub(e.noted) >= usedEvery
	if due {
		e.noted = now
	}
	k.mu.Unlock()
	if !due {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
		defer cancel()
		if err := k.note(ctx, id); err != nil {
			telemetry.Logger(ctx).Warn("use of an API key not noted", zap.String("key_id", id), zap.Error(err))
		}
	}()
}

// load reads what is stored of a key. Only what exists is cached, so that
// guesses cannot fill the cache.
func (k *keyring) load(ctx context.Context, id string) (principal, error) {
	now := k.now()
	k.mu.Lock()
	e := k.entries[id]
	k.mu.Unlock()
	if e != nil && now.Before(e.until) {
		return e.principal, nil
	}
	row, err := k.store.APIKey(ctx, id)
	if err != nil {
		return principal{}, err
	}
	merchant, err := k.store.Merchant(ctx, row.MerchantID)
	if err != nil {
		return principal{}, err
	}
	p := principal{Merchant: merchant, Key: row}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.entries) >= keyMax {
		clear(k.entries)
	}
	fresh := &keyEntry{principal: p, until: now.Add(keyTTL)}
	if e != nil {
		fresh.noted = e.noted
	}
	k.entries[id] = fresh
	return p, nil
}

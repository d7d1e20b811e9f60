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
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

// Bounds of the key cache: a change to a key or its merchant takes blindTTL at
// most to reach every process, as a rule a few milliseconds.
const (
	keyTTL     = 30 * time.Second // while the database tells of changes
	blindTTL   = time.Second      // otherwise
	keyMax     = 10_000
	relistenIn = time.Second
	usedEvery  = time.Minute // last_used_at is written this often at most
)

// securityScheme names the API key in the OpenAPI document; an operation's
// requirement of it carries the scope, which is what is enforced.
const securityScheme = "apiKey"

// principal is who asks: a merchant, or an operator, who is none.
type principal struct {
	store.Merchant
	Key store.APIKey
}

// actor names the principal in the audit log.
func (p principal) actor() string {
	if p.Key.Mode == store.Admin {
		return "operator:" + p.Key.Name + "/" + p.Key.ID
	}
	return "key:" + p.Key.ID
}

type principalKey struct{}

// caller returns the principal that authenticate attached. Handlers of
// operations without a security requirement have none.
func caller(ctx context.Context) principal {
	p, _ := ctx.Value(principalKey{}).(principal)
	return p
}

// keyring finds the principal of an API key, from a short-lived cache or the
// database. What was read counts for blindTTL, and for keyTTL as long as the
// database said within the last blindTTL that it has told of every change.
type keyring struct {
	store   *store.Store
	peppers config.Keyring
	modes   []payment.Mode // of the keys that it knows
	now     func() time.Time
	note    func(ctx context.Context, keyID string) error // see Deps.KeyUsed; may be nil
	log     *zap.Logger

	mu      sync.Mutex
	entries map[string]*keyEntry
	heard   time.Time // when the database was asked last and had told everything
	changes int       // that were heard of
}

type keyEntry struct {
	principal
	read  time.Time
	noted time.Time // when its use was noted last
}

// Changed implements store.Listener: whatever changed, all is read again.
func (k *keyring) Changed(string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.entries)
	k.changes++
}

// Heard implements store.Listener.
func (k *keyring) Heard(asked time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.heard = k.now().Add(-time.Since(asked))
}

// listen hears of changes until ctx ends.
func (k *keyring) listen(ctx context.Context) {
	for {
		err := k.store.Listen(ctx, store.Principals, k)
		if ctx.Err() != nil {
			return
		}
		k.log.Warn("API keys are read every second: the database does not tell of changes", zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(relistenIn):
		}
	}
}

// authenticate is a huma middleware. Operations name their scope in Security;
// without it they are public.
func (s *surface) authenticate(ctx huma.Context, next func(huma.Context)) {
	security := ctx.Operation().Security
	if len(security) == 0 {
		next(ctx)
		return
	}
	p, err := s.keys.find(ctx.Context(), ctx.Header("Authorization"))
	if err == nil {
		telemetry.Add(ctx.Context(), zap.String("key_id", p.Key.ID), zap.String("mode", string(p.Key.Mode)))
		if p.ID != "" { // an operator's request says in its path which merchant it is about
			telemetry.Add(ctx.Context(), zap.String("merchant_id", p.ID))
		}
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
	if !slices.Contains(k.modes, key.mode) {
		return principal{}, fail(APIKeyInvalid, "Merchants' keys and operators' keys each work on their own API only.")
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
		p.Key.ValidAt(now)
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
// guesses cannot fill the cache, and only if nothing changed while it was read.
func (k *keyring) load(ctx context.Context, id string) (principal, error) {
	now := k.now()
	k.mu.Lock()
	e, changes := k.entries[id], k.changes
	if e != nil && k.counts(e, now) {
		k.mu.Unlock()
		return e.principal, nil
	}
	k.mu.Unlock()
	key, merchant, err := k.store.Principal(ctx, id)
	if err != nil {
		return principal{}, err
	}
	fresh := &keyEntry{principal: principal{Merchant: merchant, Key: key}, read: now}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e != nil {
		fresh.noted = e.noted
	}
	if len(k.entries) >= keyMax {
		clear(k.entries)
	}
	if k.changes == changes {
		k.entries[id] = fresh
	}
	return fresh.principal, nil
}

// counts reports whether what was read is still to be believed.
func (k *keyring) counts(e *keyEntry, now time.Time) bool {
	if now.Before(e.read.Add(blindTTL)) {
		return true
	}
	return now.Before(e.read.Add(keyTTL)) && now.Before(k.heard.Add(blindTTL))
}

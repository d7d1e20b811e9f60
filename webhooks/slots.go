package webhooks

import (
	"context"
	"sync"
	"time"
)

// slots bounds what is under way at once per endpoint, so that an endpoint
// that hangs holds a few goroutines and not all of them. Entries live only as
// long as somebody holds or waits for them.
type slots struct {
	size int
	mu   sync.Mutex
	keys map[string]*slot
}

type slot struct {
	tokens chan struct{}
	users  int
	full   time.Time // since when no token is left; zero: there is one
}

func newSlots(size int) *slots { return &slots{size: size, keys: make(map[string]*slot)} }

// acquire waits at most patience for one of the key's slots. The caller
// releases it if and only if ok.
func (s *slots) acquire(ctx context.Context, key string, patience time.Duration) (release func(), ok bool) {
	s.mu.Lock()
	k := s.keys[key]
	if k == nil {
		k = &slot{tokens: make(chan struct{}, s.size)}
		s.keys[key] = k
	}
	k.users++
	s.mu.Unlock()
	leave := func() {
		if k.users--; k.users == 0 {
			delete(s.keys, key)
		}
	}
	release = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		<-k.tokens
		k.full = time.Time{}
		leave()
	}

	ok = k.take(ctx, patience)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok {
		leave()
		return nil, false
	}
	if len(k.tokens) == s.size {
		k.full = time.Now()
	}
	return release, true
}

// take waits at most patience for a token. A free one is had whatever patience
// and ctx say.
func (k *slot) take(ctx context.Context, patience time.Duration) bool {
	select {
	case k.tokens <- struct{}{}:
		return true
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case k.tokens <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// stuck reports whether all of the key's slots are taken, and none has come free
// for that long.
func (s *slots) stuck(key string, patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keys[key]
	return k != nil && !k.full.IsZero() && time.Since(k.full) >= patience
}

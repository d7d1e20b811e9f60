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
		s.mu.Lock()
		defer s.mu.Unlock()
		if k.users--; k.users == 0 {
			delete(s.keys, key)
		}
	}

	select {
	case k.tokens <- struct{}{}:
		return func() { <-k.tokens; leave() }, true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case k.tokens <- struct{}{}:
		return func() { <-k.tokens; leave() }, true
	case <-ctx.Done():
	case <-timer.C:
	}
	leave()
	return nil, false
}

package store

import (
	"sync"
	"time"
)

// cache remembers up to size values, each for ttl, or for ever if ttl is 0. When
// it is full it starts over: what it held is read again. It is safe for
// concurrent use.
type cache struct {
	size int
	ttl  time.Duration

	mu      sync.RWMutex
	entries map[any]cached
}

type cached struct {
	value any
	since time.Time
}

func newCache(size int, ttl time.Duration) *cache {
	return &cache{size: size, ttl: ttl, entries: make(map[any]cached)}
}

func (c *cache) get(key any) (value any, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[key]
	if !ok || (c.ttl > 0 && time.Since(e.since) >= c.ttl) {
		return nil, false
	}
	return e.value, true
}

func (c *cache) put(key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.entries[key]; !known && len(c.entries) >= c.size {
		clear(c.entries)
	}
	c.entries[key] = cached{value, time.Now()}
}

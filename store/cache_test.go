package store

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newCache(3, 0)
	for n := range 10 {
		c.put(n, n)
		if v, ok := c.get(n); !ok || v != n {
			t.Errorf("%d is forgotten at once: %v, %v", n, v, ok)
		}
		if len(c.entries) > 3 {
			t.Errorf("%d entries, at most 3 are allowed", len(c.entries))
		}
	}
}

func TestCacheForgetsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, forever := newCache(3, 5*time.Second), newCache(3, 0)
		c.put("k", 1)
		forever.put("k", 1)
		time.Sleep(4 * time.Second)
		if _, ok := c.get("k"); !ok {
			t.Error("forgotten after 4 s of 5")
		}
		time.Sleep(time.Second)
		if v, ok := c.get("k"); ok {
			t.Errorf("%v is remembered after 5 s", v)
		}
		if _, ok := forever.get("k"); !ok {
			t.Error("a fact was forgotten")
		}
	})
}

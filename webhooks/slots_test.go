package webhooks

import (
	"context"
	"testing"
	"time"
)

func TestSlots(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	first, ok := s.acquire(t.Context(), "a", 0)
	second, ok2 := s.acquire(t.Context(), "a", 0)
	if !ok || !ok2 {
		t.Fatal("free slots are refused")
	}
	if _, ok := s.acquire(t.Context(), "a", 0); ok {
		t.Fatal("a third one is given")
	}
	if _, ok := s.acquire(t.Context(), "a", -time.Second); ok {
		t.Fatal("a third one is given to one who is late")
	}
	other, ok := s.acquire(t.Context(), "b", 0)
	if !ok {
		t.Fatal("another endpoint is held up")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := s.acquire(ended, "a", time.Hour); ok {
		t.Fatal("given to one who has left")
	}
	if s.stuck("a", time.Hour) || !s.stuck("a", 0) || s.stuck("b", 0) || s.stuck("nobody's", 0) {
		t.Fatal("a key is stuck when its slots are all taken for long enough")
	}
	waiting := make(chan func())
	go func() {
		release, _ := s.acquire(t.Context(), "a", time.Hour)
		waiting <- release
	}()
	first()
	third := <-waiting
	if third == nil {
		t.Fatal("one who waits gets nothing")
	}
	second()
	if s.stuck("a", 0) {
		t.Fatal("stuck with a free slot")
	}
	third()
	other()
	if len(s.keys) != 0 {
		t.Fatalf("%d keys are kept for nobody", len(s.keys))
	}
}

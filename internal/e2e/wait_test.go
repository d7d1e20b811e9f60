package e2e_test

import (
	"testing"
	"time"
)

// eventually waits until ready, at most within.
func eventually(t *testing.T, ready func() bool, format string, args ...any) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline.C:
			t.Fatalf(format, args...)
		case <-tick.C:
		}
	}
}

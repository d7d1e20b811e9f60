package webhooks_test

import (
	"testing"
	"time"

	"github.com/settlehq/settle/webhooks"
)

func TestNextDelay(t *testing.T) {
	t.Parallel()
	const s, m, h = time.Second, time.Minute, time.Hour
	for _, c := range []struct {
		name       string
		attempt    int
		retryAfter time.Duration
		jitter     float64
		want       time.Duration
		ok         bool
	}{
		{"after 1", 1, 0, 0, 5 * s, true},
		{"after 2", 2, 0, 0, 5 * m, true},
		{"after 3", 3, 0, 0, 30 * m, true},
		{"after 4", 4, 0, 0, 2 * h, true},
		{"after 5", 5, 0, 0, 5 * h, true},
		{"after 6", 6, 0, 0, 10 * h, true},
		{"after 7", 7, 0, 0, 14 * h, true},
		{"after 8", 8, 0, 0, 20 * h, true},
		{"after 9", 9, 0, 0, 24 * h, true},
		{"after the last", 10, 0, 0, 0, false},
		{"after the last, asked for more", 10, h, 0, 0, false},
		{"far beyond", 1000, 0, 0, 0, false},
		{"jitter up", 2, 0, 1, 6 * m, true},
		{"jitter down", 2, 0, -1, 4 * m, true},
		{"jitter is bounded", 2, 0, 7, 6 * m, true},
		{"jitter is bounded below", 2, 0, -7, 4 * m, true},
		{"asked for less than the schedule", 2, s, 0, 5 * m, true},
		{"asked for within", 2, 7 * m, 0, 7 * m, true},
		{"asked for too much", 2, 24 * h, 0, 10 * m, true},
		{"asking beats jitter down", 2, s, -1, 5 * m, true},
		{"asking keeps jitter up", 2, s, 1, 6 * m, true},
		{"overloaded at the first", 1, 60 * s, -1, 60 * s, true},
		{"asked for much at the first", 1, 90 * s, 0, 60 * s, true},
		{"negative is nothing", 2, -h, 0, 5 * m, true},
		{"no attempt yet", 0, 0, 0, 5 * s, true},
	} {
		if d, ok := webhooks.NextDelay(c.attempt, c.retryAfter, c.jitter); d != c.want || ok != c.ok {
			t.Errorf("%s: %v, %t; want %v, %t", c.name, d, ok, c.want, c.ok)
		}
	}
}

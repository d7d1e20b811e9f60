package webhooks

import "time"

const (
	// MaxAttempts counts the immediate first attempt and all retries.
	MaxAttempts = 10
	// overloadFloor is the least wait after an answer of 429 or 503.
	overloadFloor = 60 * time.Second
	// jitterShare is how far a wait may move either way.
	jitterShare = 0.2
)

// schedule is what Standard Webhooks proposes, about three days in all:
// element i is the wait after attempt i+1 failed.
var schedule = [MaxAttempts - 1]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// NextDelay says how long to wait after failed attempt number attempt (from 1)
// before the next one; ok is false when that was the last. jitter in [-1, 1]
// moves the scheduled wait by up to 20 %. retryAfter is what the endpoint asked
// for, 0 if nothing: it is clamped to between one and two scheduled waits (or
// 60 s, where that is more, so that an overloaded endpoint gets its minute from
// the first retry on), and the result is never less than that.
func NextDelay(attempt int, retryAfter time.Duration, jitter float64) (d time.Duration, ok bool) {
	if attempt >= MaxAttempts {
		return 0, false
	}
	base := schedule[max(attempt, 1)-1]
	d = base + time.Duration(float64(base)*jitterShare*min(max(jitter, -1), 1))
	if retryAfter > 0 {
		d = max(d, min(max(retryAfter, base), max(2*base, overloadFloor)))
	}
	return d, true
}

package rpcpool

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// at is the health of a node that names the right network and was at a
// height a moment ago.
func at(is uint64) health { return health{}.identified(true, noon).saw(is, noon) }

func times(n int, h health, event func(health) health) health {
	for range n {
		h = event(h)
	}
	return h
}

func fail(h health) health { return h.failed(noon, time.Second) }

func TestState(t *testing.T) {
	t.Parallel()
	limits := tolerance{lagging: 3, outOfSync: 64}
	two, three := height{is: 1000}, height{is: 1000, shared: true}
	for _, c := range []struct {
		name      string
		health    health
		reference height
		after     time.Duration
		want      State
	}{
		{"never asked", health{}, three, 0, Unknown},
		{"named its network, not its height", health{}.identified(true, noon), three, 0, Unknown},
		{"at the head", at(1000), three, 0, Healthy},
		{"two behind", at(998), three, 0, Healthy},
		{"three behind", at(997), three, 0, Lagging},
		{"63 behind", at(937), three, 0, Lagging},
		{"64 behind", at(936), three, 0, OutOfSync},
		{"64 behind one other", at(936), two, 0, Lagging},
		{"64 ahead of two", at(1064), three, 0, OutOfSync},
		{"64 ahead of one", at(1064), two, 0, Healthy},
		{"nobody to compare with", at(5), height{}, 0, Healthy},
		{"heard of long ago", at(1000), three, 2 * time.Minute, Unknown},
		{"another network", at(1000).identified(false, noon), three, 0, WrongChain},
		{"another network, and silent", times(9, at(1000).identified(false, noon), fail), three, 0, WrongChain},
		{"the right network again", at(1000).identified(false, noon).identified(true, noon), three, 0, Healthy},
		{"two failures", times(2, at(1000), fail), three, 0, Healthy},
		{"three failures", times(3, at(1000), fail), three, 0, Unreachable},
		{"three failures, then an answer", times(3, at(1000), fail).answered(time.Millisecond), three, 0, Healthy},
	} {
		if got := c.health.state(c.reference, limits, noon.Add(c.after)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestBreakerProbesAreFurtherAndFurtherApart(t *testing.T) {
	t.Parallel()
	for failures, want := range map[int]time.Duration{2: 0, 3: time.Second, 4: 2 * time.Second, 5: 4 * time.Second, 7: 16 * time.Second, 8: 30 * time.Second, 100: 30 * time.Second} {
		h := times(failures, at(1), fail)
		if want == 0 {
			if !h.openUntil.IsZero() {
				t.Errorf("open after %d failures", failures)
			}
			continue
		}
		if got := h.openUntil.Sub(noon); got != want {
			t.Errorf("open for %s after %d failures, want %s", got, failures, want)
		}
		if !h.open(noon.Add(want-1)) || h.open(noon.Add(want)) {
			t.Errorf("%d failures: no probe after %s", failures, want)
		}
	}
}

func TestAgreedHeight(t *testing.T) {
	t.Parallel()
	stale := health{}.identified(true, noon).saw(9000, noon.Add(-time.Hour))
	for _, c := range []struct {
		name string
		all  []health
		want height
	}{
		{"nobody", nil, height{}},
		{"one", []health{at(7)}, height{is: 7}},
		{"two", []health{at(7), at(9)}, height{is: 9}},
		{"one of three is far ahead", []health{at(1_000_000), at(9), at(8)}, height{is: 9, shared: true}},
		{"one of three is far behind", []health{at(1), at(9), at(10)}, height{is: 9, shared: true}},
		{"old news do not count", []health{at(7), stale}, height{is: 7}},
		{"nor do other networks", []health{at(7), at(9).identified(false, noon)}, height{is: 7}},
		{"nor the silent", []health{at(7), times(3, at(9), fail)}, height{is: 7}},
	} {
		if got := agreed(c.all, noon); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestOrderOfReads(t *testing.T) {
	t.Parallel()
	reference := height{is: 1000, shared: true}
	fast := func(ms int) health { return at(1000).answered(time.Duration(ms) * time.Millisecond) }
	for _, c := range []struct {
		name         string
		better, than health
	}{
		{"faster", fast(10), fast(60)},
		{"without errors", fast(10), fast(10).failed(noon, time.Second)},
		{"at the head", fast(10), fast(10).saw(998, noon)},
		{"slow rather than failing all the time", fast(100), times(2, fast(10), fail).answered(10*time.Millisecond).failed(noon, time.Second)},
	} {
		if a, b := c.better.score(reference), c.than.score(reference); a >= b {
			t.Errorf("%s: %g and %g", c.name, a, b)
		}
	}
	if fast(3).score(reference) != fast(20).score(reference) {
		t.Error("a few milliseconds change the order")
	}

	last := -1
	for _, c := range []struct {
		state  State
		health health
	}{{Healthy, at(1)}, {Unknown, at(1)}, {Lagging, at(1)}, {Healthy, at(1).outvoted(noon, time.Second)}, {Unreachable, at(1)}, {WrongChain, at(1)}} {
		rank, ok := c.health.rank(c.state, noon)
		if !ok || rank <= last {
			t.Errorf("%s has rank %d behind %d", c.state, rank, last)
		}
		last = rank
	}
	if _, ok := at(1).rank(OutOfSync, noon); ok {
		t.Error("a node that is out of sync is read from")
	}
	if _, ok := times(3, at(1), fail).rank(Unreachable, noon); ok {
		t.Error("an open breaker lets reads through")
	}
}

func TestAverages(t *testing.T) {
	t.Parallel()
	h := at(1).answered(100 * time.Millisecond)
	if h.latency != 100*time.Millisecond {
		t.Errorf("first latency %s", h.latency)
	}
	if h = h.answered(200 * time.Millisecond); h.latency != 120*time.Millisecond {
		t.Errorf("second latency %s, want a fifth of the way", h.latency)
	}
	if h = times(50, h, fail); h.errorRate < 0.99 {
		t.Errorf("error rate %g after 50 failures", h.errorRate)
	}
	if h = times(50, h, func(h health) health { return h.answered(time.Millisecond) }); h.errorRate > 0.01 {
		t.Errorf("error rate %g after 50 answers", h.errorRate)
	}
}

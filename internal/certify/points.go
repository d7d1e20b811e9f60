package main

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/settlehq/settle/activities"
)

// unreachable lists the points that no payment passes: batches have a test of
// their own in internal/e2e.
var unreachable = []string{activities.Before("FillBatch"), activities.After("FillBatch")}

// pointTimeout is for the slowest point: the third look for stranded payments, one
// each 20 s, after one whose worker died, which counts as running for a minute.
const pointTimeout = 150 * time.Second

// refusedWebhooks makes retries; enough that one is left when a worker has
// come to retry.
const refusedWebhooks = 4

// points makes the worker die at every named point, on both chains at a time.
// The start of the next victim is the recovery of the last.
func (c *campaign) points() {
	if c.plan.Rounds == 0 {
		return
	}
	for _, s := range c.lone {
		defer s.open(c.plan.Every)()
	}
	for range c.plan.Rounds {
		points := slices.DeleteFunc(activities.CrashPoints(), func(p string) bool { return slices.Contains(unreachable, p) })
		c.rng.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
		if c.plan.Points > 0 {
			points = points[:c.plan.Points]
		}
		for _, point := range points {
			c.die(point, 1+c.rng.IntN(3))
		}
	}
	for _, chain := range chainNames {
		c.lone[chain].d.Workers[0].Start()
	}
	c.restored()
}

// die lets one worker per chain live until it passes the point for the nth time.
func (c *campaign) die(point string, n int) {
	for _, chain := range chainNames {
		s := c.lone[chain]
		s.d.Workers[0].Kill() // alive before the first point of all
		s.d.Workers[0].Start("SETTLE_CRASH_AT=" + point + ":" + strconv.Itoa(n))
		if strings.HasPrefix(point, "RetryWebhook.") {
			s.d.Receiver.FailNext(http.StatusInternalServerError, refusedWebhooks)
		}
	}
	c.restored()
	began := time.Now()
	for _, chain := range chainNames {
		w := c.lone[chain].d.Workers[0]
		select {
		case <-c.t.Context().Done():
			c.t.Fatal("interrupted")
		case <-w.Done():
			c.outages = append(c.outages, outage{target: "worker at a named point", killed: time.Now()})
		case <-time.After(pointTimeout):
			c.unreached = append(c.unreached, point+" on "+string(chain))
			w.Kill()
		}
	}
	c.say("died at %s, time %d, after %.1f s", point, n, time.Since(began).Seconds())
}

// restored notes that whatever was killed runs again.
func (c *campaign) restored() {
	for i := range c.outages {
		if c.outages[i].restored.IsZero() {
			c.outages[i].restored = time.Now()
		}
	}
}

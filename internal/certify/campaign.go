package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/faultproxy"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// plan says how much is done to the product.
type plan struct {
	Payments int
	Kills    int // at random moments
	Rounds   int // at each named point, on each chain
	Points   int // of all named points, as many in a round; 0: all
	Seed     uint64
	Parts    bool          // also kill the sandbox's parts
	Fault    time.Duration // that each fault of the network lasts
	Upsets   int           // of the chains
	Depth    int           // of reorganisations, at most; not below finality
	Every    time.Duration // between two payments of one merchant
}

func fullPlan() plan {
	return plan{Payments: 500, Kills: 100, Rounds: 2, Parts: true, Fault: 5 * time.Second, Upsets: 16, Depth: 3, Every: 500 * time.Millisecond}
}

func shortPlan() plan {
	return plan{Payments: 60, Kills: 6, Rounds: 1, Points: 4, Parts: true, Fault: 500 * time.Millisecond, Upsets: 7, Depth: 2, Every: 400 * time.Millisecond}
}

// patience is how long accepted payments may take after the last fault. A step
// whose worker died is repeated after a minute at most.
const patience = 6 * time.Minute

// campaign is one run.
type campaign struct {
	t       sandbox.T
	plan    plan
	rng     *rand.Rand
	sandbox *sandbox.Sandbox

	load  *site                   // both chains, two workers, behind proxies
	lone  map[payment.Chain]*site // one chain and one worker each
	began time.Time
	// commit is what the processes were built from.
	commit string

	outages   []outage
	unreached []string // points at which no worker died
	upsets    map[string]int
}

// outage is one kill.
type outage struct {
	target           string
	killed, restored time.Time
}

func newCampaign(t sandbox.T, s *sandbox.Sandbox, p plan) *campaign {
	t.Helper()
	c := &campaign{t: t, plan: p, sandbox: s, rng: rand.New(rand.NewPCG(p.Seed, 0)), began: time.Now(), commit: commit(t), lone: map[payment.Chain]*site{}, upsets: map[string]int{}}
	c.say("seed %d: %d payments, %d kills, each point %d times on each chain", p.Seed, p.Payments, p.Kills, p.Rounds)
	c.load = newSite(t, s, "load", deployment.Options{EthereumLanes: 4, SolanaLanes: 2, Workers: 2, Proxies: 2}, "ethereum", "solana")
	if p.Rounds > 0 {
		for _, chain := range chainNames {
			c.lone[chain] = newSite(t, s, string(chain), deployment.Options{EthereumLanes: 4}, chain)
		}
	}
	return c
}

var chainNames = []payment.Chain{"ethereum", "solana"}

func (c *campaign) sites() []*site {
	all := []*site{c.load}
	for _, chain := range slices.Sorted(maps.Keys(c.lone)) {
		all = append(all, c.lone[chain])
	}
	return all
}

func (c *campaign) say(format string, args ...any) {
	c.t.Logf("%6.1fs  %s", time.Since(c.began).Seconds(), fmt.Sprintf(format, args...))
}

// run does everything and counts.
func (c *campaign) run() certificate {
	c.t.Helper()
	stop := c.load.open(c.plan.Every)
	c.points()
	c.kills()
	c.network()
	c.chains()
	await(c.t, patience, "payments to be accepted", func() bool { return c.accepted() >= c.plan.Payments })
	stop()
	c.say("%d payments are accepted; waiting for all to end", c.accepted())
	deadline := time.Now().Add(patience)
	for _, s := range c.sites() {
		s.awaitEnds(deadline)
	}
	c.say("counting")
	return c.count()
}

func (c *campaign) accepted() int {
	n := 0
	for _, s := range c.sites() {
		n += len(s.ids())
	}
	return n
}

// between returns a random duration.
func (c *campaign) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.rng.Int64N(int64(to-from)+1))
}

// pass lets time go by under load.
func (c *campaign) pass(d time.Duration) {
	select {
	case <-c.t.Context().Done():
		c.t.Fatal("interrupted")
	case <-time.After(d):
	}
}

// struck sums up what the proxies did.
func (c *campaign) struck() map[faultproxy.Kind]int {
	sum := map[faultproxy.Kind]int{}
	for _, p := range slices.Concat(c.load.d.EthereumProxies, c.load.d.SolanaProxies) {
		for kind, n := range p.Struck() {
			sum[kind] += n
		}
	}
	return sum
}

// keepLogs moves the logs of a failed run out of the way of the clean-up.
func (c *campaign) keepLogs() {
	dir, err := os.MkdirTemp("", "settle-certify-logs-")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, s := range c.sites() {
		if err := os.CopyFS(dir+"/"+s.name, os.DirFS(s.d.Dir)); err != nil {
			c.t.Logf("logs of %s: %v", s.name, err)
		}
	}
	c.say("logs are in %s", dir)
}

// await waits until ready, at most within.
func await(t sandbox.T, within time.Duration, what string, ready func() bool) {
	t.Helper()
	if !waited(t, within, ready) {
		t.Fatalf("waited %s in vain for %s", within, what)
	}
}

// waited reports whether ready came true in time.
func waited(t sandbox.T, within time.Duration, ready func() bool) bool {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-t.Context().Done():
			t.Fatal("interrupted")
		case <-deadline.C:
			return false
		case <-tick.C:
		}
	}
	return true
}

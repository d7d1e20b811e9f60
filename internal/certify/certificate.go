package main

import (
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/internal/faultproxy"
	"github.com/settlehq/settle/internal/sandbox"
)

// certificate is the result of a run.
type certificate struct {
	tally
	plan   plan
	at     time.Time
	took   time.Duration
	commit string

	kills    map[string]int
	struck   map[faultproxy.Kind]int
	upsets   map[string]int
	service  percentiles // from a restart to the next payment that settles
	affected percentiles // from a restart to the end of a payment that was on its way at the kill
	details  []string    // of what is bad
}

// markdown renders the certificate.
func (c certificate) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	verdict := "Every accepted payment was made exactly once, or provably never."
	if !c.clean() {
		verdict = "**NOT CLEAN.** A line that must be 0 is not, or a payment is unaccounted for."
	}
	line("# Certificate\n")
	line("`make certify` wrote this; run it to get your own. Real processes paid without pause on both chains while they were killed")
	line("with -9, their network failed and the chains went back on what they had said. Counted from the chains' own records.\n")
	line("%s\n", verdict)
	line("| | |\n|---|---|")
	line("| commit | %s |\n| seed | %d |\n| date | %s |\n| took | %s |", c.commit, c.plan.Seed, c.at.UTC().Format("2006-01-02 15:04 UTC"), c.took.Round(time.Second))
	line("| **intents accepted** | **%d** |", c.Accepted)
	line("| **paid exactly once** | **%d** |", c.PaidOnce)
	line("| ended unpaid, with proof | %d |", c.Unpaid)
	for _, bad := range []struct {
		name string
		n    int
	}{
		{"paid twice, or another amount", c.PaidTwice}, {"lost: accepted, neither paid nor proven dead", c.Lost}, {"told two stories", c.Stories},
		{"ledger drift", c.Drift}, {"failures without proof", c.Unproven}, {"webhooks missing", c.Webhooks},
		{"named points at which nothing died", c.Unreached}, {"good orders refused", c.Refused},
	} {
		line("| %s (must be 0) | %d |", bad.name, bad.n)
	}
	total := 0
	for _, n := range c.kills {
		total += n
	}
	line("| kills with -9 | %d |", total)
	line("| restart to the next settled payment | p50 %s, p99 %s |", c.service.p50, c.service.p99)
	line("| restart to the end of a payment that was under way | p50 %s, p99 %s |", c.affected.p50, c.affected.p99)
	table(&b, "killed", c.kills)
	table(&b, "requests to nodes that failed", c.struck)
	table(&b, "what the chains did", c.upsets)
	if !c.clean() {
		line("\nDetails:\n")
		for _, d := range c.details {
			line("* %s", d)
		}
	}
	return b.String()
}

func table[K ~string](b *strings.Builder, head string, rows map[K]int) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n| %s | times |\n|---|---|\n", head)
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		fmt.Fprintf(b, "| %s | %d |\n", k, rows[k])
	}
}

// commit names the code that runs.
func commit(t sandbox.T) string {
	t.Helper()
	out, err := exec.Command("git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func byTarget(outages []outage) map[string]int {
	sum := map[string]int{}
	for _, o := range outages {
		sum[o.target]++
	}
	return sum
}

// moment is when a payment was accepted and when it settled.
type moment struct{ accepted, settled time.Time }

// percentiles are of durations, rounded to be read.
type percentiles struct{ p50, p99 time.Duration }

func percentilesOf(v []time.Duration) percentiles {
	if len(v) == 0 {
		return percentiles{}
	}
	slices.Sort(v)
	at := func(p int) time.Duration { return v[(len(v)*p+99)/100-1].Round(10 * time.Millisecond) } // nearest rank
	return percentiles{at(50), at(99)}
}

// recovery measures from each restart: to the next payment that settles, and to
// the ends of those that had been accepted before the kill and settled after
// it.
func recovery(outages []outage, settled []moment) (service, affected percentiles) {
	slices.SortFunc(settled, func(a, b moment) int { return a.settled.Compare(b.settled) })
	var next, ends []time.Duration
	for _, o := range outages {
		found := false
		for _, m := range settled {
			if m.settled.Before(o.killed) {
				continue
			}
			after := max(0, m.settled.Sub(o.restored))
			if !found && !m.settled.Before(o.restored) {
				next, found = append(next, after), true
			}
			if m.accepted.Before(o.killed) {
				ends = append(ends, after)
			}
		}
	}
	return percentilesOf(next), percentilesOf(ends)
}

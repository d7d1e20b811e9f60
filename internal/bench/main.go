package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
)

func main() {
	only := flag.String("only", "", "measure accept, settle or webhooks; empty: all")
	rounds := flag.Int("rounds", 3, "rounds of each; medians are reported")
	intents := flag.Int("intents", 2000, "accept: intents per round")
	payments := flag.Int("payments", 1500, "settle: payments per round; fewer measure the wait for finality, not saturation")
	empties := flag.Int("empties", 3000, "settle: empty workflows per round")
	hooks := flag.Int("webhooks", 300, "webhooks: of the measured endpoint per round; a p99 needs some hundreds")
	perSecond := flag.Float64("webhooks-rate", 16, "webhooks: payments per second, over four merchants")
	lines := flag.Int("batch", 0, "pay instead a batch of this many lines, with the API and the worker killed twice each, and count on the chains")
	flag.Parse()
	measures := []measure{
		{"accept", func(p *program.Program) { accepting(p, toReview(p), *intents, *rounds) }},
		{"settle", func(p *program.Program) { settling(p, *payments, *empties, *rounds) }},
		{"webhooks", func(p *program.Program) { isolation(p, toReview(p), *hooks, *rounds, *perSecond) }},
	}
	if *lines > 0 {
		if !program.Run("bench", func(p *program.Program) bool { return killedBatch(p, *lines) }) {
			os.Exit(1)
		}
		return
	}
	known := slices.ContainsFunc(measures, func(m measure) bool { return m.name == *only })
	if *only != "" && !known {
		fmt.Fprintf(os.Stderr, "-only %q: use accept, settle or webhooks\n", *only)
		os.Exit(2)
	}
	for _, m := range measures {
		if *only != "" && m.name != *only {
			continue
		}
		fmt.Println("##", m.name)
		if !program.Run("bench", func(p *program.Program) bool { m.run(p); return true }) {
			os.Exit(1)
		}
	}
}

// measure is one part of the benchmark, with a deployment of its own.
type measure struct {
	name string
	run  func(*program.Program)
}

func open(p *program.Program) *sandbox.Sandbox {
	s, err := sandbox.Open(os.Getenv(sandbox.EnvDescriptor), sandbox.WithMigrations(deployment.Migrations))
	if err != nil {
		p.Fatalf("run this with `make bench`: %v", err)
	}
	return s
}

// toReview starts a Settle whose payments stop at a person.
func toReview(p *program.Program) *deployment.Deployment {
	return deployment.Start(p, open(p), deployment.Options{ReviewAbove: 1, SkipSolanaSlots: true})
}

// settling measures, round by round, how many payments per second are settled,
// beside how many empty workflows.
func settling(p *program.Program, payments, empties, rounds int) {
	s := open(p)
	d := deployment.Start(p, s, deployment.Options{EthereumLanes: 8, LaneInFlight: 64, SolanaLanes: 4, SkipSolanaSlots: true})
	var empty, paid []float64
	for n := range rounds {
		e := emptyWorkflows(p, s, empties)
		r := settle(p, d, n, payments)
		fmt.Printf("round %d: %6.1f empty workflows/s, %6.1f payments settled/s, ratio %.3f; created %.0f/s; settled p50 %.1f s p99 %.1f s after creation\n",
			n+1, e, r.settled, r.settled/e, r.created, r.p50.Seconds(), r.p99.Seconds())
		empty, paid = append(empty, e), append(paid, r.settled)
	}
	e, v := median(empty), median(paid)
	fmt.Printf("median:  %6.1f empty workflows/s, %6.1f payments settled/s, ratio %.3f (at least 0.15 is expected)\n", e, v, v/e)
	fmt.Println("books:  ", d.BooksClose(p))
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// rate is the rate over the middle eight tenths of the moments, which leaves
// the ramps out.
func rate(moments []time.Time) float64 {
	slices.SortFunc(moments, time.Time.Compare)
	from, to := len(moments)/10, len(moments)*9/10
	return float64(to-from) / moments[to].Sub(moments[from]).Seconds()
}

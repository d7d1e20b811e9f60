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
	payments := flag.Int("payments", 1500, "payments per round; fewer measure the wait for finality, not saturation")
	empties := flag.Int("empties", 3000, "empty workflows per round")
	rounds := flag.Int("rounds", 3, "rounds; medians are reported")
	hooks := flag.Int("webhooks", 0, "measure instead how long this many webhooks take, without and with 50 dead endpoints")
	perSecond := flag.Float64("webhooks-rate", 4, "payments per second while webhooks are measured, over four merchants")
	lines := flag.Int("batch", 0, "pay instead a batch of this many lines, with the API and the worker killed twice each, and count on the chains")
	flag.Parse()
	measure := func(p *program.Program) bool { return bench(p, *payments, *empties, *rounds) }
	if *hooks > 0 {
		measure = func(p *program.Program) bool { return benchWebhooks(p, *hooks, *perSecond) }
	}
	if *lines > 0 {
		measure = func(p *program.Program) bool { return killedBatch(p, *lines) }
	}
	if !program.Run("bench", measure) {
		os.Exit(1)
	}
}

func open(p *program.Program) *sandbox.Sandbox {
	s, err := sandbox.Open(os.Getenv(sandbox.EnvDescriptor), sandbox.WithMigrations(deployment.Migrations))
	if err != nil {
		p.Fatalf("run this with `make bench`: %v", err)
	}
	return s
}

func benchWebhooks(p *program.Program, n int, perSecond float64) bool {
	return isolation(p, deployment.Start(p, open(p), deployment.Options{ReviewAbove: 1, SkipSolanaSlots: true}), n, perSecond)
}

func bench(p *program.Program, payments, empties, rounds int) bool {
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
	return true
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

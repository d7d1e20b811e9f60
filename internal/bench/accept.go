package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
)

// accepting measures, round by round, how many intents per second the API accepts
// from starters clients, and how many webhooks per second arrive that follow from
// them. Payments stop at a person, so that no chain is involved.
func accepting(p *program.Program, d *deployment.Deployment, n, rounds int) {
	var accepted, delivered []latency
	for round := range rounds {
		a, w := accept(p, d, round, n)
		fmt.Printf("round %d: intents accepted %s; webhooks %s\n", round+1, a, w)
		accepted, delivered = append(accepted, a), append(delivered, w)
	}
	fmt.Printf("intents accepted:   %s, from request to 201 (median of %d rounds)\n", medianOf(accepted), rounds)
	fmt.Printf("webhooks delivered: %s, from event to 200 (median of %d rounds)\n", medianOf(delivered), rounds)
}

// accept orders n payments as fast as the API takes them and waits for their
// webhooks.
func accept(p *program.Program, d *deployment.Deployment, round, n int) (accepted, delivered latency) {
	payee := sandbox.NewEthereumAddress(p)
	ids := make([]string, n)
	took := make([]time.Duration, n)
	at := make([]time.Time, n)
	var group errgroup.Group
	group.SetLimit(starters)
	for i := range n {
		group.Go(func() error {
			began := time.Now()
			a, err := d.Call(p.Context(), http.MethodPost, "/v1/payment_intents", fmt.Sprintf("accept-%d-%d", round, i), deployment.To("ethereum", payee, "0.01"))
			if err == nil && a.Status != http.StatusCreated {
				err = fmt.Errorf("the API answered %d: %s", a.Status, a.Body)
			}
			if err != nil {
				return err
			}
			ids[i], took[i], at[i] = a.Intent(p).ID, time.Since(began), time.Now()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		p.Fatal(err)
	}
	return latencyOf(at, took), arrivals(p, d, ids)
}

// latency is how often something was done, and how long it took.
type latency struct {
	perSecond float64
	p50, p99  time.Duration
}

func latencyOf(done []time.Time, took []time.Duration) latency {
	slices.Sort(took)
	return latency{perSecond: rate(done), p50: took[len(took)/2], p99: took[len(took)*99/100]}
}

// medianOf takes each figure's median of its own.
func medianOf(rounds []latency) latency {
	of := func(figure func(latency) float64) float64 {
		var all []float64
		for _, l := range rounds {
			all = append(all, figure(l))
		}
		return median(all)
	}
	return latency{
		perSecond: of(func(l latency) float64 { return l.perSecond }),
		p50:       time.Duration(of(func(l latency) float64 { return float64(l.p50) })),
		p99:       time.Duration(of(func(l latency) float64 { return float64(l.p99) })),
	}
}

func (l latency) String() string {
	return fmt.Sprintf("%6.1f/s, p50 %.3f s, p99 %.3f s", l.perSecond, l.p50.Seconds(), l.p99.Seconds())
}

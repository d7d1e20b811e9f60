package main

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// result of one round; rates per second.
type result struct {
	created, settled float64
	p50, p99         time.Duration // from creation to settled
}

// payees is among how many recipients the payments of a round go round.
const payees = 50

// settle orders n payments as fast as the API takes them and waits until all
// are settled.
func settle(p *program.Program, d *deployment.Deployment, round, n int) result {
	var to []payment.Destination
	for range payees {
		to = append(to, payment.Destination{Chain: "ethereum", Address: sandbox.NewEthereumAddress(p)},
			payment.Destination{Chain: "solana", Address: sandbox.NewSolanaAddress(p)})
	}
	ids := make([]string, n)
	created := make([]time.Time, n)
	var g errgroup.Group
	g.SetLimit(starters)
	for i := range n {
		g.Go(func() error {
			dest := to[i%len(to)]
			ids[i] = d.Pay(p, fmt.Sprintf("bench-%d-%d", round, i), deployment.To(dest.Chain, dest.Address, "1.25")).ID
			created[i] = time.Now()
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		p.Fatal(err)
	}
	settled := make([]time.Time, n)
	took := make([]time.Duration, n)
	for i, r := range d.Await(p, 15*time.Minute, ids) {
		if r.Status != payment.Settled {
			p.Fatalf("%s is %s: %+v", r.ID, r.Status, r.Failure)
		}
		settled[i], took[i] = r.UpdatedAt, r.UpdatedAt.Sub(r.CreatedAt)
	}
	slices.Sort(took)
	return result{created: rate(created), settled: rate(settled), p50: took[n/2], p99: took[n*99/100]}
}

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/payment"
)

const (
	batchTimeout = 2 * time.Hour
	sampleEvery  = time.Second // of memory
)

// memory is what a process used, in bytes: its most in the first and in the last
// third of the run, and ever.
type memory struct{ samples []int64 }

func (m memory) String() string {
	mb := func(s []int64) float64 {
		most := int64(0)
		for _, v := range s {
			most = max(most, v)
		}
		return float64(most) / (1 << 20)
	}
	n := len(m.samples) / 3
	return fmt.Sprintf("%4.0f MB at the start, %4.0f MB at the end, %4.0f MB at most", mb(m.samples[:n]), mb(m.samples[len(m.samples)-n:]), mb(m.samples))
}

// sample looks at the memory of processes until ctx ends.
func sample(ctx context.Context, processes ...*deployment.Process) (stop func() []memory) {
	ctx, cancel := context.WithCancel(ctx)
	out, done := make([]memory, len(processes)), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			for n, p := range processes {
				if rss := p.RSS(); rss > 0 {
					out[n].samples = append(out[n].samples, rss)
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() []memory {
		cancel()
		<-done
		return out
	}
}

// killedBatch pays a batch of so many lines over both chains, kills the API and the
// worker twice each meanwhile, and counts on the chains what became of every line. It
// reports whether each was paid once.
func killedBatch(p *program.Program, lines int) bool {
	d := deployment.Start(p, open(p), deployment.Options{EthereumLanes: 8, LaneInFlight: 64, SolanaLanes: 4, SkipSolanaSlots: true, Settings: []string{"GOGC=100"}})
	orders := deployment.BatchOrders(p, lines, 50)
	began := time.Now()
	memories := sample(p.Context(), d.API, d.Workers[0])
	id := d.Upload(p, "batch", orders)
	uploaded := time.Since(began)
	d.ChangeBatch(p, id, "start")
	for n, victim := range []*deployment.Process{d.API, d.Workers[0], d.API, d.Workers[0]} {
		d.AwaitBatch(p, batchTimeout, id, func(b deployment.BatchState) bool { return b.Count(payment.Settled) >= (n+1)*lines/5 })
		fmt.Printf("kill -9 %s after %.0f s, %d of %d lines settled\n", victim.Name, time.Since(began).Seconds(), d.Batch(p, id).Count(payment.Settled), lines)
		victim.Kill()
		victim.Start()
	}
	d.AwaitBatch(p, batchTimeout, id, func(b deployment.BatchState) bool { return b.Status == payment.BatchCompleted })
	took := time.Since(began)
	used := memories()
	count := d.CountBatch(p, id, orders)
	fmt.Printf("lines     %8d, read and checked in %.1f s\n", lines, uploaded.Seconds())
	fmt.Printf("paid once %8d\npaid twice%8d\nlost      %8d\n", count.Once, count.Twice, count.Lost)
	fmt.Printf("duration  %8.0f s, %.1f payments/s with 4 kills\n", took.Seconds(), float64(lines)/took.Seconds())
	fmt.Printf("API       %s\nworker    %s\n", used[0], used[1])
	for _, wrong := range count.Wrong {
		fmt.Println("WRONG:   ", wrong)
	}
	fmt.Println("books:   ", d.BooksClose(p))
	return count.Once == lines && len(count.Wrong) == 0
}

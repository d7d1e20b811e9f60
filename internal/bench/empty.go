package main

import (
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
)

// starters is how many clients order at once, in both measurements.
const starters = 32

// emptyWorkflows returns how many workflows that do nothing complete per second.
func emptyWorkflows(p *program.Program, s *sandbox.Sandbox, n int) float64 {
	c, queue := s.Temporal(p), s.TaskQueue(p)
	w := worker.New(c, queue, worker.Options{MaxConcurrentWorkflowTaskPollers: 5, MaxConcurrentActivityTaskPollers: 5})
	var mu sync.Mutex
	var done []time.Time
	w.RegisterWorkflowWithOptions(func(workflow.Context) error {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, time.Now())
		return nil
	}, workflow.RegisterOptions{Name: "Empty"})
	if err := w.Start(); err != nil {
		p.Fatal(err)
	}
	defer w.Stop()
	var g errgroup.Group
	g.SetLimit(starters)
	runs := make([]client.WorkflowRun, n)
	for i := range n {
		g.Go(func() (err error) {
			runs[i], err = c.ExecuteWorkflow(p.Context(), client.StartWorkflowOptions{ID: fmt.Sprintf("%s-%d", queue, i), TaskQueue: queue}, "Empty")
			return err
		})
	}
	if err := g.Wait(); err != nil {
		p.Fatal(err)
	}
	for _, r := range runs {
		if err := r.Get(p.Context(), nil); err != nil {
			p.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return rate(done)
}

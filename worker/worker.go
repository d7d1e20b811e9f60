package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/workflows"
)

// Options of one worker process.
type Options struct {
	TaskQueue string
	// Activities is how many steps of payments may run in this process at once. One
	// that waits for its chain counts; more wait in Temporal for a free worker.
	Activities int
	// LocalActivities and WorkflowTasks bound the short database steps.
	LocalActivities, WorkflowTasks int
	// Pollers asks the task queue this many times at once, for each kind of task.
	Pollers int
	// UpkeepEvery is how often what lives on the chains is looked after.
	UpkeepEvery time.Duration
	// StopTimeout is how long running steps may finish after a stop.
	StopTimeout time.Duration
}

// Limits of the worker that delivers webhooks again. They are no settings: it waits
// for endpoints most of the time, and what must be quick is not here.
const (
	deliveries            = 256 // at once; one endpoint has webhooks.PerEndpoint of them at most
	deliveryWorkflowTasks = 8   // at once
	deliveryPollers       = 2   // of each kind
)

// Run serves the task queue, and beside it that of deliveries, until ctx ends,
// then lets running steps finish.
func Run(ctx context.Context, c client.Client, steps *activities.Steps, o Options) error {
	payments := sdk.New(c, o.TaskQueue, sdk.Options{
		MaxConcurrentActivityExecutionSize:      o.Activities,
		MaxConcurrentLocalActivityExecutionSize: o.LocalActivities,
		MaxConcurrentWorkflowTaskExecutionSize:  o.WorkflowTasks,
		MaxConcurrentWorkflowTaskPollers:        o.Pollers,
		MaxConcurrentActivityTaskPollers:        o.Pollers,
		WorkerStopTimeout:                       o.StopTimeout,
		Interceptors:                            crashes(steps),
	})
	steps.StartPayment = starter(c, o.TaskQueue)
	Register(payments, steps)
	redeliveries := sdk.New(c, workflows.DeliveryQueue(o.TaskQueue), sdk.Options{
		MaxConcurrentActivityExecutionSize:     deliveries,
		MaxConcurrentWorkflowTaskExecutionSize: deliveryWorkflowTasks,
		MaxConcurrentWorkflowTaskPollers:       deliveryPollers,
		MaxConcurrentActivityTaskPollers:       deliveryPollers,
		WorkerStopTimeout:                      o.StopTimeout,
		Interceptors:                           crashes(steps),
	})
	Register(redeliveries, steps)

	// The watchers outlive the activities that wait on them by one stop.
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	var watchers sync.WaitGroup
	for _, d := range steps.Desks {
		watchers.Go(func() { d.Watcher.Run(watching) })
	}
	defer watchers.Wait()
	defer stopWatching()

	workers := []sdk.Worker{payments, redeliveries}
	for _, w := range workers {
		if err := w.Start(); err != nil {
			return fmt.Errorf("worker on task queue %q: %w", o.TaskQueue, err)
		}
	}
	schedule(ctx, c, o, steps)
	<-ctx.Done()
	var stopping sync.WaitGroup
	for _, w := range workers {
		stopping.Go(w.Stop) // which waits for its own steps
	}
	stopping.Wait()
	return nil
}

// Registry is what a worker and a replayer have in common.
type Registry interface {
	RegisterWorkflowWithOptions(w any, options workflow.RegisterOptions)
}

// RegisterWorkflows names the workflows.
func RegisterWorkflows(r Registry) {
	r.RegisterWorkflowWithOptions(workflows.Payment, workflow.RegisterOptions{Name: workflows.PaymentWorkflow})
	r.RegisterWorkflowWithOptions(workflows.WebhookDelivery, workflow.RegisterOptions{Name: workflows.DeliveryWorkflow})
	r.RegisterWorkflowWithOptions(workflows.Batch, workflow.RegisterOptions{Name: workflows.BatchWorkflow})
	r.RegisterWorkflowWithOptions(workflows.Upkeep, workflow.RegisterOptions{Name: workflows.UpkeepWorkflow})
	r.RegisterWorkflowWithOptions(workflows.Restart, workflow.RegisterOptions{Name: workflows.RestartWorkflow})
	r.RegisterWorkflowWithOptions(workflows.ScheduledPayment, workflow.RegisterOptions{Name: workflows.ScheduledPaymentWorkflow})
}

// Register names the workflows and the steps. Both task queues know all: a workflow
// stays on the queue that it was started on.
func Register(w sdk.Registry, steps *activities.Steps) {
	RegisterWorkflows(w)
	for name, step := range steps.ByName() {
		w.RegisterActivityWithOptions(step, activity.RegisterOptions{Name: name})
	}
}

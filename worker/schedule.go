package worker

import (
	"context"
	"errors"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/workflows"
)

// Bounds of the schedules.
const (
	catchUp  = time.Minute      // rounds that were due longer ago are left out
	roundEnd = 10 * time.Minute // of one that nobody works on

	restartEvery = 4 // rounds of upkeep: what is stranded waits for minutes anyway

	retryAfter = 5 * time.Second // when a schedule could not be made
)

// round is one schedule's job.
type round struct {
	id, workflow, note string
	args               []any
	every              time.Duration
}

// rounds are the schedules of a task queue. Their ids name it, so that several
// deployments can share a namespace.
func rounds(o Options, steps *activities.Steps) []round {
	out := []round{{id: "restart-" + o.TaskQueue, workflow: workflows.RestartWorkflow, note: "Starts workflows that are gone", every: restartEvery * o.UpkeepEvery}}
	for chain := range steps.Desks {
		out = append(out, round{id: "upkeep-" + o.TaskQueue + "-" + string(chain), workflow: workflows.UpkeepWorkflow, every: o.UpkeepEvery,
			note: "Looks after the live slots and lane nonces of " + string(chain), args: []any{workflows.UpkeepInput{Chain: chain}}})
	}
	return out
}

// schedule makes the schedules of the upkeep, or brings them up to date. A
// paused one stays paused. It tries until it succeeds or ctx ends: payments can
// be made meanwhile.
func schedule(ctx context.Context, c client.Client, o Options, steps *activities.Steps) {
	for _, r := range rounds(o, steps) {
		for {
			err := r.schedule(ctx, c, o)
			if err == nil || ctx.Err() != nil {
				break
			}
			steps.Log.Warn("no schedule", zap.String("schedule", r.id), zap.Error(err))
			select {
			case <-ctx.Done():
			case <-time.After(retryAfter):
			}
		}
	}
}

func (r round) schedule(ctx context.Context, c client.Client, o Options) error {
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: r.every}}}
	action := &client.ScheduleWorkflowAction{ID: r.id, Workflow: r.workflow, Args: r.args, TaskQueue: o.TaskQueue, WorkflowRunTimeout: roundEnd}
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: r.id, Spec: spec, Action: action, Note: r.note,
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	return c.ScheduleClient().GetHandle(ctx, r.id).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			s.Spec, s.Action = &spec, action
			s.Policy = &client.SchedulePolicies{Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp}
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
}

package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/workflows"
)

const (
	schedulerBatch = 50 // schedules, and runs, of one sweep
	// soon is how near a due time may be that Temporal's schedule, which looks
	// forward from its creation, could miss while it is made.
	soon = 2 * startTimeout
)

// scheduler tells Temporal of schedules. The database says which exist: every
// API process sweeps for those that Temporal has not been told of, to begin or
// to end with, and for runs that wait no longer. Telling twice is harmless, and
// so is telling what has changed since: the step that pays asks the database.
type scheduler struct {
	store     *store.Store
	temporal  client.Client
	taskQueue string
	now       func() time.Time
}

// Sweep tells what is due and returns how much; an error says what stopped
// some, which will be due again.
func (s *scheduler) Sweep(ctx context.Context) (told int, err error) {
	schedules, err := s.store.DueSchedules(ctx, schedulerBatch)
	if err != nil {
		return 0, err
	}
	runs, err := s.store.DueRuns(ctx, schedulerBatch)
	if err != nil {
		return 0, err
	}
	for _, schedule := range schedules {
		if e := s.tell(ctx, schedule); e != nil {
			err = errors.Join(err, fmt.Errorf("schedule %s: %w", schedule.ID, e))
			continue
		}
		told++
	}
	for _, run := range runs {
		if e := s.start(ctx, run.ScheduleID, run.DueAt, 0); e != nil {
			err = errors.Join(err, fmt.Errorf("schedule %s: %w", run.ScheduleID, e))
			continue
		}
		told++
	}
	return told, err
}

func (s *scheduler) tell(ctx context.Context, schedule payment.Schedule) error {
	asking, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	switch at := schedule.Timetable.At; {
	case schedule.Status.Over():
		err = s.temporal.ScheduleClient().GetHandle(asking, schedule.ID).Delete(asking)
		if gone := new(serviceerror.NotFound); errors.As(err, &gone) {
			err = nil
		}
	case at != nil && at.Sub(s.now()) < soon:
		err = s.start(asking, schedule.ID, *at, max(0, at.Sub(s.now())))
	default:
		_, err = s.temporal.ScheduleClient().Create(asking, workflows.ScheduleOptions(schedule, s.taskQueue))
		if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return s.store.ScheduleTold(ctx, schedule)
}

// start starts the workflow of a due time, after a delay.
func (s *scheduler) start(ctx context.Context, scheduleID string, dueAt time.Time, delay time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := s.temporal.ExecuteWorkflow(ctx, workflows.RunOptions(scheduleID, dueAt, s.taskQueue, delay), workflows.ScheduledPaymentWorkflow,
		workflows.ScheduledPaymentInput{ScheduleID: scheduleID, DueAt: &dueAt})
	return err
}

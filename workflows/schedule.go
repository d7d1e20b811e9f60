package workflows

import (
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
)

// ScheduledPaymentInput names a due time of a schedule. Temporal's schedules
// leave it out and tell it by their own means.
type ScheduledPaymentInput struct {
	ScheduleID string     `json:"schedule_id"`
	DueAt      *time.Time `json:"due_at,omitempty"`
}

// startedFor is when a workflow of a Temporal schedule was due, whenever it
// really began.
var startedFor = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")

// ScheduledPayment creates the payment of a schedule's due time and starts its
// workflow.
func ScheduledPayment(ctx workflow.Context, in ScheduledPaymentInput) (activities.RunResult, error) {
	due := in.DueAt
	if due == nil {
		at, ok := workflow.GetTypedSearchAttributes(ctx).GetTime(startedFor)
		if !ok {
			return activities.RunResult{}, temporal.NewNonRetryableApplicationError("started by hand without due_at", "DueAtMissing", nil)
		}
		due = &at
	}
	var out activities.RunResult
	lctx := workflow.WithLocalActivityOptions(ctx, database)
	if err := workflow.ExecuteLocalActivity(lctx, steps.PaySchedule, activities.RunRef{ScheduleID: in.ScheduleID, DueAt: *due}).Get(ctx, &out); err != nil {
		return out, err
	}
	err := startDeliveries(ctx, out.Announced)
	if out.Payment != nil {
		err = errors.Join(err, started(ctx, startPayment(ctx, *out.Payment)))
	}
	return out, err
}

// runID is the id of the workflow of a due time; Temporal's schedules make the
// same one.
func runID(scheduleID string, dueAt time.Time) string {
	return scheduleID + "-" + dueAt.UTC().Format(time.RFC3339)
}

// RunOptions start the workflow of a due time that Temporal's schedule did not
// start, or that is to be looked at again, not before delay.
func RunOptions(scheduleID string, dueAt time.Time, taskQueue string, delay time.Duration) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       runID(scheduleID, dueAt),
		TaskQueue:                taskQueue,
		StartDelay:               delay,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}
}

// ScheduleOptions are Temporal's side of a schedule. Pausing is not: the step
// that creates the payment asks the database.
func ScheduleOptions(s payment.Schedule, taskQueue string) client.ScheduleOptions {
	o := client.ScheduleOptions{
		ID:   s.ID,
		Note: fmt.Sprintf("Pays %s for merchant %s, request %s", s.Order.Reference, s.MerchantID, s.RequestID),
		Action: &client.ScheduleWorkflowAction{ID: s.ID, Workflow: ScheduledPaymentWorkflow, TaskQueue: taskQueue,
			Args: []any{ScheduledPaymentInput{ScheduleID: s.ID}}},
		// Due times are payments of their own: none gives way to another.
		Overlap:       enums.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL,
		CatchupWindow: s.CatchUp,
	}
	if at := s.Timetable.At; at != nil {
		t := at.UTC()
		o.Spec.Calendars = []client.ScheduleCalendarSpec{{Year: only(t.Year()), Month: only(int(t.Month())), DayOfMonth: only(t.Day()),
			Hour: only(t.Hour()), Minute: only(t.Minute()), Second: only(t.Second())}}
		o.RemainingActions = 1
		return o
	}
	o.Spec.CronExpressions, o.Spec.TimeZoneName = []string{s.Timetable.Cron}, s.Timetable.TimeZone
	if s.Timetable.EndsAt != nil {
		o.Spec.EndAt = *s.Timetable.EndsAt
	}
	return o
}

func only(n int) []client.ScheduleRange { return []client.ScheduleRange{{Start: n}} }

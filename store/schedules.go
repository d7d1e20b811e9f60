package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// CreateSchedule inserts an active schedule and returns it as stored. The caller
// chose its ID. Temporal is told of it by who takes DueSchedules. The key makes
// one schedule of the merchant and mode for ever: ErrConflict if it has.
func (tx *Tx) CreateSchedule(ctx context.Context, s payment.Schedule, idempotencyKey string) (payment.Schedule, error) {
	ordered, err := json.Marshal(s.Order)
	if err != nil {
		return payment.Schedule{}, fmt.Errorf("create schedule %s: %w", s.ID, err)
	}
	row, err := tx.InsertSchedule(ctx, db.InsertScheduleParams{
		ID: s.ID, MerchantID: s.MerchantID, Mode: string(s.Mode), IdempotencyKey: idempotencyKey, Ordered: ordered, OnceAt: s.Timetable.At, Cron: s.Timetable.Cron,
		TimeZone: s.Timetable.TimeZone, EndsAt: s.Timetable.EndsAt, CatchUpSeconds: int64(s.CatchUp / time.Second), RequestID: s.RequestID,
	})
	if err != nil {
		return payment.Schedule{}, fmt.Errorf("create schedule %s: %w", s.ID, err)
	}
	return scheduleOf(row)
}

// MerchantSchedule reads a schedule of the merchant in the mode; ErrNotFound if
// there is none, or it is somebody else's.
func (s *Store) MerchantSchedule(ctx context.Context, merchantID string, mode payment.Mode, id string) (payment.Schedule, error) {
	row, err := s.queries.GetMerchantSchedule(ctx, db.GetMerchantScheduleParams{ID: id, MerchantID: merchantID, Mode: string(mode)})
	if err != nil {
		return payment.Schedule{}, fmt.Errorf("schedule %s: %w", id, err)
	}
	return scheduleOf(row)
}

// ScheduleFilter chooses schedules. MerchantID and Mode are required; no
// statuses are all.
type ScheduleFilter struct {
	MerchantID string
	Mode       payment.Mode
	Statuses   []string
}

// ListSchedules returns at most limit schedules, newest first, that come after
// the cursor (nil: from the newest on); more reports whether others follow.
func (s *Store) ListSchedules(ctx context.Context, f ScheduleFilter, after *Cursor, limit int) (schedules []payment.Schedule, more bool, err error) {
	p := db.ListSchedulesParams{MerchantID: f.MerchantID, Mode: string(f.Mode), Statuses: f.Statuses, MaxRows: int32(limit) + 1}
	p.AfterCreatedAt, p.AfterID = after.place()
	rows, err := s.queries.ListSchedules(ctx, p)
	if err != nil {
		return nil, false, fmt.Errorf("list schedules: %w", err)
	}
	rows, more = Page(rows, limit)
	schedules, err = schedulesOf(rows)
	return schedules, more, err
}

// LockSchedule reads a schedule and keeps every other writer of it and its runs
// out until the transaction ends. ErrNotFound if there is none.
func (tx *Tx) LockSchedule(ctx context.Context, id string) (payment.Schedule, error) {
	row, err := tx.Queries.LockSchedule(ctx, id)
	if err != nil {
		return payment.Schedule{}, fmt.Errorf("lock schedule %s: %w", id, err)
	}
	return scheduleOf(row)
}

// SetScheduleStatus changes the status of a locked schedule and returns it as
// stored. ErrRefused if it is over.
func (tx *Tx) SetScheduleStatus(ctx context.Context, id string, status payment.ScheduleStatus) (payment.Schedule, error) {
	row, err := tx.UpdateScheduleStatus(ctx, db.UpdateScheduleStatusParams{ID: id, Status: string(status)})
	if err != nil {
		return payment.Schedule{}, fmt.Errorf("schedule %s becomes %s: %w", id, status, err)
	}
	return scheduleOf(row)
}

// DueSchedules takes at most limit schedules that Temporal has to be told of, to
// begin or to end with, and puts them off by 15 s, until ScheduleTold. Concurrent
// callers take different ones. Schedules whose end has passed are completed first.
func (s *Store) DueSchedules(ctx context.Context, limit int) ([]payment.Schedule, error) {
	if err := s.queries.CompleteEndedSchedules(ctx); err != nil {
		return nil, fmt.Errorf("end schedules: %w", err)
	}
	rows, err := s.queries.TakeDueSchedules(ctx, int32(limit))
	if err != nil {
		return nil, fmt.Errorf("due schedules: %w", err)
	}
	return schedulesOf(rows)
}

// ScheduleTold notes that Temporal knows of the schedule as it was taken. One
// that ended meanwhile stays due, and one that pays once is due again when it
// should have paid.
func (s *Store) ScheduleTold(ctx context.Context, taken payment.Schedule) error {
	if err := s.queries.ScheduleTold(ctx, db.ScheduleToldParams{ID: taken.ID, Over: taken.Status.Over()}); err != nil {
		return fmt.Errorf("schedule %s told: %w", taken.ID, err)
	}
	return nil
}

// ScheduleRun reads what became of a due time; ErrNotFound if nothing did.
func (tx *Tx) ScheduleRun(ctx context.Context, scheduleID string, dueAt time.Time) (payment.Run, error) {
	row, err := tx.GetScheduleRun(ctx, db.GetScheduleRunParams{ScheduleID: scheduleID, DueAt: dueAt})
	if err != nil {
		return payment.Run{}, fmt.Errorf("run %s of %s: %w", dueAt.Format(time.RFC3339), scheduleID, err)
	}
	return runOf(row), nil
}

// SaveRun writes what became of a due time of a locked schedule and returns it
// as stored. ErrRefused if that is final already.
func (tx *Tx) SaveRun(ctx context.Context, r payment.Run) (payment.Run, error) {
	failure := payment.Failure{}
	if r.Failure != nil {
		failure = *r.Failure
	}
	row, err := tx.SaveScheduleRun(ctx, db.SaveScheduleRunParams{ScheduleID: r.ScheduleID, DueAt: r.DueAt, Status: string(r.Status),
		IntentID: given(r.IntentID), FailureCode: failure.Code, FailureMessage: failure.Message})
	if err != nil {
		return payment.Run{}, fmt.Errorf("run %s of %s: %w", r.DueAt.Format(time.RFC3339), r.ScheduleID, err)
	}
	return runOf(row), nil
}

// DecideRuns makes the runs of a locked schedule that wait due or skipped.
func (tx *Tx) DecideRuns(ctx context.Context, scheduleID string, status payment.RunStatus) error {
	if err := tx.DecideWaitingRuns(ctx, db.DecideWaitingRunsParams{ScheduleID: scheduleID, Status: string(status)}); err != nil {
		return fmt.Errorf("decide runs of %s: %w", scheduleID, err)
	}
	return nil
}

// DueRuns takes at most limit runs whose workflow is to be started and puts
// them off by 30 s. Concurrent callers take different ones.
func (s *Store) DueRuns(ctx context.Context, limit int) ([]payment.Run, error) {
	rows, err := s.queries.TakeDueRuns(ctx, int32(limit))
	if err != nil {
		return nil, fmt.Errorf("due runs: %w", err)
	}
	return runsOf(rows), nil
}

// ScheduleRuns returns at most limit runs of a schedule that were due before a
// time (nil: all), the latest first; more reports whether others follow.
func (s *Store) ScheduleRuns(ctx context.Context, scheduleID string, before *time.Time, limit int) (runs []payment.Run, more bool, err error) {
	rows, err := s.queries.ListScheduleRuns(ctx, db.ListScheduleRunsParams{ScheduleID: scheduleID, Before: before, MaxRows: int32(limit) + 1})
	if err != nil {
		return nil, false, fmt.Errorf("runs of %s: %w", scheduleID, err)
	}
	rows, more = Page(rows, limit)
	return runsOf(rows), more, nil
}

// SkippedRuns are the due times after a time that the merchant skipped.
func (s *Store) SkippedRuns(ctx context.Context, scheduleID string, after time.Time) ([]time.Time, error) {
	return skippedRuns(ctx, s.queries, scheduleID, after)
}

// SkippedRuns is the same within a transaction.
func (tx *Tx) SkippedRuns(ctx context.Context, scheduleID string, after time.Time) ([]time.Time, error) {
	return skippedRuns(ctx, tx.Queries, scheduleID, after)
}

func skippedRuns(ctx context.Context, q *db.Queries, scheduleID string, after time.Time) ([]time.Time, error) {
	times, err := q.SkippedRuns(ctx, db.SkippedRunsParams{ScheduleID: scheduleID, After: after})
	if err != nil {
		return nil, fmt.Errorf("skipped runs of %s: %w", scheduleID, err)
	}
	return times, nil
}

// scheduleOf reads a row. An error means that the row was written by something
// else than this package.
func scheduleOf(r db.Schedule) (payment.Schedule, error) {
	s := payment.Schedule{
		ID: r.ID, MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode),
		Timetable: payment.Timetable{At: r.OnceAt, Cron: r.Cron, TimeZone: r.TimeZone, EndsAt: r.EndsAt},
		CatchUp:   time.Duration(r.CatchUpSeconds) * time.Second, Status: payment.ScheduleStatus(r.Status),
		RequestID: r.RequestID, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if err := json.Unmarshal(r.Ordered, &s.Order); err != nil {
		return payment.Schedule{}, fmt.Errorf("schedule %s: order: %w", r.ID, err)
	}
	return s, nil
}

func schedulesOf(rows []db.Schedule) ([]payment.Schedule, error) {
	schedules := make([]payment.Schedule, len(rows))
	for n, r := range rows {
		s, err := scheduleOf(r)
		if err != nil {
			return nil, err
		}
		schedules[n] = s
	}
	return schedules, nil
}

func runOf(r db.ScheduleRun) payment.Run {
	run := payment.Run{ScheduleID: r.ScheduleID, DueAt: r.DueAt, Status: payment.RunStatus(r.Status), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt}
	if r.IntentID != nil {
		run.IntentID = *r.IntentID
	}
	if r.FailureCode != "" {
		run.Failure = &payment.Failure{Code: r.FailureCode, Message: r.FailureMessage}
	}
	return run
}

func runsOf(rows []db.ScheduleRun) []payment.Run {
	runs := make([]payment.Run, len(rows))
	for n, r := range rows {
		runs[n] = runOf(r)
	}
	return runs
}

package payment

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Order is what a schedule orders each time.
type Order struct {
	Asset        string            `json:"asset"` // code
	Amount       Amount            `json:"amount"`
	Destinations []Destination     `json:"destinations"`
	Priority     Priority          `json:"priority"`
	MaxFee       *Amount           `json:"max_fee,omitempty"` // nil: no bound
	Reference    string            `json:"reference"`
	Metadata     map[string]string `json:"metadata"`
}

// Schedule is a standing order: one payment at each due time of its timetable.
// Order and timetable never change.
type Schedule struct {
	ID         string
	MerchantID string
	Mode       Mode
	Order      Order
	Timetable  Timetable
	CatchUp    time.Duration // due times missed while Settle was down are paid late by at most this much
	Status     ScheduleStatus
	RequestID  string // correlation id of the creating HTTP request
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// ScheduleStatus is what a schedule does at its due times.
type ScheduleStatus string

// Statuses of a schedule. The last two are final.
const (
	ScheduleActive    ScheduleStatus = "active"    // pays
	SchedulePaused    ScheduleStatus = "paused"    // notes what is due, and pays nothing
	ScheduleCompleted ScheduleStatus = "completed" // has no due time left
	ScheduleCanceled  ScheduleStatus = "canceled"
)

// Over reports whether the schedule pays nothing any more, for ever.
func (s ScheduleStatus) Over() bool { return s == ScheduleCompleted || s == ScheduleCanceled }

// RunStatus is what became of a due time.
type RunStatus string

// Statuses of a run. Created, failed and skipped are final.
const (
	RunHeld    RunStatus = "held"    // was due while the schedule was paused
	RunDue     RunStatus = "due"     // was held, and is to be paid now
	RunCreated RunStatus = "created" // a payment was created
	RunFailed  RunStatus = "failed"  // no payment could be created
	RunSkipped RunStatus = "skipped" // by the merchant
)

// Run is a due time of a schedule and what became of it.
type Run struct {
	ScheduleID string
	DueAt      time.Time
	Status     RunStatus
	IntentID   string   // if created
	Failure    *Failure // if failed
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Final reports whether the run is over and never changes.
func (s RunStatus) Final() bool { return s == RunCreated || s == RunFailed || s == RunSkipped }

// RunResource is a run as the API, events and webhooks show it.
type RunResource struct {
	Object     string    `json:"object" enum:"schedule_run"`
	ScheduleID string    `json:"schedule_id" example:"sch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	DueAt      time.Time `json:"due_at"`
	Status     RunStatus `json:"status" enum:"held,due,created,failed,skipped" doc:"held: was due while the schedule was paused; due: is paid now; created: see the payment; failed: no payment could be made"`
	IntentID   string    `json:"payment_intent_id,omitempty"`
	Failure    *Failure  `json:"failure,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Resource renders the run.
func (r Run) Resource() RunResource {
	return RunResource{Object: "schedule_run", ScheduleID: r.ScheduleID, DueAt: r.DueAt.UTC(), Status: r.Status, IntentID: r.IntentID,
		Failure: r.Failure, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}

// Timetable says when a schedule is due: once at At, or at the times of Cron.
type Timetable struct {
	At       *time.Time // in whole seconds; nil: Cron says
	Cron     string     // minute, hour, day of month, month, day of week
	TimeZone string     // IANA name in which Cron is meant
	EndsAt   *time.Time // Cron's last due time is not after this; nil: it never ends
}

// ErrTimetable is a timetable that cannot be followed; the text says why.
var ErrTimetable = errors.New("unusable timetable")

// Check reports what is wrong with the timetable, as ErrTimetable.
func (t Timetable) Check() error {
	_, _, err := t.parse()
	return err
}

// Next returns the first due time after a time; false if there is none. In the
// hour that a change of the clocks leaves out nothing is due; a time of day in the
// one that it repeats is due once.
func (t Timetable) Next(after time.Time) (time.Time, bool) {
	if t.At != nil {
		return *t.At, t.At.After(after)
	}
	times, zone, err := t.parse()
	if err != nil {
		return time.Time{}, false
	}
	next := times.Next(after.In(zone))
	for next.Format(clock) == next.Add(-time.Hour).Format(clock) { // once more
		next = times.Next(next)
	}
	return next.UTC(), !next.IsZero() && (t.EndsAt == nil || !next.After(*t.EndsAt))
}

// clock is a time as a clock on the wall shows it.
const clock = "15:04"

// Has reports whether a time is a due time.
func (t Timetable) Has(at time.Time) bool {
	next, ok := t.Next(at.Add(-time.Second))
	return ok && next.Equal(at)
}

// Due returns the due time that was meant by a clock that struck at a time.
// Temporal's strikes an hour late, or once too often, in the night in which the
// clocks go back.
func (t Timetable) Due(struck time.Time) (time.Time, bool) {
	if t.Has(struck) {
		return struck, true
	}
	before := struck.Add(-time.Hour)
	return before, t.Has(before)
}

// Fields are the five fields of Cron, from the minute to the day of the week.
func (t Timetable) Fields() []string { return strings.Fields(t.Cron) }

func (t Timetable) parse() (cron.Schedule, *time.Location, error) {
	zone, err := time.LoadLocation(t.TimeZone)
	if err != nil || t.TimeZone == "Local" {
		return nil, nil, fmt.Errorf("%w: %q is not a time zone; use an IANA name, e.g. Europe/Berlin", ErrTimetable, t.TimeZone)
	}
	fields := t.Fields()
	if len(fields) != 5 || slices.ContainsFunc(fields, func(f string) bool { return strings.ContainsAny(f, "?=@") }) {
		return nil, nil, fmt.Errorf("%w: %q has to have five fields: minute, hour, day of month, month, day of week; e.g. \"0 9 1 * *\"", ErrTimetable, t.Cron)
	}
	if !strings.HasPrefix(fields[2], "*") && !strings.HasPrefix(fields[4], "*") {
		return nil, nil, fmt.Errorf("%w: %q names a day of the month and a day of the week; leave one of them *, since systems differ in what both mean", ErrTimetable, t.Cron)
	}
	times, err := cron.ParseStandard(strings.Join(fields, " "))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %q: %w", ErrTimetable, t.Cron, err)
	}
	if times.Next(time.Unix(0, 0)).IsZero() {
		return nil, nil, fmt.Errorf("%w: %q is never due", ErrTimetable, t.Cron)
	}
	return times, zone, nil
}

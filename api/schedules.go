package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const (
	schedulesPath  = "/v1/schedules"
	scheduleRoute  = http.MethodPost + " " + schedulesPath
	defaultCatchUp = 24 * time.Hour
)

func (s *Server) registerSchedules() {
	const tag = "Schedules"
	act := func(verb, id, summary, description string, handler func(context.Context, *SchedulePath) (*scheduleOutput, error)) {
		register(s.api, operation{
			method: http.MethodPost, path: schedulesPath + "/{id}/" + verb, id: id, tag: tag, scope: IntentsWrite,
			summary: summary, description: description, errors: []int{http.StatusNotFound, http.StatusConflict},
		}, handler)
	}
	register(s.api, operation{
		method: http.MethodPost, path: schedulesPath, id: "create-schedule", tag: tag, scope: IntentsWrite, status: http.StatusCreated,
		summary: "Order payments at times to come",
		description: "Once, or by a cron expression. At each due time a payment is created as by POST /v1/payment_intents, with its hold; one that " +
			"cannot be is a failed run, and a schedule.run_failed event. Each due time is paid once at most.",
		errors: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge},
	}, s.createSchedule)
	answers[Schedule](s.api, schedulesPath, "201")
	register(s.api, operation{
		method: http.MethodGet, path: schedulesPath, id: "list-schedules", tag: tag, scope: IntentsRead,
		summary: "List schedules, newest first", errors: []int{http.StatusBadRequest},
	}, s.listSchedules)
	register(s.api, operation{
		method: http.MethodGet, path: schedulesPath + "/{id}", id: "get-schedule", tag: tag, scope: IntentsRead,
		summary: "Get a schedule", errors: []int{http.StatusNotFound},
	}, s.getSchedule)
	register(s.api, operation{
		method: http.MethodGet, path: schedulesPath + "/{id}/runs", id: "list-schedule-runs", tag: tag, scope: IntentsRead,
		summary: "List what became of a schedule's due times, the latest first", errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.listRuns)
	act("pause", "pause-schedule", "Stop paying for a while", "What falls due is held until resume decides it. Pausing twice is harmless.",
		func(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
			return s.changeSchedule(ctx, in.ID, "pause", func(ctx context.Context, tx *store.Tx, sch payment.Schedule) (payment.ScheduleStatus, error) {
				return payment.SchedulePaused, nil
			})
		})
	register(s.api, operation{
		method: http.MethodPost, path: schedulesPath + "/{id}/resume", id: "resume-schedule", tag: tag, scope: IntentsWrite,
		summary:     "Pay again",
		description: "What fell due while the schedule was paused is skipped, or paid now. Resuming twice is harmless.",
		errors:      []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
	}, s.resumeSchedule)
	register(s.api, operation{
		method: http.MethodPost, path: schedulesPath + "/{id}/skip", id: "skip-schedule-run", tag: tag, scope: IntentsWrite,
		summary:     "Leave one due time out",
		description: "The next one, or the one that due_at names. Skipping it twice is harmless; it cannot be taken back.",
		errors:      []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
	}, s.skipRun)
	act("cancel", "cancel-schedule", "End a schedule", "Payments that were created go on; what was held is skipped. Canceling twice is harmless.",
		func(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
			return s.changeSchedule(ctx, in.ID, "cancel", func(ctx context.Context, tx *store.Tx, sch payment.Schedule) (payment.ScheduleStatus, error) {
				return payment.ScheduleCanceled, tx.DecideRuns(ctx, sch.ID, payment.RunSkipped)
			})
		})
}

// CreateScheduleRequest orders payments at times to come. New optional fields
// must be left out of JSON when they are empty, as of CreateIntentRequest.
type CreateScheduleRequest struct {
	OrderRequest
	At        *time.Time        `json:"at,omitempty" doc:"Pay once, at this time, in whole seconds; either this or cron"`
	Cron      string            `json:"cron,omitempty" maxLength:"100" doc:"Pay again and again: minute, hour, day of month, month, day of week" example:"0 9 1 * *"`
	TimeZone  string            `json:"time_zone,omitempty" maxLength:"64" doc:"IANA time zone in which cron is meant; default UTC" example:"Europe/Berlin"`
	EndsAt    *time.Time        `json:"ends_at,omitempty" doc:"Nothing is due by cron after this time"`
	CatchUp   int64             `json:"catch_up_seconds,omitempty" minimum:"60" maximum:"31536000" doc:"What was missed because Settle was down is paid late by at most this; default 86400, a day"`
	Reference string            `json:"reference,omitempty" maxLength:"200" doc:"Of every payment" example:"rent"`
	Metadata  map[string]string `json:"metadata,omitempty" doc:"Of every payment: up to 20 keys of 1 to 40 characters with values of up to 500"`
}

// Schedule is a standing order as the API shows it.
type Schedule struct {
	ID             string                 `json:"id" example:"sch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object         string                 `json:"object" enum:"schedule"`
	Mode           payment.Mode           `json:"mode" enum:"test,live"`
	Status         payment.ScheduleStatus `json:"status" enum:"active,paused,completed,canceled"`
	At             *time.Time             `json:"at,omitempty"`
	Cron           string                 `json:"cron,omitempty" example:"0 9 1 * *"`
	TimeZone       string                 `json:"time_zone,omitempty" example:"Europe/Berlin"`
	EndsAt         *time.Time             `json:"ends_at,omitempty"`
	CatchUpSeconds int64                  `json:"catch_up_seconds"`
	NextDueAt      *time.Time             `json:"next_due_at,omitempty" doc:"The next due time that is not skipped; none once the schedule is over"`
	Amount         string                 `json:"amount" example:"12.500000"`
	Asset          string                 `json:"asset" example:"USDC"`
	Destinations   []payment.Destination  `json:"destinations"`
	Allowed        []payment.Chain        `json:"allowed_chains,omitempty"`
	Priority       payment.Priority       `json:"priority" enum:"cheap,fast,reliable"`
	MaxFee         string                 `json:"max_fee,omitempty"`
	Reference      string                 `json:"reference,omitempty"`
	Metadata       map[string]string      `json:"metadata,omitempty"`
	CreatedAt      time.Time              `json:"created_at"`
	UpdatedAt      time.Time              `json:"updated_at"`
}

// renderSchedule shows a schedule; skipped are due times from now on that are left out.
func renderSchedule(s payment.Schedule, now time.Time, skipped []time.Time) Schedule {
	asset, _ := payment.AssetByCode(s.Order.Asset)
	out := Schedule{
		ID: s.ID, Object: "schedule", Mode: s.Mode, Status: s.Status, At: inUTC(s.Timetable.At), Cron: s.Timetable.Cron, EndsAt: inUTC(s.Timetable.EndsAt),
		CatchUpSeconds: int64(s.CatchUp / time.Second), Amount: s.Order.Amount.Decimal(asset.Decimals), Asset: s.Order.Asset,
		Destinations: s.Order.Destinations, Allowed: s.Order.Allowed, Priority: s.Order.Priority, Reference: s.Order.Reference, Metadata: s.Order.Metadata,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
	if s.Timetable.Cron != "" {
		out.TimeZone = s.Timetable.TimeZone
	}
	if s.Order.MaxFee != nil {
		out.MaxFee = s.Order.MaxFee.Decimal(asset.Decimals)
	}
	if next, ok := nextDue(s, now, skipped); ok {
		out.NextDueAt = &next
	}
	return out
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// nextDue is the first due time after now that is not skipped.
func nextDue(s payment.Schedule, now time.Time, skipped []time.Time) (time.Time, bool) {
	if s.Status.Over() {
		return time.Time{}, false
	}
	for {
		next, ok := s.Timetable.Next(now)
		if !ok || !slices.ContainsFunc(skipped, next.Equal) {
			return next.UTC(), ok
		}
		now = next
	}
}

type createScheduleInput struct {
	Idempotent
	Body CreateScheduleRequest
}

func (s *Server) createSchedule(ctx context.Context, in *createScheduleInput) (*rawOutput, error) {
	in.Body.fill()
	return s.once(ctx, scheduleRoute, in.IdempotencyKey, in.Body, func(who principal, key store.IdempotencyKey) (body []byte, err error) {
		draft, err := s.draftSchedule(ctx, who, in.Body)
		if err != nil {
			return nil, err
		}
		err = s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.ClaimIdempotency(ctx, key); err != nil {
				return err
			}
			stored, err := tx.CreateSchedule(ctx, draft, key.Key)
			if err != nil {
				return err
			}
			if body, err = json.Marshal(renderSchedule(stored, s.now(), nil)); err != nil {
				return err
			}
			return tx.StoreIdempotency(ctx, key, stored.ID, http.StatusCreated, body)
		})
		return body, err
	})
}

// draftSchedule checks a request and makes the schedule that it orders.
func (s *Server) draftSchedule(ctx context.Context, who principal, r CreateScheduleRequest) (payment.Schedule, error) {
	o, errs := s.understand(r.OrderRequest, who.MaxAmount)
	timetable, faults := s.timetable(r)
	errs = append(errs, faults...)
	errs = append(errs, checkText("#/reference", r.Reference)...)
	errs = append(errs, checkMetadata(r.Metadata)...)
	if len(errs) > 0 {
		return payment.Schedule{}, failFields(errs)
	}
	if err := s.verify(ctx, &o); err != nil {
		return payment.Schedule{}, err
	}
	catchUp := time.Duration(r.CatchUp) * time.Second
	if catchUp == 0 {
		catchUp = defaultCatchUp
	}
	return payment.Schedule{
		ID: store.NewID("sch"), MerchantID: who.ID, Mode: who.Key.Mode, Timetable: timetable, CatchUp: catchUp, RequestID: telemetry.RequestID(ctx),
		Order: payment.Order{Asset: o.asset.Code, Amount: o.amount, Destinations: o.destinations, Allowed: o.allowed, Priority: r.Priority, MaxFee: o.maxFee,
			Reference: r.Reference, Metadata: r.Metadata},
	}, nil
}

// timetable reads when a schedule is due.
func (s *Server) timetable(r CreateScheduleRequest) (payment.Timetable, []FieldError) {
	fault := func(at, detail string) (payment.Timetable, []FieldError) {
		return payment.Timetable{}, []FieldError{{at, TimetableInvalid, detail}}
	}
	switch {
	case (r.At == nil) == (r.Cron == ""):
		return fault("#/at", "Give either at, to pay once, or cron.")
	case r.At != nil && (r.TimeZone != "" || r.EndsAt != nil):
		return fault("#/at", "time_zone and ends_at are for cron.")
	case r.At != nil && !r.At.After(s.now()):
		return fault("#/at", "Give a time in the future.")
	case r.At != nil && !r.At.Truncate(time.Second).Equal(*r.At):
		return fault("#/at", "Give whole seconds.")
	case r.At != nil:
		return payment.Timetable{At: r.At, TimeZone: "UTC"}, nil
	}
	t := payment.Timetable{Cron: r.Cron, TimeZone: r.TimeZone, EndsAt: r.EndsAt}
	if t.TimeZone == "" {
		t.TimeZone = "UTC"
	}
	if err := t.Check(); err != nil {
		return fault("#/cron", err.Error())
	}
	if _, ok := t.Next(s.now()); !ok {
		return fault("#/ends_at", "Nothing is due before the end.")
	}
	return t, nil
}

// SchedulePath names a schedule.
type SchedulePath struct {
	ID string `path:"id" maxLength:"64" example:"sch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var scheduleID = regexp.MustCompile(`^sch_[0-9a-f]{32}$`)

// mySchedule reads a schedule of the caller.
func (s *Server) mySchedule(ctx context.Context, id string) (payment.Schedule, error) {
	if !scheduleID.MatchString(id) {
		return payment.Schedule{}, fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("schedule_id", id))
	who := caller(ctx)
	return s.store.MerchantSchedule(ctx, who.ID, who.Key.Mode, id)
}

type scheduleOutput struct{ Body Schedule }

// showSchedule answers with a schedule as it is now.
func (s *Server) showSchedule(ctx context.Context, sch payment.Schedule) (*scheduleOutput, error) {
	now := s.now()
	skipped, err := s.store.SkippedRuns(ctx, sch.ID, now)
	if err != nil {
		return nil, err
	}
	return &scheduleOutput{renderSchedule(sch, now, skipped)}, nil
}

func (s *Server) getSchedule(ctx context.Context, in *SchedulePath) (*scheduleOutput, error) {
	sch, err := s.mySchedule(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.showSchedule(ctx, sch)
}

// changeSchedule changes a schedule of the caller that is not over: decide does
// it and says which status results.
func (s *Server) changeSchedule(ctx context.Context, id, act string, decide func(context.Context, *store.Tx, payment.Schedule) (payment.ScheduleStatus, error)) (*scheduleOutput, error) {
	if _, err := s.mySchedule(ctx, id); err != nil {
		return nil, err
	}
	var changed payment.Schedule
	err := s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockSchedule(ctx, id)
		if err != nil {
			return err
		}
		if before.Status.Over() {
			changed = before
			if act == "cancel" && before.Status == payment.ScheduleCanceled {
				return nil
			}
			return fail(ScheduleOver, "")
		}
		status, err := decide(ctx, tx, before)
		if err != nil {
			return err
		}
		if changed, err = tx.SetScheduleStatus(ctx, id, status); err != nil {
			return err
		}
		return tx.Audit(ctx, store.AuditEntry{Actor: caller(ctx).actor(), Action: "schedule." + act, ObjectID: id, RequestID: telemetry.RequestID(ctx)})
	})
	if err != nil {
		return nil, err
	}
	return s.showSchedule(ctx, changed)
}

// ResumeScheduleRequest says what becomes of what fell due meanwhile.
type ResumeScheduleRequest struct {
	Missed string `json:"missed,omitempty" enum:"skip,pay" default:"skip" doc:"What fell due while the schedule was paused is skipped, or paid now"`
}

type resumeScheduleInput struct {
	SchedulePath
	Body *ResumeScheduleRequest
}

func (s *Server) resumeSchedule(ctx context.Context, in *resumeScheduleInput) (*scheduleOutput, error) {
	pay := in.Body != nil && in.Body.Missed == "pay"
	return s.changeSchedule(ctx, in.ID, "resume", func(ctx context.Context, tx *store.Tx, sch payment.Schedule) (payment.ScheduleStatus, error) {
		if sch.Status == payment.ScheduleActive {
			return sch.Status, nil
		}
		if pay {
			return payment.ScheduleActive, tx.DecideRuns(ctx, sch.ID, payment.RunDue)
		}
		if err := tx.DecideRuns(ctx, sch.ID, payment.RunSkipped); err != nil {
			return "", err
		}
		sch.Status = payment.ScheduleActive
		return afterSkip(ctx, tx, sch)
	})
}

// SkipRunRequest names a due time.
type SkipRunRequest struct {
	DueAt *time.Time `json:"due_at,omitempty" doc:"A due time to come; default: the next one"`
}

type skipRunInput struct {
	SchedulePath
	Body *SkipRunRequest
}

func (s *Server) skipRun(ctx context.Context, in *skipRunInput) (*scheduleOutput, error) {
	return s.changeSchedule(ctx, in.ID, "skip", func(ctx context.Context, tx *store.Tx, sch payment.Schedule) (payment.ScheduleStatus, error) {
		due, err := s.toSkip(ctx, tx, sch, in.Body)
		if err != nil {
			return "", err
		}
		run, err := tx.ScheduleRun(ctx, sch.ID, due)
		switch {
		case err == nil && run.Status == payment.RunSkipped:
			return sch.Status, nil
		case err == nil:
			return "", fail(Conflict, "It fell due meanwhile.")
		case !errors.Is(err, store.ErrNotFound):
			return "", err
		}
		if _, err := tx.SaveRun(ctx, payment.Run{ScheduleID: sch.ID, DueAt: due, Status: payment.RunSkipped}); err != nil {
			return "", err
		}
		return afterSkip(ctx, tx, sch)
	})
}

// toSkip is the due time that a request names, or the next one.
func (s *Server) toSkip(ctx context.Context, tx *store.Tx, sch payment.Schedule, r *SkipRunRequest) (time.Time, error) {
	now := s.now()
	if r != nil && r.DueAt != nil {
		if due := r.DueAt.UTC(); due.After(now) && sch.Timetable.Has(due) {
			return due, nil
		}
		return time.Time{}, failFields([]FieldError{{"#/due_at", TimetableInvalid, "Give a due time of the schedule that is to come."}})
	}
	skipped, err := tx.SkippedRuns(ctx, sch.ID, now)
	if err != nil {
		return time.Time{}, err
	}
	due, ok := nextDue(sch, now, skipped)
	if !ok {
		return time.Time{}, fail(ScheduleOver, "It has no due time left.")
	}
	return due, nil
}

// afterSkip is the status of a schedule of which a due time was left out: one
// that pays once is over.
func afterSkip(ctx context.Context, tx *store.Tx, sch payment.Schedule) (payment.ScheduleStatus, error) {
	if sch.Timetable.At == nil {
		return sch.Status, nil
	}
	run, err := tx.ScheduleRun(ctx, sch.ID, *sch.Timetable.At)
	if errors.Is(err, store.ErrNotFound) {
		return sch.Status, nil
	}
	if err == nil && run.Status.Final() {
		return payment.ScheduleCompleted, nil
	}
	return sch.Status, err
}

// ScheduleFilters are what a cursor is bound to.
type ScheduleFilters struct {
	Status []string `query:"status" maxItems:"4" doc:"One or several, separated by commas" enum:"active,paused,completed,canceled" json:"s"`
}

type listSchedulesInput struct {
	ScheduleFilters
	PageQuery
}

// ScheduleList is a page of schedules.
type ScheduleList struct {
	Page
	Data []Schedule `json:"data"`
}

type listSchedulesOutput struct{ Body ScheduleList }

func (s *Server) listSchedules(ctx context.Context, in *listSchedulesInput) (*listSchedulesOutput, error) {
	l := list[store.Cursor]{"schedules", in.ScheduleFilters}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	who := caller(ctx)
	schedules, more, err := s.store.ListSchedules(ctx, store.ScheduleFilter{MerchantID: who.ID, Mode: who.Key.Mode, Statuses: in.Status}, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := ScheduleList{Data: make([]Schedule, len(schedules))}
	out.Page = pageOf(l, schedules, more, func(s payment.Schedule) store.Cursor { return store.Cursor{CreatedAt: s.CreatedAt, ID: s.ID} })
	for n, sch := range schedules {
		shown, err := s.showSchedule(ctx, sch)
		if err != nil {
			return nil, err
		}
		out.Data[n] = shown.Body
	}
	return &listSchedulesOutput{out}, nil
}

type listRunsInput struct {
	SchedulePath
	PageQuery
}

// ScheduleRunList is a page of runs.
type ScheduleRunList struct {
	Page
	Data []payment.RunResource `json:"data"`
}

type listRunsOutput struct{ Body ScheduleRunList }

func (s *Server) listRuns(ctx context.Context, in *listRunsInput) (*listRunsOutput, error) {
	if _, err := s.mySchedule(ctx, in.ID); err != nil {
		return nil, err
	}
	l := list[time.Time]{"schedule_runs", in.ID}
	before, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	runs, more, err := s.store.ScheduleRuns(ctx, in.ID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := ScheduleRunList{Data: make([]payment.RunResource, len(runs))}
	out.Page = pageOf(l, runs, more, func(r payment.Run) time.Time { return r.DueAt })
	for n, r := range runs {
		out.Data[n] = r.Resource()
	}
	return &listRunsOutput{out}, nil
}

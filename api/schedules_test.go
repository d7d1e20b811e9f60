package api_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// schedule orders payments at times to come.
func (b *bench) schedule(changes ...func(map[string]any)) answer {
	b.t.Helper()
	return b.do("POST", "/v1/schedules", order(changes...), idempotent(store.NewID("key"))).want(201)
}

// held notes that a due time passed while the schedule was paused, as its workflow does.
func (b *bench) held(id string, dueAt time.Time) {
	b.t.Helper()
	if _, err := b.sql.Exec(b.t.Context(), "INSERT INTO schedule_runs (schedule_id, due_at, status) VALUES ($1, $2, 'held')", id, dueAt); err != nil {
		b.t.Fatal(err)
	}
}

// runs are the statuses of a schedule's runs, the latest first.
func (b *bench) runs(id string) (statuses []string) {
	b.t.Helper()
	for _, r := range b.do("GET", "/v1/schedules/"+id+"/runs", nil).want(200).data() {
		statuses = append(statuses, r["status"].(string))
	}
	return statuses
}

func TestScheduleShowsWhatWasOrdered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.rows()
	created := b.schedule(set("cron", "0 9 1 * *"), set("time_zone", "Europe/Berlin"), set("ends_at", "2099-01-01T00:00:00Z"), set("catch_up_seconds", 3600),
		set("reference", "rent"), set("metadata", map[string]string{"flat": "4"}), set("max_fee", "0.5"), set("priority", "fast"))
	for name, want := range map[string]any{"object": "schedule", "status": "active", "mode": "live", "cron": "0 9 1 * *", "time_zone": "Europe/Berlin",
		"ends_at": "2099-01-01T00:00:00Z", "catch_up_seconds": 3600.0, "amount": "12.500000", "reference": "rent", "max_fee": "0.500000", "priority": "fast"} {
		if created.json[name] != want {
			t.Errorf("%s is %v, want %v", name, created.json[name], want)
		}
	}
	next, err := time.Parse(time.RFC3339, created.json["next_due_at"].(string))
	if berlin := next.In(zone(t, "Europe/Berlin")); err != nil || berlin.Day() != 1 || berlin.Hour() != 9 || !next.After(time.Now()) {
		t.Errorf("next due at %v", next)
	}
	shown := b.do("GET", "/v1/schedules/"+created.id(), nil).want(200)
	listed := b.do("GET", "/v1/schedules?status=active,paused", nil).want(200).data()
	if strings.TrimSpace(string(shown.raw)) != string(created.raw) || len(listed) != 1 || listed[0]["id"] != created.id() {
		t.Errorf("created %s, shown %s, listed %v", created.raw, shown.raw, listed)
	}
	if after := b.rows(); after["payment_intents"] != before["payment_intents"] || after["ledger_transfers"] != before["ledger_transfers"] {
		t.Error("a schedule holds no funds before it is due")
	}
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestScheduleRefusesWhatCannotBeFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.rows()
	for name, c := range map[string]struct {
		change  func(map[string]any)
		code    api.Code
		pointer string
	}{
		"no time":         {func(map[string]any) {}, api.TimetableInvalid, "#/at"},
		"both":            {func(o map[string]any) { o["at"], o["cron"] = "2099-01-01T00:00:00Z", "0 9 1 * *" }, api.TimetableInvalid, "#/at"},
		"the past":        {set("at", "2020-01-01T00:00:00Z"), api.TimetableInvalid, "#/at"},
		"part of seconds": {set("at", "2099-01-01T00:00:00.5Z"), api.TimetableInvalid, "#/at"},
		"zone with at":    {func(o map[string]any) { o["at"], o["time_zone"] = "2099-01-01T00:00:00Z", "UTC" }, api.TimetableInvalid, "#/at"},
		"six fields":      {set("cron", "0 0 9 1 * *"), api.TimetableInvalid, "#/cron"},
		"no zone":         {func(o map[string]any) { o["cron"], o["time_zone"] = "0 9 1 * *", "Mars/Olympus" }, api.TimetableInvalid, "#/cron"},
		"ended":           {func(o map[string]any) { o["cron"], o["ends_at"] = "0 9 1 * *", "2020-01-01T00:00:00Z" }, api.TimetableInvalid, "#/ends_at"},
		"amount":          {func(o map[string]any) { o["cron"], o["amount"] = "0 9 1 * *", "0" }, api.AmountNotPositive, "#/amount"},
	} {
		t.Log(name)
		b.do("POST", "/v1/schedules", order(c.change), idempotent(store.NewID("key"))).refused(422, c.code, c.pointer)
	}
	b.do("POST", "/v1/schedules", order(set("cron", "0 9 1 * *"))).refused(400, api.IdempotencyKeyMissing, "")
	if after := b.rows(); after["schedules"] != before["schedules"] || after["idempotency_keys"] != before["idempotency_keys"] {
		t.Errorf("refusals left %v, before there was %v", after, before)
	}
}

func TestConcurrentRequestsMakeOneSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := order(set("cron", "0 9 1 * *"))
	answers := make([]answer, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i] = b.do("POST", "/v1/schedules", request, idempotent("rent")) })
	}
	wg.Wait()
	replayed := 0
	for _, a := range answers {
		if string(a.want(201).raw) != string(answers[0].raw) {
			t.Errorf("%s and %s", a.raw, answers[0].raw)
		}
		if a.Header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != len(answers)-1 {
		t.Errorf("%d answers are replayed", replayed)
	}
	a := b.do("POST", "/v1/schedules", order(set("cron", "0 9 2 * *")), idempotent("rent"))
	a.refused(422, api.IdempotencyMismatch, "")
	if a.json["existing_id"] != answers[0].id() {
		t.Errorf("existing_id is %v", a.json["existing_id"])
	}
}

func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(set("cron", "0 9 1 * *")).id()
	at := "/v1/schedules/" + id
	for range 2 {
		if s := b.do("POST", at+"/pause", nil).want(200).json["status"]; s != "paused" {
			t.Errorf("paused is %v", s)
		}
	}
	b.held(id, time.Date(2026, 9, 1, 9, 0, 0, 0, time.UTC))
	if s := b.do("POST", at+"/resume", nil).want(200).json["status"]; s != "active" {
		t.Errorf("resumed is %v", s)
	}
	if got := b.runs(id); !slices.Equal(got, []string{"skipped"}) {
		t.Errorf("runs are %v", got)
	}
	b.do("POST", at+"/pause", nil).want(200)
	b.held(id, time.Date(2026, 10, 1, 9, 0, 0, 0, time.UTC))
	b.do("POST", at+"/resume", `{"missed":"pay"}`).want(200)
	if got := b.runs(id); !slices.Equal(got, []string{"due", "skipped"}) {
		t.Errorf("runs are %v", got)
	}
	b.do("POST", at+"/resume", `{"missed":"everything"}`).refused(422, api.FieldInvalid, "#/missed")
}

func TestSkipLeavesOneDueTimeOut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	created := b.schedule(set("cron", "0 9 1 * *"))
	at := "/v1/schedules/" + created.id()
	next := func(a answer) time.Time {
		due, err := time.Parse(time.RFC3339, a.json["next_due_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return due
	}
	first := next(created)
	second := next(b.do("POST", at+"/skip", nil).want(200))
	if !second.Equal(first.AddDate(0, 1, 0)) {
		t.Errorf("after %v comes %v", first, second)
	}
	for range 2 {
		if third := next(b.do("POST", at+"/skip", fmt.Sprintf(`{"due_at":%q}`, second.Format(time.RFC3339))).want(200)); !third.Equal(second.AddDate(0, 1, 0)) {
			t.Errorf("after %v comes %v", second, third)
		}
	}
	b.do("POST", at+"/skip", fmt.Sprintf(`{"due_at":%q}`, second.Add(time.Hour).Format(time.RFC3339))).refused(422, api.TimetableInvalid, "#/due_at")
	b.do("POST", at+"/skip", fmt.Sprintf(`{"due_at":%q}`, first.AddDate(-1, 0, 0).Format(time.RFC3339))).refused(422, api.TimetableInvalid, "#/due_at")
	if got := b.runs(created.id()); !slices.Equal(got, []string{"skipped", "skipped"}) {
		t.Errorf("runs are %v", got)
	}
	once := b.schedule(set("at", "2099-01-01T00:00:00Z")).id()
	if s := b.do("POST", "/v1/schedules/"+once+"/skip", nil).want(200).json["status"]; s != "completed" {
		t.Errorf("a schedule whose only due time is skipped is %v", s)
	}
	b.do("POST", "/v1/schedules/"+once+"/skip", nil).refused(409, api.ScheduleOver, "")
}

func TestCancelEndsASchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.schedule(set("cron", "0 9 1 * *")).id()
	at := "/v1/schedules/" + id
	b.held(id, time.Date(2026, 10, 1, 9, 0, 0, 0, time.UTC))
	for range 2 {
		a := b.do("POST", at+"/cancel", nil).want(200)
		if a.json["status"] != "canceled" || a.json["next_due_at"] != nil {
			t.Errorf("canceled: %s", a.raw)
		}
	}
	for _, act := range []string{"pause", "resume", "skip"} {
		b.do("POST", at+"/"+act, nil).refused(409, api.ScheduleOver, "")
	}
	if got := b.runs(id); !slices.Equal(got, []string{"skipped"}) {
		t.Errorf("runs are %v", got)
	}
	if log, err := b.store.AuditLog(t.Context(), id); err != nil || len(log) != 1 || log[0].Action != "schedule.cancel" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
	if _, err := b.sql.Exec(t.Context(), "UPDATE schedules SET status = $1 WHERE id = $2", payment.ScheduleActive, id); err == nil {
		t.Error("Postgres lets a canceled schedule live again")
	}
}

package payment_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/payment"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNextDueTime(t *testing.T) {
	t.Parallel()
	end := at(t, "2026-12-01T09:00:00Z")
	once := at(t, "2026-12-24T18:00:00+01:00")
	for name, c := range map[string]struct {
		timetable   payment.Timetable
		after, want string // "": none
	}{
		"monthly":                        {payment.Timetable{Cron: "0 9 1 * *", TimeZone: "UTC"}, "2026-11-21T16:00:00Z", "2026-12-01T09:00:00Z"},
		"behind a due time":              {payment.Timetable{Cron: "0 9 1 * *", TimeZone: "UTC"}, "2026-12-01T09:00:00Z", "2027-01-01T09:00:00Z"},
		"the 31st exists in some months": {payment.Timetable{Cron: "0 9 31 * *", TimeZone: "UTC"}, "2026-11-21T16:00:00Z", "2026-12-31T09:00:00Z"},
		"in a zone, summer":              {payment.Timetable{Cron: "30 9 * * *", TimeZone: "Europe/Berlin"}, "2026-07-01T00:00:00Z", "2026-07-01T07:30:00Z"},
		"in a zone, winter":              {payment.Timetable{Cron: "30 9 * * *", TimeZone: "Europe/Berlin"}, "2026-12-01T00:00:00Z", "2026-12-01T08:30:00Z"},
		"the hour that is left out":      {payment.Timetable{Cron: "30 2 * * *", TimeZone: "Europe/Berlin"}, "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
		"the hour that is repeated":      {payment.Timetable{Cron: "30 2 * * *", TimeZone: "Europe/Berlin"}, "2028-10-29T00:30:00Z", "2028-10-30T01:30:00Z"},
		"each hour, in that night":       {payment.Timetable{Cron: "30 * * * *", TimeZone: "Europe/Berlin"}, "2028-10-29T00:30:00Z", "2028-10-29T02:30:00Z"},
		"weekdays":                       {payment.Timetable{Cron: "0 9 * * 1-5", TimeZone: "UTC"}, "2026-11-20T10:00:00Z", "2026-11-23T09:00:00Z"},
		"the last one":                   {payment.Timetable{Cron: "0 9 1 * *", TimeZone: "UTC", EndsAt: &end}, "2026-11-21T16:00:00Z", "2026-12-01T09:00:00Z"},
		"behind the end":                 {payment.Timetable{Cron: "0 9 1 * *", TimeZone: "UTC", EndsAt: &end}, "2026-12-01T09:00:00Z", ""},
		"once":                           {payment.Timetable{At: &once}, "2026-11-21T16:00:00Z", "2026-12-24T17:00:00Z"},
		"once, gone":                     {payment.Timetable{At: &once}, "2026-12-24T17:00:00Z", ""},
	} {
		next, ok := c.timetable.Next(at(t, c.after))
		if ok != (c.want != "") || ok && !next.Equal(at(t, c.want)) {
			t.Errorf("%s: next is %v, %v, want %q", name, next, ok, c.want)
		}
		if ok && !c.timetable.Has(next) {
			t.Errorf("%s: %v is no due time", name, next)
		}
		if ok && c.timetable.Has(next.Add(time.Second)) {
			t.Errorf("%s: a second later is a due time", name)
		}
	}
}

// The clocks of Berlin go back on 2028-10-29 at 01:00 UTC. What Temporal strikes
// in that night was recorded (TestTemporalAgreesOnDueTimes).
func TestEveryStrikeIsOfOneDueTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ cron, struck, want string }{
		{"30 2 * * *", "2028-10-29T01:30:00Z", "2028-10-29T00:30:00Z"}, // an hour late
		{"30 1 * * 0", "2028-10-28T23:30:00Z", "2028-10-28T23:30:00Z"},
		{"30 1 * * 0", "2028-10-29T00:30:00Z", "2028-10-28T23:30:00Z"}, // once too often
		{"0 9 1 * *", "2028-11-01T08:00:00Z", "2028-11-01T08:00:00Z"},
		{"0 9 1 * *", "2028-11-02T08:00:00Z", ""},
	} {
		due, ok := payment.Timetable{Cron: c.cron, TimeZone: "Europe/Berlin"}.Due(at(t, c.struck))
		if ok != (c.want != "") || ok && !due.Equal(at(t, c.want)) {
			t.Errorf("%q struck at %s: due is %v, %v, want %q", c.cron, c.struck, due, ok, c.want)
		}
	}
}

func TestUnusableTimetables(t *testing.T) {
	t.Parallel()
	for cron, why := range map[string]string{
		"":                  "five fields",
		"0 9 1 *":           "five fields",
		"0 0 9 1 * *":       "five fields",
		"@monthly":          "five fields",
		"CRON_TZ=x 0 9 1 *": "five fields",
		"0 9 ? * *":         "five fields",
		"60 9 1 * *":        "60",
		"0 9 1 * 1":         "leave one of them",
		"0 9 30 2 *":        "never due",
		"x 9 1 * *":         "x",
	} {
		err := payment.Timetable{Cron: cron, TimeZone: "UTC"}.Check()
		if !errors.Is(err, payment.ErrTimetable) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want it to say %q", cron, err, why)
		}
	}
	for _, zone := range []string{"Mars/Olympus", "Local", "../etc/passwd"} {
		if err := (payment.Timetable{Cron: "0 9 1 * *", TimeZone: zone}).Check(); !errors.Is(err, payment.ErrTimetable) || !strings.Contains(err.Error(), "IANA") {
			t.Errorf("zone %q: %v", zone, err)
		}
	}
}

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/workflows"
)

// schedule creates a schedule that pays amount on a chain.
func schedule(t *testing.T, d *deployment.Deployment, chain payment.Chain, amount string, fields map[string]any) string {
	t.Helper()
	request := map[string]any{"amount": amount, "asset": "USDC", "destinations": []any{map[string]any{"chain": chain, "address": payeeOn(t, chain)}}}
	for k, v := range fields {
		request[k] = v
	}
	return ask[api.Schedule](t, d, http.MethodPost, "/v1/schedules", request, http.StatusCreated).ID
}

// ask sends a request and decodes its answer.
func ask[T any](t *testing.T, d *deployment.Deployment, method, path string, in any, status int) (out T) {
	t.Helper()
	key := ""
	if method == http.MethodPost {
		key = t.Name() + time.Now().String()
	}
	a, err := d.Call(t.Context(), method, path, key, in)
	if err != nil || a.Status != status {
		t.Fatalf("%s %s: %v %d %s", method, path, err, a.Status, a.Body)
	}
	if err := json.Unmarshal(a.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func runs(t *testing.T, d *deployment.Deployment, id string) []payment.RunResource {
	t.Helper()
	return ask[api.ScheduleRunList](t, d, http.MethodGet, "/v1/schedules/"+id+"/runs?limit=100", nil, http.StatusOK).Data
}

// awaitRuns waits until n runs have a status, and returns their payments.
func awaitRuns(t *testing.T, d *deployment.Deployment, id string, n int, status payment.RunStatus) (intents []string) {
	t.Helper()
	eventually(t, func() bool {
		intents = nil
		have := 0
		for _, r := range runs(t, d, id) {
			if r.Status == status {
				have++
			}
			if r.IntentID != "" {
				intents = append(intents, r.IntentID)
			}
		}
		return have == n
	}, "schedule %s has not come to %d runs that are %s", id, n, status)
	return intents
}

// Schedules pay once at each due time, whether it is near or far, asked for
// twice, or decided after a pause.
func TestSchedulesPayEachDueTimeOnce(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	near := schedule(t, d, "solana", "1.01", map[string]any{"at": time.Now().Add(3 * time.Second).UTC().Truncate(time.Second)})
	far := schedule(t, d, "ethereum", "1.02", map[string]any{"at": time.Now().Add(15 * time.Second).UTC().Truncate(time.Second)})
	monthly := schedule(t, d, "ethereum", "1.03", map[string]any{"cron": "0 9 1 * *", "time_zone": "Europe/Berlin", "reference": "rent"})

	// Temporal was away for three months, and comes back twice.
	handle := d.Temporal.ScheduleClient().GetHandle(t.Context(), monthly)
	missed := client.ScheduleBackfill{Start: time.Date(2026, 7, 15, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC), Overlap: enums.SCHEDULE_OVERLAP_POLICY_ALLOW_ALL}
	backfill := func() {
		eventually(t, func() bool {
			return handle.Backfill(t.Context(), client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{missed}}) == nil
		}, "Temporal does not know %s", monthly)
	}
	backfill()
	awaitRuns(t, d, monthly, 3, payment.RunCreated)
	backfill()

	// A due time of a paused schedule waits for the merchant's decision, also if asked for again.
	ask[api.Schedule](t, d, http.MethodPost, "/v1/schedules/"+monthly+"/pause", nil, http.StatusOK)
	missed.Start, missed.End = time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)
	backfill()
	awaitRuns(t, d, monthly, 1, payment.RunHeld)
	ask[api.Schedule](t, d, http.MethodPost, "/v1/schedules/"+monthly+"/resume", map[string]any{"missed": "pay"}, http.StatusOK)
	ids := awaitRuns(t, d, monthly, 4, payment.RunCreated)

	for _, once := range []string{near, far} {
		ids = append(ids, awaitRuns(t, d, once, 1, payment.RunCreated)...)
		if s := ask[api.Schedule](t, d, http.MethodGet, "/v1/schedules/"+once, nil, http.StatusOK); s.Status != payment.ScheduleCompleted || s.NextDueAt != nil {
			t.Errorf("%s paid, and is %s, next due %v", once, s.Status, s.NextDueAt)
		}
	}
	proven(t, d, ids)

	// What is over leaves nothing behind in Temporal.
	ask[api.Schedule](t, d, http.MethodPost, "/v1/schedules/"+monthly+"/cancel", nil, http.StatusOK)
	for _, id := range []string{near, far, monthly} {
		eventually(t, func() bool {
			_, err := d.Temporal.ScheduleClient().GetHandle(t.Context(), id).Describe(t.Context())
			return err != nil
		}, "Temporal still has %s", id)
	}
	if n := len(runs(t, d, monthly)); n != 4 {
		t.Errorf("%d runs, want 4", n)
	}
}

// A due time that cannot be paid fails by itself, and the merchant is told.
func TestScheduleWithoutFunds(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{EventTypes: []string{"*"}, Settings: []string{"SETTLE_UPKEEP_EVERY=1s"}})
	id := schedule(t, d, "ethereum", "999999999", map[string]any{"at": time.Now().Add(3 * time.Second).UTC().Truncate(time.Second)})
	awaitRuns(t, d, id, 1, payment.RunFailed)
	if r := runs(t, d, id)[0]; r.Failure.Code != "insufficient_funds" || r.IntentID != "" {
		t.Errorf("%+v", r)
	}
	eventually(t, func() bool {
		a, err := d.Call(t.Context(), http.MethodGet, "/v1/events?type="+string(webhooks.RunFailed), "", nil)
		var list struct {
			Data []struct {
				Data struct{ Object payment.RunResource }
			}
		}
		return err == nil && json.Unmarshal(a.Body, &list) == nil && len(list.Data) == 1 && list.Data[0].Data.Object.ScheduleID == id
	}, "the log does not tell of the failure")
	d.BooksClose(t)
}

// Due times are computed in two places: by us, for what GET shows, and by
// Temporal, which pays at them. Also when the clocks change.
func TestTemporalAgreesOnDueTimes(t *testing.T) {
	t.Parallel()
	temporal := sandbox.Start(t).Temporal(t)
	starts := []time.Time{time.Now().Add(time.Hour), time.Date(2028, 3, 25, 12, 0, 0, 0, time.UTC), time.Date(2028, 10, 28, 12, 0, 0, 0, time.UTC)}
	crons := []string{"0 9 1 * *", "30 2 * * *", "30 1 * * 0", "*/17 3-5 * 3,10,11 *", "0 0 31 * *", "15 6 29 2 *", "0 12 * * 1-5", "59 23 */10 * *", "0 2 * * 0", "30 * * * *"}
	for _, zone := range []string{"UTC", "Europe/Berlin", "Asia/Kathmandu"} {
		for _, cron := range crons {
			for n, start := range starts {
				table := payment.Timetable{Cron: cron, TimeZone: zone}
				options := workflows.ScheduleOptions(payment.Schedule{ID: fmt.Sprint(t.Name(), zone, cron, n), Timetable: table, CatchUp: time.Minute}, "nobody")
				options.Paused, options.Spec.StartAt = true, start
				handle, err := temporal.ScheduleClient().Create(t.Context(), options)
				if err != nil {
					t.Fatalf("%s in %s: %v", cron, zone, err)
				}
				var described *client.ScheduleDescription
				eventually(t, func() bool { // Temporal asks the schedule's workflow, which takes its time under load
					described, err = handle.Describe(t.Context())
					return err == nil
				}, "%s in %s cannot be described", cron, zone)
				if err := handle.Delete(t.Context()); err != nil {
					t.Error(err)
				}
				var theirs, ours []time.Time // due times, each once
				for _, struck := range described.Info.NextActionTimes {
					due, ok := table.Due(struck)
					if !ok {
						t.Errorf("%q in %s: Temporal strikes at %v", cron, zone, struck)
					}
					theirs = append(theirs, due.UTC())
				}
				theirs = slices.CompactFunc(theirs, time.Time.Equal)
				for at, ok := table.Next(start); ok && len(ours) < len(theirs); at, ok = table.Next(at) {
					ours = append(ours, at.UTC())
				}
				if !slices.EqualFunc(ours, theirs, time.Time.Equal) {
					t.Errorf("%q in %s from %v: ours are %v, Temporal's %v", cron, zone, start, ours, theirs)
				}
				if len(described.Info.NextActionTimes) == 0 {
					t.Errorf("%q in %s: Temporal has no due time", cron, zone)
				}
			}
		}
	}
}

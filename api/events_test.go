package api_test

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

const eventLog = "/v1/events"

// logPage reads a page of the log behind a cursor.
func (b *bench) logPage(cursor, query string) (events []map[string]any, next string, more bool) {
	b.t.Helper()
	a := b.do("GET", eventLog+"?after="+cursor+"&"+query, nil).want(200)
	next, _ = a.json["next_cursor"].(string)
	if next == "" {
		b.t.Fatalf("no next_cursor: %s", a.raw)
	}
	return a.data(), next, a.json["has_more"].(bool)
}

// readLog reads the log from a cursor to its present end.
func (b *bench) readLog(cursor, query string) (events []map[string]any, next string) {
	b.t.Helper()
	for more := true; more; {
		var got []map[string]any
		got, cursor, more = b.logPage(cursor, query)
		events = append(events, got...)
	}
	return events, cursor
}

// steps names events as "intent/sequence".
func steps(events []map[string]any) []string {
	var out []string
	for _, e := range events {
		o := object(e)
		out = append(out, fmt.Sprintf("%v/%v", o["id"], o["sequence"]))
	}
	return out
}

// object is the snapshot that an event carries.
func object(event map[string]any) map[string]any {
	return event["data"].(map[string]any)["object"].(map[string]any)
}

// TestEventLogNeverSkipsALateCommit: a transaction that began first commits
// last. What committed meanwhile waits for it, and the order is the same for
// whoever reads before and after.
func TestEventLogNeverSkipsALateCommit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	early, late := b.create().id(), b.create().id()
	var seen []map[string]any
	var cursor string
	eventually(t, "the log shows what was created", func() bool {
		seen, cursor = b.readLog("", "limit=1")
		return len(seen) == 2
	})

	written, release := make(chan struct{}), make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error {
			before, err := tx.LockIntent(ctx, late)
			if err != nil {
				return err
			}
			after := before
			after.Status = payment.Routed
			if _, err = tx.SaveIntent(ctx, before, after); err != nil {
				return err
			}
			close(written)
			<-release
			return nil
		})
	})
	<-written
	storetest.Advance(t, b.store, early, payment.Routed, payment.ManualReview)
	if got, next := b.readLog(cursor, "limit=1"); len(got) != 0 || next != cursor {
		t.Errorf("the log shows %v although an older transaction runs", steps(got))
	}
	if a := b.do("GET", list+"/"+early+"/events", nil).want(200); len(a.data()) != 3 {
		t.Errorf("the payment's own list waits: %s", a.raw)
	}
	close(release)
	done.Wait()

	var rest []map[string]any
	eventually(t, "the log shows the late commit", func() bool {
		rest, _ = b.readLog(cursor, "limit=1")
		return len(rest) == 3
	})
	if got, want := steps(rest), []string{late + "/2", early + "/2", early + "/3"}; !slices.Equal(got, want) {
		t.Errorf("behind the cursor: %v, want %v", got, want)
	}
	for _, limit := range []string{"limit=2", "limit=100"} {
		if all, _ := b.readLog("", limit); !reflect.DeepEqual(all, slices.Concat(seen, rest)) {
			t.Errorf("%s: another order: %v", limit, steps(all))
		}
	}
}

func TestEventLogFiltersAndCursors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.create().id(), b.create().id()
	storetest.Settle(t, b.store, second)
	storetest.Advance(t, b.store, first, payment.Routed)
	for query, want := range map[string][]string{
		"":                            {first + "/1", second + "/1", second + "/2", second + "/3", second + "/4", first + "/2"},
		"payment_intent=" + first:     {first + "/1", first + "/2"},
		"payment_intent=pi_nobody":    nil,
		"type=payment_intent.settled": {second + "/4"},
		"type=payment_intent.settled,payment_intent.created": {first + "/1", second + "/1", second + "/4"},
		"type=payment_intent.routed&payment_intent=" + first: {first + "/2"},
		"type=payment_intent.failed":                         nil,
	} {
		eventually(t, query, func() bool {
			got, _ := b.readLog("", query+"&limit=2")
			return slices.Equal(steps(got), want)
		})
	}
	_, cursor, _ := b.logPage("", "limit=1")
	for _, query := range []string{"after=nonsense", "after=" + cursor + "&type=payment_intent.settled", "after=" + cursor + "&payment_intent=" + first, "after=" + cursor[:len(cursor)-5]} {
		b.do("GET", eventLog+"?"+query, nil).refused(400, api.CursorInvalid, "query:after")
	}
	b.do("GET", list+"?cursor="+cursor, nil).refused(400, api.CursorInvalid, "query:cursor")
	b.do("GET", eventLog+"?type=payment_intent.paid", nil).refused(400, api.ParameterInvalid, "query:type[0]")
	b.do("GET", eventLog+"?limit=101", nil).refused(400, api.ParameterInvalid, "query:limit")
}

func TestOneEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	event := b.do("GET", list+"/"+id+"/events", nil).want(200).data()[0]
	path := eventLog + "/" + event["id"].(string)
	if got := b.do("GET", path, nil).want(200); !reflect.DeepEqual(got.json, event) {
		t.Errorf("GET %s, in the list %v", got.raw, event)
	}
	stranger := b.issue(storetest.Merchant(t, b.store, 0).ID, payment.Live)
	for _, key := range []string{stranger, b.issue(b.merchant.ID, payment.Test)} {
		b.do("GET", path, nil, b.as(key)).refused(404, api.NotFound, "")
		if a := b.do("GET", eventLog, nil, b.as(key)).want(200); len(a.data()) != 0 {
			t.Errorf("a stranger's log: %s", a.raw)
		}
	}
	b.do("GET", eventLog+"/evt_none", nil).refused(404, api.NotFound, "")
	b.do("GET", path, nil, b.as(b.issue(b.merchant.ID, payment.Live, api.WebhooksRead))).refused(403, api.ScopeMissing, "")
}

// TestCatchUpWhileOthersWrite: a merchant who was away reads the log by pages from
// the cursor they had kept, while payments go on. In the end they have every event
// once, and the state that GET shows of every payment.
func TestCatchUpWhileOthersWrite(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const writers, each = 4, 8
	b.create()
	var cursor string
	eventually(t, "the log begins", func() bool {
		var got []map[string]any
		got, cursor = b.readLog("", "")
		return len(got) == 1
	})
	var away []string // what happened meanwhile
	for range 6 {
		away = append(away, b.create().id())
	}
	ids := make([][]string, writers)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range each {
				id := b.create().id()
				ids[w] = append(ids[w], id)
				switch n % 4 {
				case 0:
					storetest.Settle(t, b.store, id)
				case 1:
					storetest.Advance(t, b.store, id, payment.ManualReview, payment.Routed, payment.ManualReview)
				case 2:
					storetest.Advance(t, b.store, id, payment.Routed)
					storetest.End(t, b.store, id, payment.Expired)
				}
				if n < len(away)/writers+1 && w+n*writers < len(away) {
					storetest.Settle(t, b.store, away[w+n*writers])
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { writing.Wait(); close(finished) }()

	state := map[string]map[string]any{} // what the merchant knows
	apply := func(events []map[string]any) {
		for _, e := range events {
			o := object(e)
			last := 0.0
			if known := state[o["id"].(string)]; known != nil {
				last = known["sequence"].(float64)
			}
			if o["sequence"] != last+1 {
				t.Fatalf("%v: sequence %v after %v", o["id"], o["sequence"], last)
			}
			state[o["id"].(string)] = o
		}
	}
	for writing := true; writing; {
		select {
		case <-finished:
			writing = false
		default:
		}
		var got []map[string]any
		got, cursor, _ = b.logPage(cursor, "limit=3")
		apply(got)
	}
	all := slices.Concat(append(ids, away)...)
	shown := map[string]map[string]any{}
	for _, id := range all {
		shown[id] = b.do("GET", list+"/"+id, nil).want(200).json
	}
	eventually(t, "the merchant knows what GET shows", func() bool {
		var got []map[string]any
		got, cursor = b.readLog(cursor, "limit=3")
		apply(got)
		return len(state) == len(all) && reflect.DeepEqual(state, shown)
	})
}

// TestEventsGiveWhatGETShows: for payments that went any way through the
// states, and all ways together through every state, the last event carries
// exactly what GET shows, and the events before it tell the way.
func TestEventsGiveWhatGETShows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reached := map[any]bool{}
	check := func(id string) {
		t.Helper()
		shown := b.do("GET", list+"/"+id, nil).want(200)
		events := b.do("GET", list+"/"+id+"/events?limit=100", nil).want(200).data()
		var status any
		for n, e := range events {
			o := object(e)
			previous := e["data"].(map[string]any)["previous_status"]
			want := status
			kind := fmt.Sprintf("payment_intent.%v", o["status"])
			if o["status"] == status {
				want, kind = nil, string(payment.IntentUpdated)
			}
			if o["sequence"] != float64(n+1) || previous != want || e["type"] != kind || e["timestamp"] != o["updated_at"] {
				t.Fatalf("event %d after %v: %v", n+1, status, e)
			}
			status = o["status"]
			reached[status] = true
		}
		if last := object(events[len(events)-1]); !reflect.DeepEqual(last, shown.json) {
			t.Fatalf("GET %s\nlast event %v", shown.raw, last)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		id := b.create(
			set("amount", rapid.SampledFrom([]string{"0.000001", "1.5"}).Draw(rt, "amount")),
			set("metadata", rapid.MapOfN(rapid.StringMatching(`[a-z]{1,5}`), rapid.StringMatching(`[ -~]{0,9}`), 0, 3).Draw(rt, "metadata")),
			set("reference", rapid.StringMatching(`[ -~é]{0,9}`).Draw(rt, "reference")),
		).id()
		if rapid.Bool().Draw(rt, "settles") {
			storetest.Settle(t, b.store, id)
			check(id)
			return
		}
		i := walk(rt, b, id)
		if ends := slices.DeleteFunc(i.Status.Next(), func(s payment.Status) bool { return !s.Terminal() || s == payment.Settled }); rapid.Bool().Draw(rt, "ends") {
			storetest.End(t, b.store, id, rapid.SampledFrom(ends).Draw(rt, "end"))
		}
		check(id)
	})
	if len(reached) != len(payment.Statuses()) {
		t.Errorf("reached only %v", slices.Collect(maps.Keys(reached)))
	}
}

// walk takes an intent through open states at random.
func walk(rt *rapid.T, b *bench, id string) payment.Intent {
	var i payment.Intent
	for range rapid.IntRange(1, 8).Draw(rt, "steps") {
		storetest.Tx(b.t, b.store, func(ctx context.Context, tx *store.Tx) error {
			before, err := tx.LockIntent(ctx, id)
			if err != nil {
				return err
			}
			after := before
			next := slices.DeleteFunc(append(before.Status.Next(), before.Status), payment.Status.Terminal)
			after.Status = rapid.SampledFrom(next).Draw(rt, "status")
			after.Substatus = rapid.SampledFrom([]payment.Substatus{"", payment.Reserved, payment.FeeBumped}).Draw(rt, "substatus")
			after.ReviewReason, after.ReviewDetail = "", ""
			if after.Status == payment.ManualReview {
				after.ReviewReason, after.ReviewDetail = payment.ReviewPolicy, rapid.StringMatching(`[ -~]{0,9}`).Draw(rt, "detail")
			}
			after.Chain, after.Address = storetest.Chain, storetest.Address
			after.TxHash = rapid.SampledFrom([]string{"", "0xabc"}).Draw(rt, "hash")
			i, err = tx.SaveIntent(ctx, before, after)
			return err
		})
	}
	return i
}

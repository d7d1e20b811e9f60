package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// ids walks a list to its end.
func (b *bench) ids(query string) []string {
	b.t.Helper()
	var ids []string
	for cursor := ""; ; {
		a := b.do("GET", list+"?"+query+"&cursor="+cursor, nil).want(200)
		for _, o := range a.data() {
			ids = append(ids, o["id"].(string))
		}
		cursor, _ = a.json["next_cursor"].(string)
		if more := a.json["has_more"].(bool); more != (cursor != "") {
			b.t.Fatalf("has_more %v with cursor %q", more, cursor)
		} else if !more {
			return ids
		}
	}
}

func TestListPagesNewestFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var want []string
	for range 7 {
		want = append(want, b.create().id())
	}
	slices.Reverse(want)
	for _, limit := range []int{1, 3, 7, 100} {
		if got := b.ids(fmt.Sprint("limit=", limit)); !slices.Equal(got, want) {
			t.Errorf("limit %d: %v, want %v", limit, got, want)
		}
	}
	// What is new does not disturb a walk that has begun.
	first := b.do("GET", list+"?limit=3", nil).want(200)
	b.create()
	second := b.do("GET", list+"?limit=3&cursor="+first.json["next_cursor"].(string), nil).want(200)
	if second.data()[0]["id"] != want[3] {
		t.Errorf("the second page begins with %v, want %s", second.data()[0]["id"], want[3])
	}
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain := b.create()
	referred := b.create(set("reference", "inv 7&x")).id()
	canceled := b.create().id()
	b.do("POST", list+"/"+canceled+"/cancel", nil).want(200)
	routed := b.create().id()
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockIntent(ctx, routed)
		after := before
		after.Status, after.Chain = payment.Routed, "solana"
		if err == nil {
			_, err = tx.SaveIntent(ctx, before, after)
		}
		return err
	})
	at := plain.json["created_at"].(string)
	tests := []struct {
		query string
		want  []string
	}{
		{"reference=" + url.QueryEscape("inv 7&x"), []string{referred}},
		{"reference=none", nil},
		{"status=canceled", []string{canceled}},
		{"status=canceled,routed", []string{routed, canceled}},
		{"chain=solana", []string{routed}},
		{"chain=" + url.QueryEscape("solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"), []string{routed}},
		{"chain=ethereum", nil},
		{"created_gte=" + at, []string{routed, canceled, referred, plain.id()}},
		{"created_lt=" + at, nil},
		{"created_gte=" + at + "&created_lt=" + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + "&status=created", []string{referred, plain.id()}},
	}
	for _, tt := range tests {
		if got := b.ids(tt.query + "&limit=1"); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.query, got, tt.want)
		}
	}
	b.do("GET", list+"?chain=tron", nil).refused(400, api.ParameterInvalid, "")
}

func TestCursorIsBoundToItsList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	b.create()
	cursor := b.do("GET", list+"?limit=1", nil).want(200).json["next_cursor"].(string)
	events := "/" + id + "/events"
	for _, path := range []string{
		list + "?status=created&cursor=" + cursor,
		list + events + "?cursor=" + cursor,
		list + "?cursor=nonsense",
		list + "?cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`{"v":2}`)),
		list + "?cursor=" + cursor[:len(cursor)-4],
	} {
		b.do("GET", path, nil).refused(400, api.CursorInvalid, "query:cursor")
	}
}

func TestEventsAreTheStoredBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create(set("metadata", map[string]string{"a": "<&>"})).id()
	storetest.Advance(t, b.store, id, payment.Routed, payment.ManualReview, payment.Routed)
	stored, err := b.store.IntentEvents(t.Context(), b.merchant.ID, payment.Live, id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	all := b.do("GET", list+"/"+id+"/events", nil).want(200)
	for _, e := range stored {
		if !bytes.Contains(all.raw, e.Body) {
			t.Errorf("event %d is not among the bytes: %s", e.Sequence, all.raw)
		}
	}
	var types []string
	for cursor := ""; ; {
		a := b.do("GET", list+"/"+id+"/events?limit=3&cursor="+cursor, nil).want(200)
		for _, e := range a.data() {
			types = append(types, strings.TrimPrefix(e["type"].(string), "payment_intent."))
		}
		if cursor, _ = a.json["next_cursor"].(string); cursor == "" {
			break
		}
	}
	if got := strings.Join(types, " "); got != "created routed manual_review routed" {
		t.Error(got)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.relay()
	id := b.create().id()
	a := b.do("POST", list+"/"+id+"/cancel", `{"reason":"order returned"}`).want(200)
	if a.json["status"] != "canceled" || a.at("balances_after", "available") != "1000.000000" || a.at("balances_after", "held") != "0.000000" {
		t.Errorf("canceled: %s", a.raw)
	}
	if a.at("failure", "code") != "canceled_by_merchant" || a.at("failure", "message") != "order returned" || a.json["sequence"] != float64(2) {
		t.Errorf("canceled: %s", a.raw)
	}
	eventually(t, "the workflow is told", func() bool { return len(b.temporal.signals()) > 0 })
	if s := b.temporal.signals(); s[0].Action != payment.CancelAction || s[0].Actor != "merchant:"+b.merchant.ID || s[0].Reason != "order returned" {
		t.Errorf("signals: %+v", s)
	}
	log, err := b.store.AuditLog(t.Context(), id)
	if err != nil || len(log) != 1 || log[0].Action != "payment_intent.cancel" || log[0].Actor != "key:"+b.key[8:16] || log[0].Reason != "order returned" {
		t.Errorf("audit log: %+v, %v", log, err)
	}
	again := b.do("POST", list+"/"+id+"/cancel", nil).want(200)
	if again.json["sequence"] != float64(2) || again.json["status"] != "canceled" {
		t.Errorf("canceled twice: %s", again.raw)
	}
	b.do("POST", list+"/"+id+"/cancel", `{"reason":"a\u0000"}`).refused(422, api.FieldInvalid, "#/reason")
	b.do("POST", list+"/"+id+"/cancel", `{"why":"x"}`).refused(422, api.FieldUnknown, "#/why")
}

func TestCancelOnlyWhileNothingCanLand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reviewed := b.create().id()
	storetest.Advance(t, b.store, reviewed, payment.ManualReview)
	b.do("POST", list+"/"+reviewed+"/cancel", nil).want(200)

	sent := b.create().id()
	storetest.Advance(t, b.store, sent, payment.Routed, payment.Submitted)
	rows := b.rows()
	b.do("POST", list+"/"+sent+"/cancel", nil).refused(409, api.NotCancelable, "")

	live := b.create().id()
	storetest.Advance(t, b.store, live, payment.Routed)
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error {
		_, err := storetest.OpenSlot(ctx, tx, live)
		return err
	})
	b.do("POST", list+"/"+live+"/cancel", nil).refused(409, api.NotCancelable, "")

	settled := b.create().id()
	storetest.Settle(t, b.store, settled)
	b.do("POST", list+"/"+settled+"/cancel", nil).refused(409, api.NotCancelable, "")
	if got := b.rows()["audit_log"]; got != rows["audit_log"] {
		t.Errorf("refused cancellations are in the audit log: %d, want %d", got, rows["audit_log"])
	}
}

func TestGetShowsTheWholeStory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	storetest.Settle(t, b.store, id)
	a := b.do("GET", list+"/"+id, nil).want(200)
	events := b.do("GET", list+"/"+id+"/events", nil).want(200).data()
	last := events[len(events)-1]["data"].(map[string]any)["object"].(map[string]any)
	if a.json["status"] != "settled" || last["status"] != "settled" || last["sequence"] != a.json["sequence"] || len(events) != int(a.json["sequence"].(float64)) {
		t.Errorf("GET %s\nlast event %v", a.raw, last)
	}
}

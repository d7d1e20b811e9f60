package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

const merchants = "/v1/admin/merchants"

// filled is a route's path with ids of the right form in it.
func (r route) filled(b *bench) string {
	return strings.NewReplacer("/merchants/{id}", "/merchants/"+b.merchant.ID, "/keys/{id}", "/keys/7Kq2mZ9x", "{id}", store.NewID("pi"), "{endpoint_id}", store.NewID("we")).Replace(r.path)
}

// noted is what the audit log says was done to an object, oldest first, after
// checking that the operator with the key did it all, by requests.
func (b *bench) noted(id string) string {
	b.t.Helper()
	entries, err := b.store.AuditLog(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	var actions []string
	for _, e := range entries {
		if e.Actor != "operator:test/"+api.KeyID(b.key) || !strings.HasPrefix(e.RequestID, "req_") {
			b.t.Errorf("%s by %q in %q", e.Action, e.Actor, e.RequestID)
		}
		actions = append(actions, e.Action)
	}
	return strings.Join(actions, " ")
}

func TestMerchantsOverHTTP(t *testing.T) {
	t.Parallel()
	o := setup(t).operators()
	made := o.do("POST", merchants, `{"name":"Example Ltd","review_above":"100","max_amount":"500.5"}`).want(201)
	if made.json["object"] != "merchant" || made.json["name"] != "Example Ltd" || made.json["review_above"] != "100.000000" || made.json["max_amount"] != "500.500000" {
		t.Errorf("made: %s", made.raw)
	}
	one := merchants + "/" + made.id()
	for _, change := range []struct {
		body                  string
		name, review, maximum any
	}{
		{`{"name":"Example SE"}`, "Example SE", "100.000000", "500.500000"},
		{`{"review_above":null}`, "Example SE", nil, "500.500000"},
		{`{"max_amount":"0","review_above":"7.25"}`, "Example SE", "7.250000", "0.000000"},
		{`{}`, "Example SE", "7.250000", "0.000000"},
		{`{"max_amount":null}`, "Example SE", "7.250000", nil},
	} {
		o.do("PATCH", one, change.body).want(200)
		if a := o.do("GET", one, nil).want(200); a.json["name"] != change.name || a.json["review_above"] != change.review || a.json["max_amount"] != change.maximum {
			t.Errorf("after %s: %s", change.body, a.raw)
		}
	}

	storetest.Deposit(t, o.store, made.id(), payment.Test, 12_500_000)
	sponsored := o.do("PUT", one+"/sponsorship", `{"max_fee":"0.5","max_fee_per_day":"20"}`).want(200)
	a := o.do("GET", one, nil).want(200)
	if sponsored.json["max_fee"] != "0.500000" || a.at("sponsorship", "max_fee_per_day") != "20.000000" ||
		a.at("balances", "test", "available") != "12.500000" || a.at("balances", "live", "available") != "0.000000" {
		t.Errorf("get: %s", a.raw)
	}
	o.do("DELETE", one+"/sponsorship", nil).want(204)
	o.do("DELETE", one+"/sponsorship", nil).refused(404, api.NotFound, "")
	if a := o.do("GET", one, nil).want(200); a.json["sponsorship"] != nil {
		t.Errorf("still sponsored: %s", a.raw)
	}
	if got := o.noted(made.id()); got != "merchant.created"+strings.Repeat(" merchant.changed", 5)+" merchant.sponsored merchant.unsponsored" {
		t.Errorf("audit log: %s", got)
	}
}

func TestMerchantsAreListedInPages(t *testing.T) {
	t.Parallel()
	o := setup(t).operators()
	var want []string
	for i := range 5 {
		want = append([]string{o.do("POST", merchants, map[string]any{"name": fmt.Sprint("Shop ", i)}).want(201).id()}, want...)
	}
	want = append(want, o.merchant.ID)
	if got := o.pages(merchants + "?limit=4"); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("listed %v, want %v", got, want)
	}
	keys := merchants + "/" + want[0] + "/keys"
	var ids []string
	for range 3 {
		ids = append([]string{o.do("POST", keys, `{"mode":"test"}`).want(201).id()}, ids...)
	}
	if got := o.pages(keys + "?limit=2"); strings.Join(got, " ") != strings.Join(ids, " ") {
		t.Errorf("listed %v, want %v", got, ids)
	}
	cursor := o.do("GET", keys+"?limit=2", nil).want(200).json["next_cursor"].(string)
	o.do("GET", merchants+"?cursor="+cursor, nil).refused(400, api.CursorInvalid, "query:cursor")
	o.do("GET", merchants+"/"+want[1]+"/keys?cursor="+cursor, nil).refused(400, api.CursorInvalid, "query:cursor")
}

// pages reads a list to its end, and returns the ids.
func (b *bench) pages(path string) []string {
	b.t.Helper()
	var ids []string
	for next := path; next != ""; {
		a := b.do("GET", next, nil).want(200)
		for _, o := range a.data() {
			ids = append(ids, fmt.Sprint(o["id"]))
		}
		next = ""
		if a.json["has_more"] == true {
			next = path + "&cursor=" + a.json["next_cursor"].(string)
		}
	}
	return ids
}

func TestKeysOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	keys := merchants + "/" + b.merchant.ID + "/keys"
	made := o.do("POST", keys, `{"mode":"live","name":"backend","scopes":["payment_intents:read"]}`).want(201)
	text, _ := made.json["key"].(string)
	if !strings.HasPrefix(text, "sk_live_"+made.id()) || made.json["state"] != "valid" || made.json["merchant_id"] != b.merchant.ID || made.json["expires_at"] != nil {
		t.Errorf("made: %s", made.raw)
	}
	b.do("GET", list, nil, b.as(text)).want(200)
	b.do("POST", list, order(), idempotent("k"), b.as(text)).refused(403, api.ScopeMissing, "")

	rolled := o.do("POST", "/v1/admin/keys/"+made.id()+"/roll", `{"overlap_seconds":3600}`).want(201)
	fresh, _ := rolled.json["key"].(string)
	if !strings.HasPrefix(fresh, "sk_live_") || rolled.json["name"] != "backend" || fmt.Sprint(rolled.json["scopes"]) != "[payment_intents:read]" {
		t.Errorf("rolled: %s", rolled.raw)
	}
	for _, key := range []string{text, fresh} {
		b.do("GET", list, nil, b.as(key)).want(200)
	}
	revoked := o.do("POST", "/v1/admin/keys/"+rolled.id()+"/revoke", `{"reason":"leaked"}`).want(200)
	if revoked.json["state"] != "revoked" || revoked.json["key"] != nil {
		t.Errorf("revoked: %s", revoked.raw)
	}
	o.do("POST", "/v1/admin/keys/"+rolled.id()+"/revoke", `{"reason":"leaked"}`).want(200)
	o.do("POST", "/v1/admin/keys/"+rolled.id()+"/roll", nil).refused(409, api.APIKeyEnded, "")
	b.clock.Store(2)
	b.do("GET", list, nil, b.as(fresh)).refused(401, api.APIKeyInvalid, "")
	b.clock.Store(3602)
	b.do("GET", list, nil, b.as(text)).refused(401, api.APIKeyInvalid, "")

	listed := o.do("GET", keys, nil).want(200)
	if d := listed.data(); d[0]["id"] != rolled.id() || d[0]["state"] != "revoked" || d[1]["id"] != made.id() || d[1]["expires_at"] == nil || strings.Contains(string(listed.raw), text[16:48]) {
		t.Errorf("listed: %s", listed.raw)
	}
	if got := o.noted(made.id()) + ", " + o.noted(rolled.id()); got != "api_key.issued, api_key.rolled api_key.revoked api_key.revoked" {
		t.Errorf("audit log: %s", got)
	}
}

// An operator's key makes and ends merchants' keys only: who stole it cannot make
// himself another.
func TestOperatorsKeysAreNotMadeOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	keys := merchants + "/" + b.merchant.ID + "/keys"
	before := o.allRows(t)
	o.do("POST", keys, `{"mode":"admin"}`).refused(422, api.FieldInvalid, "#/mode")
	o.do("POST", keys, `{"mode":"live","scopes":["admin:read"]}`).refused(422, api.FieldInvalid, "#/scopes/0")
	for _, id := range []string{api.KeyID(o.key), o.key, "nobodys0", "x"} {
		o.do("POST", "/v1/admin/keys/"+id+"/roll", nil).refused(404, api.NotFound, "")
		o.do("POST", "/v1/admin/keys/"+id+"/revoke", `{"reason":"x"}`).refused(404, api.NotFound, "")
	}
	if after := o.allRows(t); !maps.Equal(after, before) {
		t.Errorf("left %v, before there was %v", after, before)
	}
	o.do("GET", merchants, nil).want(200)
}

// From nothing to a payment, without anybody at the database.
func TestAMerchantMadeOverHTTPPaysAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	merchant := o.do("POST", merchants, `{"name":"Example Ltd","max_amount":"20"}`).want(201).id()
	storetest.Deposit(t, b.store, merchant, payment.Test, 50_000_000)
	b.key = o.do("POST", merchants+"/"+merchant+"/keys", `{"mode":"test"}`).want(201).json["key"].(string)
	b.create()
	b.do("POST", list, order(set("amount", "20.01")), idempotent("k")).refused(422, api.AmountAboveLimit, "#/amount")
	o.do("PATCH", merchants+"/"+merchant, `{"max_amount":null}`).want(200)
	b.clock.Store(1)
	b.do("POST", list, order(set("amount", "20.01")), idempotent("k")).want(201)
	if a := o.do("GET", merchants+"/"+merchant, nil).want(200); a.at("balances", "test", "held") != "32.510000" {
		t.Errorf("the operator sees %s", a.raw)
	}
}

func TestWhatOperatorsSendIsChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	one := merchants + "/" + b.merchant.ID
	before := o.allRows(t)
	for _, tt := range []struct {
		method, path, body string
		code               api.Code
		pointer            string
	}{
		{"POST", merchants, `{}`, api.FieldMissing, "#/name"},
		{"POST", merchants, `{"name":""}`, api.FieldInvalid, "#/name"},
		{"POST", merchants, `{"name":"a\u0000b"}`, api.FieldInvalid, "#/name"},
		{"POST", merchants, `{"name":"x","reviewabove":"1"}`, api.FieldUnknown, "#/reviewabove"},
		{"POST", merchants, `{"name":"x","max_amount":"lots"}`, api.AmountMalformed, "#/max_amount"},
		{"POST", merchants, `{"name":"x","max_amount":5}`, api.AmountMalformed, "#/max_amount"},
		{"POST", merchants, `{"name":"x","review_above":"-1"}`, api.AmountMalformed, "#/review_above"},
		{"POST", merchants, `{"name":"x","review_above":"1.0000001"}`, api.AmountTooPrecise, "#/review_above"},
		{"PATCH", one, `{"review_above":""}`, api.AmountMalformed, "#/review_above"},
		{"PUT", one + "/sponsorship", `{"max_fee":"1"}`, api.FieldMissing, "#/max_fee_per_day"},
		{"PUT", one + "/sponsorship", `{"max_fee":"2","max_fee_per_day":"1"}`, api.FieldInvalid, "#/max_fee_per_day"},
		{"PUT", one + "/sponsorship", `{"max_fee":"0","max_fee_per_day":"1"}`, api.AmountNotPositive, "#/max_fee"},
		{"POST", one + "/keys", `{}`, api.FieldMissing, "#/mode"},
		{"POST", one + "/keys", `{"mode":"test","scopes":[]}`, api.FieldInvalid, "#/scopes"},
		{"POST", one + "/keys", `{"mode":"test","scopes":["everything"]}`, api.FieldInvalid, "#/scopes/0"},
		{"POST", one + "/keys", `{"mode":"test","expires_at":"2020-01-01T00:00:00Z"}`, api.FieldInvalid, "#/expires_at"},
		{"POST", "/v1/admin/keys/" + api.KeyID(b.key) + "/roll", `{"overlap_seconds":604801}`, api.FieldInvalid, "#/overlap_seconds"},
		{"POST", "/v1/admin/keys/" + api.KeyID(b.key) + "/roll", `{"expires_at":"2020-01-01T00:00:00Z"}`, api.FieldInvalid, "#/expires_at"},
		{"POST", "/v1/admin/keys/" + api.KeyID(b.key) + "/revoke", `{"reason":""}`, api.FieldInvalid, "#/reason"},
	} {
		a := o.do(tt.method, tt.path, tt.body)
		if a.json["code"] != string(tt.code) {
			t.Errorf("%s %s %s: %s", tt.method, tt.path, tt.body, a.raw)
			continue
		}
		a.refused(422, tt.code, tt.pointer)
	}
	nobody := merchants + "/" + store.NewID("mer")
	for _, r := range []struct{ method, path, body string }{
		{"PATCH", nobody, `{}`}, {"PUT", nobody + "/sponsorship", `{"max_fee":"1","max_fee_per_day":"1"}`}, {"POST", nobody + "/keys", `{"mode":"test"}`},
	} {
		o.do(r.method, r.path, r.body).refused(404, api.NotFound, "")
	}
	for _, path := range []string{nobody, nobody + "/keys", merchants + "/x", merchants + "/mer_%00"} {
		o.do("GET", path, nil).refused(404, api.NotFound, "")
	}
	o.do("GET", "/v1/admin/audit_log?object_id=%00", nil).refused(400, api.ParameterInvalid, "query:object_id")
	if after := o.allRows(t); !maps.Equal(after, before) {
		t.Errorf("refusals left %v, before there was %v", after, before)
	}
}

// Every operation of the operators' document asks for an operator's key that is
// valid and may do it.
func TestEveryAdminOperationNeedsItsKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	soon := time.Now().Add(time.Minute)
	expiring, err := api.IssueKey(t.Context(), b.store, peppers, api.KeyRequest{Mode: store.Admin, Name: "bob", ExpiresAt: &soon, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	revoked := o.issue("", store.Admin)
	for _, key := range []string{expiring.Text, revoked} {
		o.do("GET", merchants, nil, o.as(key)).want(200)
	}
	if _, err := api.RevokeKey(t.Context(), b.store, api.KeyID(revoked), "left", "test"); err != nil {
		t.Fatal(err)
	}
	o.clock.Store(61)
	reader, writer := o.issue("", store.Admin, api.AdminRead), o.issue("", store.Admin, api.AdminWrite)
	before := o.allRows(t)
	routes := o.routes()
	if len(routes) != 11 {
		t.Errorf("%d operations: %v", len(routes), routes)
	}
	for _, r := range routes {
		ask := func(key string) answer { return o.do(r.method, r.filled(o), bodyOf(r), o.as(key)) }
		o.do(r.method, r.filled(o), bodyOf(r), func(q *http.Request) { q.Header.Del("Authorization") }).refused(401, api.Unauthenticated, "")
		for _, key := range []string{b.key, b.issue(b.merchant.ID, payment.Test), revoked, expiring.Text, b.stranger()} {
			ask(key).refused(401, api.APIKeyInvalid, "")
		}
		lacking := reader
		if r.method == "GET" {
			lacking = writer
		}
		ask(lacking).refused(403, api.ScopeMissing, "")
	}
	before["api_keys"] = o.allRows(t)["api_keys"] // of the test
	before["audit_log"] += 2 * int64(len(routes))
	if after := o.allRows(t); !maps.Equal(after, before) {
		t.Errorf("refusals left %v, before there was %v", after, before)
	}
}

// Neither listener knows the routes of the other, and neither API the keys of the
// other.
func TestOperatorsAndMerchantsStayApart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	for _, r := range b.routes() {
		b.do(r.method, r.filled(b), bodyOf(r), b.as(o.key), idempotent("k")).refused(401, api.APIKeyInvalid, "")
		o.do(r.method, r.filled(b), bodyOf(r), idempotent("k")).refused(404, api.RouteNotFound, "")
	}
	for _, r := range o.routes() {
		b.do(r.method, r.filled(b), bodyOf(r), b.as(o.key)).refused(404, api.RouteNotFound, "")
	}
	for _, server := range []*bench{b, o} {
		if a := server.do("GET", "/health", nil).want(200); a.json["status"] != "ok" {
			t.Errorf("health: %s", a.raw)
		}
	}
}

func TestARevokedOperatorIsRefusedWithinASecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	o := b.operators()
	o.run(o.admin.Run)
	b.listening(1)
	key := o.issue("", store.Admin)
	o.do("GET", merchants, nil, o.as(key)).want(200)
	if _, err := api.RevokeKey(t.Context(), b.store, api.KeyID(key), "left", "test"); err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	eventually(t, "the key is refused", func() bool { return o.do("GET", merchants, nil, o.as(key)).StatusCode == http.StatusUnauthorized })
	if took := time.Since(since); took > 1500*time.Millisecond { // a second, and the requests of this test
		t.Errorf("refused after %s", took)
	}
	o.do("GET", merchants, nil).want(200)
}

func TestAuditLogOverHTTP(t *testing.T) {
	t.Parallel()
	o := setup(t).operators()
	made := o.do("POST", merchants, `{"name":"Example Ltd"}`, header("Request-Id", "req_mine"))
	o.do("PATCH", merchants+"/"+made.id(), `{"name":"Example SE"}`).want(200)
	of := "/v1/admin/audit_log?object_id=" + made.id()
	entries := o.do("GET", of, nil).want(200).data()
	if len(entries) != 2 || entries[0]["action"] != "merchant.changed" || entries[1]["action"] != "merchant.created" || entries[1]["request_id"] != "req_mine" ||
		entries[1]["actor"] != "operator:test/"+api.KeyID(o.key) || entries[1]["object_id"] != made.id() {
		t.Errorf("of the merchant: %v", entries)
	}
	detail, err := json.Marshal(entries[0]["detail"])
	if err != nil || !strings.Contains(string(detail), `"name":"Example SE"`) || !strings.Contains(string(detail), `"name":"Example Ltd"`) {
		t.Errorf("detail: %s, %v", detail, err)
	}
	first := o.do("GET", of+"&limit=1", nil).want(200)
	if ids := o.pages(of + "&limit=1"); len(ids) != 2 || ids[0] != fmt.Sprint(entries[0]["id"]) {
		t.Errorf("in pages: %v", ids)
	}
	o.do("GET", "/v1/admin/audit_log?cursor="+first.json["next_cursor"].(string), nil).refused(400, api.CursorInvalid, "query:cursor")
	all := o.do("GET", "/v1/admin/audit_log", nil).want(200)
	if len(all.data()) < 4 || strings.Contains(string(all.raw), o.key[17:49]) { // with the keys of the test
		t.Errorf("all: %s", all.raw)
	}
}

func TestOperatorsHaveAQuotaOfTheirOwn(t *testing.T) {
	t.Parallel()
	way := throughProxy(t)
	client := redis.NewClient(&redis.Options{Addr: way.Addr().String(), ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { client.Close() })
	o := setup(t).operators(func(d *api.Deps) { d.Redis, d.RateLimit = client, 5 })
	o.admin.WaitForRedis(10 * time.Second)
	var last answer
	for range 50 {
		if last = o.do("GET", merchants, nil); last.StatusCode != http.StatusOK {
			break
		}
	}
	last.refused(429, api.RateLimited, "")
	if policy := last.Header.Get("RateLimit-Policy"); policy != `"default";q=5;w=1` {
		t.Errorf("RateLimit-Policy: %s", policy)
	}
}

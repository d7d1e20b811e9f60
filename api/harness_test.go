package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

const (
	payee       = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
	solanaPayee = "7v91N7iZ9mNicL8WfG6cgSCKyRXydQjLh6UYBWwm6y1Q"
	funds       = 1_000_000_000 // base units: 1000 USDC
)

var peppers = config.Keyring{{ID: "p1", Key: bytes.Repeat([]byte{7, 3}, 16)}}

// bench is an API on a database of its own: the merchants', or the operators'.
type bench struct {
	t            testing.TB
	store        *store.Store
	sql          *pgx.Conn
	server       *api.Server // the merchants'
	admin        *api.Admin  // the operators', see operators
	http         *httptest.Server
	temporal     *temporalDouble
	destinations *destinations
	sponsor      *sponsor
	merchant     store.Merchant
	key          string
	keyUses      sync.Map     // times that a key's use was noted, by id
	clock        atomic.Int64 // seconds that the API's clock is ahead
}

// setup opens an API with a merchant that has 1000 USDC and a live key.
func setup(t testing.TB) *bench {
	t.Helper()
	st, url := storetest.OpenURL(t)
	b := &bench{
		t: t, store: st, sql: storetest.SQL(t, url), temporal: &temporalDouble{}, destinations: &destinations{}, sponsor: &sponsor{},
		merchant: storetest.Merchant(t, st, funds),
	}
	b.serve(peppers)
	b.key = b.issue(b.merchant.ID, payment.Live)
	return b
}

// serve starts an API with the peppers on the bench's database.
func (b *bench) serve(peppers config.Keyring, changes ...func(*api.Deps)) {
	b.t.Helper()
	var err error
	if b.server, err = api.New(b.deps(peppers, changes...)); err != nil {
		b.t.Fatal(err)
	}
	b.listen(b.server)
}

// operators starts the operators' API on the bench's database. It comes with the
// key of an operator who may do everything.
func (b *bench) operators(changes ...func(*api.Deps)) *bench {
	b.t.Helper()
	o := &bench{t: b.t, store: b.store, sql: b.sql, temporal: b.temporal, destinations: b.destinations, merchant: b.merchant}
	var err error
	if o.admin, err = api.NewAdmin(o.deps(peppers, changes...)); err != nil {
		b.t.Fatal(err)
	}
	o.listen(o.admin)
	o.key = o.issue("", store.Admin)
	return o
}

func (b *bench) listen(h http.Handler) {
	b.http = httptest.NewServer(h)
	b.t.Cleanup(b.http.Close)
}

func (b *bench) deps(peppers config.Keyring, changes ...func(*api.Deps)) api.Deps {
	b.t.Helper()
	sealer, err := webhooks.NewSealer("w1", map[string][]byte{"w1": bytes.Repeat([]byte{9, 4}, 16)})
	if err != nil {
		b.t.Fatal(err)
	}
	deps := api.Deps{
		Store: b.store, Temporal: b.temporal, TaskQueue: "settle", Destinations: b.destinations, Sponsor: b.sponsor, Log: zaptest.NewLogger(b.t, zaptest.Level(zap.WarnLevel)),
		Peppers: peppers, PublicURL: "https://pay.example.com/", Sealer: sealer,
		Guard: webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		KeyUsed: func(_ context.Context, id string) error {
			n, _ := b.keyUses.LoadOrStore(id, new(atomic.Int64))
			n.(*atomic.Int64).Add(1)
			return nil
		},
		Now: func() time.Time { return time.Now().Add(time.Duration(b.clock.Load()) * time.Second) },
	}
	for _, change := range changes {
		change(&deps)
	}
	return deps
}

// relay runs the server's relay until it is stopped or the test ends.
func (b *bench) relay() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	relay := b.server.Relay()
	go func() { done <- relay.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

func (b *bench) issue(merchantID string, mode payment.Mode, scopes ...api.Scope) string {
	b.t.Helper()
	key, err := api.IssueKey(b.t.Context(), b.store, peppers, api.KeyRequest{MerchantID: merchantID, Mode: mode, Scopes: scopes, Name: "test", Actor: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
	return key.Text
}

// answer is a response with its body read.
type answer struct {
	t testing.TB
	*http.Response
	raw  []byte
	json map[string]any
}

// with changes a request before it is sent.
type with func(*http.Request)

func header(name, value string) with {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (b *bench) as(key string) with { return header("Authorization", "Bearer "+key) }

func idempotent(key string) with { return header("Idempotency-Key", key) }

// do sends a request with the merchant's key. body is JSON text, or a value.
func (b *bench) do(method, path string, body any, changes ...with) answer {
	b.t.Helper()
	var reader io.Reader
	switch v := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(v)
	default:
		text, err := json.Marshal(v)
		if err != nil {
			b.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.http.URL+path, reader)
	if err != nil {
		b.t.Fatal(err)
	}
	b.as(b.key)(r)
	if reader != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, change := range changes {
		change(r)
	}
	resp, err := b.http.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{t: b.t, Response: resp}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		b.t.Fatal(err)
	}
	_ = json.Unmarshal(a.raw, &a.json) // documents are not JSON
	return a
}

// at returns the value at a path of keys, or nil.
func (a answer) at(keys ...string) any {
	var v any = a.json
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

func (a answer) id() string {
	id, _ := a.json["id"].(string)
	return id
}

// data returns the objects of a list.
func (a answer) data() []map[string]any {
	var out []map[string]any
	list, _ := a.json["data"].([]any)
	for _, v := range list {
		out = append(out, v.(map[string]any))
	}
	return out
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.StatusCode != status {
		a.t.Fatalf("%s %s: status %d, want %d: %s", a.Request.Method, a.Request.URL.Path, a.StatusCode, status, a.raw)
	}
	return a
}

// refused checks the whole shape of a problem.
func (a answer) refused(status int, code api.Code, pointer string) {
	a.t.Helper()
	a.want(status)
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Errorf("Content-Type %q", ct)
	}
	if a.json["code"] != string(code) || a.json["status"] != float64(status) {
		a.t.Errorf("code %v, want %s: %s", a.json["code"], code, a.raw)
	}
	if a.json["type"] != "https://pay.example.com/docs/errors#"+string(code) || a.json["instance"] != a.Request.URL.Path {
		a.t.Errorf("type or instance: %s", a.raw)
	}
	if id := a.Header.Get("Request-Id"); id == "" || a.json["request_id"] != id {
		a.t.Errorf("request id %q in the header: %s", id, a.raw)
	}
	for _, name := range []string{"title", "detail"} {
		if s, _ := a.json[name].(string); s == "" {
			a.t.Errorf("no %s: %s", name, a.raw)
		}
	}
	if pointer == "" {
		return
	}
	errs, _ := a.json["errors"].([]any)
	for _, e := range errs {
		if m := e.(map[string]any); m["pointer"] == pointer && m["code"] == string(code) && m["detail"] != "" {
			return
		}
	}
	a.t.Errorf("no error %s at %s: %s", code, pointer, a.raw)
}

// rows counts what a payment writes.
func (b *bench) rows() map[string]int {
	b.t.Helper()
	counts := make(map[string]int)
	for _, table := range []string{"payment_intents", "events", "intent_starts", "ledger_transfers", "ledger_entries", "idempotency_keys", "audit_log", "webhook_endpoints", "batches", "batch_lines", "schedules"} {
		var n int
		if err := b.sql.QueryRow(b.t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			b.t.Fatal(err)
		}
		counts[table] = n
	}
	return counts
}

// dropDatabase takes the database away under the API.
func (b *bench) dropDatabase() {
	b.t.Helper()
	admin := b.sql.Config().Copy()
	name := admin.Database
	admin.Database = "postgres"
	conn, err := pgx.ConnectConfig(b.t.Context(), admin)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.t.Context(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
		b.t.Fatal(err)
	}
}

// order is a request body that is accepted.
func order(changes ...func(map[string]any)) map[string]any {
	o := map[string]any{"amount": "12.50", "asset": "USDC", "destinations": []any{map[string]any{"chain": "ethereum", "address": payee}}}
	for _, change := range changes {
		change(o)
	}
	return o
}

func set(name string, value any) func(map[string]any) {
	return func(o map[string]any) { o[name] = value }
}

// create orders a payment that is accepted.
func (b *bench) create(changes ...func(map[string]any)) answer {
	b.t.Helper()
	return b.do("POST", "/v1/payment_intents", order(changes...), idempotent(store.NewID("key"))).want(201)
}

// eventually polls until ok, for what happens on another goroutine.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}

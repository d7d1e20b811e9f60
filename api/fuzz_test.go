package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"pgregory.net/rapid"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// fuzzRequests is how much is sent; -rapid.seed, which a failure prints, begins
// elsewhere.
var fuzzRequests = flag.Int("requests", 40, "requests to each operation of the document in TestEveryRouteTakesAnything")

// fuzzer sends an operation what its schemas allow, and what they do not.
type fuzzer struct {
	*bench
	o     documented
	ids   map[string][]any // that a path parameter may have
	auths []string
}

// TestEveryRouteTakesAnything: whatever is sent to whatever route of the
// document, the answer is a documented one in its documented shape, never our
// fault, shows nothing of our inside, and a refusal has written nothing. It is not parallel: rapid's
// settings are the process's.
func TestEveryRouteTakesAnything(t *testing.T) {
	for name, value := range map[string]any{"rapid.seed": 1, "rapid.checks": *fuzzRequests, "rapid.nofailfile": true} {
		before := flag.Lookup(name).Value.String()
		if name == "rapid.seed" && before != "0" {
			continue
		}
		if err := flag.Set(name, fmt.Sprint(value)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = flag.Set(name, before) }) // it was valid
	}
	b := setup(t)
	b.publish("ethereum", 10_000_000_000_000, 900, 500_000_000, 0)
	b.publish("solana", 1, 13, 500_000_000, 0)
	for _, b := range []*bench{b, b.operators()} {
		requests := b.collection()
		for _, o := range b.contract().operations {
			t.Run(o.String(), func(t *testing.T) {
				f := newFuzzer(b, o, requests)
				rapid.Check(t, f.once)
			})
		}
		b.do("GET", "/health", nil).want(200)
	}
	b.create()
}

// callers makes three keys: one that may do everything, one that may too but is
// another's, and one that may do less.
func (b *bench) callers() (own, stranger, less string) {
	b.t.Helper()
	if b.admin != nil {
		return b.issue("", store.Admin), b.issue("", store.Admin), b.issue("", store.Admin, api.AdminRead)
	}
	merchant := storetest.Merchant(b.t, b.store, funds).ID
	return b.issue(merchant, payment.Live), b.issue(storetest.Merchant(b.t, b.store, funds).ID, payment.Live), b.issue(merchant, payment.Test)
}

// newFuzzer makes a caller with an object for each parameter of the path, and a
// stranger with others.
func newFuzzer(b *bench, o documented, requests map[string]collected) *fuzzer {
	f := &fuzzer{bench: b, o: o, ids: make(map[string][]any)}
	own, stranger, less := b.callers()
	for _, key := range []string{stranger, own, own} {
		b.key = key
		for name, id := range b.objects(requests, o.path) {
			f.ids[name] = append(f.ids[name], id)
		}
	}
	f.auths = []string{"", "Bearer", "Bearer x", "Basic c2s6eA==", "Bearer " + strings.Repeat("k", 4000), "Bearer " + own[:53] + "!",
		"Bearer " + stranger, "Bearer " + less, "bearer " + own, "Bearer " + own + " "}
	return f
}

// leak is what no answer may show.
var leak = regexp.MustCompile(`(?i)goroutine \d|panic:|\.go:\d+|sqlstate|pgx|pgconn|postgres://|duplicate key value|violates .* constraint|syntax error at or near`)

// once sends one request and judges the answer.
func (f *fuzzer) once(t *rapid.T) {
	odd := chance(t, 60)
	r := f.request(t, odd)
	before := f.allRows(t)
	a, err := f.exchange(t, r)
	if err != nil {
		t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	fail := func(format string, args ...any) {
		t.Fatalf("%s %s %v: %s\nanswer: %d %.500s", r.Method, r.URL, r.Header, fmt.Sprintf(format, args...), a.StatusCode, a.raw)
	}
	if a.StatusCode >= 500 && (a.StatusCode != http.StatusServiceUnavailable || f.o.Responses.Value("503") == nil) {
		fail("our fault")
	}
	if code := a.json["code"]; code == "route_not_found" || code == "method_not_allowed" {
		if !odd || !strings.Contains(f.o.path, "{") {
			fail("the route is not there")
		}
	} else if err := f.o.check(a); err != nil {
		fail("not as documented: %v", err)
	}
	if found := leak.Find(a.raw); found != nil {
		fail("shows our inside: %s", found)
	}
	if after := f.allRows(t); (a.StatusCode >= 400 || r.Method == http.MethodGet) && !maps.Equal(after, before) {
		fail("wrote: %v, before there was %v", after, before)
	}
}

// request draws a request; an odd one may be wrong in several ways.
func (f *fuzzer) request(t *rapid.T, odd bool) *http.Request {
	path, query, header := f.o.path, url.Values{}, http.Header{}
	header.Set("Authorization", "Bearer "+f.key)
	for _, p := range f.o.Parameters {
		if !p.Value.Required && !chance(t, 40) || p.Value.Required && odd && chance(t, 10) && p.Value.In != "path" {
			continue
		}
		switch value := text(f.parameter(t, p.Value, odd)); p.Value.In {
		case "path":
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(value))
		case "query":
			query.Add(p.Value.Name, value)
			if odd && chance(t, 5) {
				query.Add(p.Value.Name, value)
			}
		case "header":
			header.Set(p.Value.Name, headerSafe(value))
		}
	}
	var body []byte
	if schema := f.o.body(); schema != nil {
		header.Set("Content-Type", "application/json")
		body = f.body(t, schema, odd)
	}
	if odd {
		f.oddities(t, header, query)
	}
	r, err := http.NewRequestWithContext(f.t.Context(), f.o.method, f.http.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header, r.URL.RawQuery = header, query.Encode()
	return r
}

// oddities are what may be wrong with every request.
func (f *fuzzer) oddities(t *rapid.T, header http.Header, query url.Values) {
	if chance(t, 15) {
		header.Set("Authorization", rapid.SampledFrom(f.auths).Draw(t, "authorization"))
	}
	if chance(t, 10) {
		query.Add(rapid.SampledFrom([]string{"page", "", "limit[]", "expand", "\x00"}).Draw(t, "unknown parameter"), "1")
	}
	for _, h := range []struct {
		name   string
		values []string
	}{
		{"Content-Type", []string{"", "text/plain", "application/xml", "application/json; charset=utf-16", "multipart/form-data", "application/problem+json", "a/b/c;;;"}},
		{"Accept", []string{"", "text/html", "application/xml;q=0.9", "*/*;q=0", "nonsense"}},
		{"Request-Id", []string{"", "ok-1", strings.Repeat("r", 200), "<script>", "\xff\xfe"}},
		{"Last-Event-ID", []string{"", "-1", "9223372036854775808", "x", "eyJ2IjoxfQ"}},
	} {
		if chance(t, 8) {
			header.Set(h.name, rapid.SampledFrom(h.values).Draw(t, h.name))
		}
	}
	if chance(t, 5) {
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
		header.Set("Sec-WebSocket-Version", rapid.SampledFrom([]string{"13", "7", ""}).Draw(t, "version"))
	}
}

func (f *fuzzer) parameter(t *rapid.T, p *openapi3.Parameter, odd bool) any {
	if ids := f.ids[p.Name]; p.In == "path" && len(ids) > 0 && chance(t, 70) {
		return rapid.SampledFrom(ids).Draw(t, p.Name)
	}
	if p.Name == "Idempotency-Key" && chance(t, 70) {
		return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, p.Name)
	}
	if p.In == "path" && odd && chance(t, 50) {
		return rapid.SampledFrom([]string{"x", "\x00", "a/b", "..", "%2e%2e", "ü😀", strings.Repeat("a", 65), strings.Repeat("a", 5000), " ", "pi_'; --", "\xff"}).Draw(t, p.Name)
	}
	v := f.value(t, p.Schema, odd)
	if s, isText := v.(string); isText && s == "" && p.In == "path" {
		return "none" // an empty part is another route
	}
	return v
}

// body draws JSON of a schema, and an odd one may be broken.
func (f *fuzzer) body(t *rapid.T, schema *openapi3.SchemaRef, odd bool) []byte {
	body, err := json.Marshal(f.value(t, schema, odd))
	if err != nil {
		t.Fatal(err)
	}
	if !odd || !chance(t, 30) {
		return body
	}
	switch rapid.IntRange(0, 11).Draw(t, "broken") {
	case 0:
		return body[:rapid.IntRange(0, len(body)).Draw(t, "length")]
	case 1:
		return nil
	case 2:
		return []byte("null")
	case 3: // every key twice
		return append(append(bytes.TrimSuffix(body, []byte("}")), ','), bytes.TrimPrefix(body, []byte("{"))...)
	case 4:
		return []byte(`{"amount":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`)
	case 5:
		return append([]byte("\xef\xbb\xbf"), body...)
	case 6:
		return bytes.ReplaceAll(body, []byte(`":"`), []byte("\":\"\xff\xfe\xed\xa0\x80"))
	case 7:
		return append(body, body...)
	case 8:
		return bytes.ReplaceAll(body, []byte(`"`), []byte(`'`))
	case 9:
		return []byte(`{"x":"` + strings.Repeat("x", 70_000) + `"}`)
	case 10:
		return bytes.ReplaceAll(body, []byte(`":"`), []byte(`":"\u0000\ud800`))
	}
	return []byte(`{"amount":1e99999,"expire_previous_after":1e99999,"url":-0}`)
}

// anything is what may stand where something else should.
var anything = []any{nil, true, 0, -1, 1.5, 1e308, json.Number("1e400"), json.Number("123456789012345678901234567890"), json.Number("-0"),
	"", "\x00", "a\x00b", "ünï😀\u202e\u0301", "'; DROP TABLE payment_intents; --", "%00", "${jndi:ldap://x}", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59Z",
	"0001-01-01T00:00:00Z", "-292277022399-01-01T00:00:00Z", "1e3", "NaN", "0x10", "١٢", strings.Repeat("x", 300), strings.Repeat("😀", 3000),
	[]any{}, map[string]any{}, []any{nil}, []any{[]any{map[string]any{"": nil}}}, map[string]any{"\x00": "\x00", "$ref": "#/"}}

// value draws a value of a schema; an odd one is, here and there, something else.
func (f *fuzzer) value(t *rapid.T, ref *openapi3.SchemaRef, odd bool) any {
	s := ref.Value
	if odd && chance(t, 12) {
		return rapid.SampledFrom(anything).Draw(t, "anything")
	}
	switch {
	case len(s.Examples) > 0 && chance(t, 70):
		return s.Examples[0]
	case len(s.Enum) > 0:
		return rapid.SampledFrom(s.Enum).Draw(t, "choice")
	case s.Type.Is("object"):
		return f.object(t, s, odd)
	case s.Type.Is("array"):
		list := []any{}
		for range rapid.IntRange(int(s.MinItems), int(s.MinItems)+2).Draw(t, "items") {
			list = append(list, f.value(t, s.Items, odd))
		}
		if odd && s.MaxItems != nil && chance(t, 5) {
			list = slices.Repeat(append(list, "x"), int(*s.MaxItems))
		}
		return list
	case s.Type.Is("boolean"):
		return rapid.Bool().Draw(t, "flag")
	case s.Type.Is("integer"), s.Type.Is("number"):
		return rapid.Int64Range(int64(bound(s.Min, -1000)), int64(bound(s.Max, 1000))).Draw(t, "number")
	case s.Format == "date-time":
		return rapid.SampledFrom([]string{"2026-01-01T00:00:00Z", "2099-12-31T23:59:59.999999999+14:00", "1970-01-01T00:00:00-12:00"}).Draw(t, "time")
	}
	longest := 30
	if s.MaxLength != nil {
		longest = min(longest, int(*s.MaxLength))
	}
	return rapid.StringN(int(s.MinLength), longest, -1).Draw(t, "text")
}

func (f *fuzzer) object(t *rapid.T, s *openapi3.Schema, odd bool) any {
	object := make(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		required := slices.Contains(s.Required, name) && (!odd || !chance(t, 5))
		if required || chance(t, 40) {
			object[name] = f.value(t, s.Properties[name], odd)
		}
	}
	if values := s.AdditionalProperties.Schema; values != nil {
		for range rapid.IntRange(0, 25).Draw(t, "entries") {
			object[rapid.StringN(0, 45, -1).Draw(t, "name")] = f.value(t, values, odd)
		}
	}
	if odd && chance(t, 8) {
		object[rapid.StringN(0, 10, -1).Draw(t, "unknown field")] = rapid.SampledFrom(anything).Draw(t, "anything")
	}
	return object
}

func bound(limit *float64, otherwise float64) float64 {
	if limit == nil {
		return otherwise
	}
	return *limit
}

// chance is true in percent of the cases.
func chance(t *rapid.T, percent int) bool { return rapid.IntRange(0, 99).Draw(t, "chance") < percent }

// text writes a parameter: lists with commas.
func text(v any) string {
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i, item := range list {
			parts[i] = text(item)
		}
		return strings.Join(parts, ",")
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// headerSafe leaves out what Go's client refuses to send.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

// exchange sends a request. Of a stream it reads nothing but the head.
func (f *fuzzer) exchange(t *rapid.T, r *http.Request) (answer, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
	defer cancel()
	resp, err := f.http.Client().Do(r.WithContext(ctx))
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{t: f.t, Response: resp}
	if resp.StatusCode == http.StatusSwitchingProtocols || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return a, nil
	}
	if a.raw, err = io.ReadAll(resp.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return a, err
	}
	_ = json.Unmarshal(a.raw, &a.json) // check says if it is no JSON
	return a, nil
}

// allRows counts the rows of every table.
func (b *bench) allRows(t rapid.TB) map[string]int64 {
	var query string
	if err := b.sql.QueryRow(b.t.Context(), `SELECT string_agg(format('SELECT %L AS name, count(*) AS n FROM %I.%I', tablename, schemaname, tablename), ' UNION ALL ')
		FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`).Scan(&query); err != nil {
		t.Fatalf("%v", err)
	}
	rows, err := b.sql.Query(b.t.Context(), query)
	if err != nil {
		t.Fatalf("%v", err)
	}
	counts := make(map[string]int64)
	var name string
	var n int64
	for rows.Next() {
		if err := rows.Scan(&name, &n); err != nil {
			t.Fatalf("%v", err)
		}
		counts[name] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v", err)
	}
	return counts
}

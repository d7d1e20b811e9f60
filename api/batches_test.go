package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

const batches = "/v1/batches"

// upload sends a batch: CSV, or JSON if it begins like that.
func (b *bench) upload(text string, changes ...with) answer {
	b.t.Helper()
	media := "text/csv"
	if strings.HasPrefix(text, "{") {
		media = "application/json"
	}
	return b.do("POST", batches, text, append([]with{header("Content-Type", media), idempotent(store.NewID("key"))}, changes...)...)
}

// file is a CSV file of valid lines, with references.
func file(lines int) string {
	var text strings.Builder
	text.WriteString("amount,asset,chain,address,reference\n")
	for n := range lines {
		fmt.Fprintf(&text, "1.5,USDC,ethereum,%s,r-%d\n", payee, n+1)
	}
	return text.String()
}

// faults lists what is wrong with the lines of a batch as "line place code".
func (b *bench) faults(id string) []string {
	b.t.Helper()
	var out []string
	for _, l := range b.do("GET", batches+"/"+id+"/errors?limit=100", nil).want(200).data() {
		for _, e := range l["errors"].([]any) {
			m := e.(map[string]any)
			if m["detail"] == "" {
				b.t.Errorf("no detail: %v", m)
			}
			out = append(out, fmt.Sprintf("%v %v %v", l["line"], m["pointer"], m["code"]))
		}
	}
	return out
}

func (b *bench) booksClose() {
	b.t.Helper()
	report, err := ledger.Check(b.t.Context(), b.store)
	if err != nil || !report.Clean() {
		b.t.Errorf("check: %v, %v", report.Differences, err)
	}
}

// Both forms of a batch order the same, in the words of POST /v1/payment_intents.
func TestBatchOfBothForms(t *testing.T) {
	t.Parallel()
	b := setup(t)
	inJSON := b.upload(`{"lines": [
		{"amount": "12.50", "asset": "USDC", "destinations": [{"chain": "eip155:1", "address": "` + strings.ToLower(payee) + `"}, {"chain": "solana", "address": "S"}],
		 "reference": "a", "priority": "fast", "max_fee": "0.5", "metadata": {"order": "4711", "a/b": "x"}},
		{"amount": "1", "asset": "USDC", "destinations": [{"chain": "solana", "address": "T"}]}],
		"metadata": {"run": "may"}, "reference": "payroll"}`).want(201)
	inCSV := b.upload("\xEF\xBB\xBF"+"reference,amount,asset,chain,address,chain_2,address_2,priority,max_fee,metadata.order,metadata.a/b\r\n"+
		"a,12.50,USDC,eip155:1,"+strings.ToLower(payee)+",solana,S,fast,0.5,4711,x\r\n"+
		"\r\n"+
		`"",1,USDC,solana,"T","","","",,,`, header("Content-Type", "text/csv; charset=utf-8")).want(201)
	for _, a := range []answer{inJSON, inCSV} {
		if a.at("status") != "ready" || a.at("lines") != 2.0 || a.at("amount") != "13.500000" || a.at("held") != "0.000000" || a.at("asset") != "USDC" {
			t.Errorf("batch: %s", a.raw)
		}
		if got := b.do("GET", batches+"/"+a.id(), nil).want(200); string(got.raw) != string(a.raw)+"\n" && string(got.raw) != string(a.raw) {
			t.Errorf("GET shows %s, the answer was %s", got.raw, a.raw)
		}
	}
	if inJSON.at("reference") != "payroll" || inJSON.at("metadata", "run") != "may" {
		t.Errorf("batch: %s", inJSON.raw)
	}
	var lines [2][]string
	for n, id := range []string{inJSON.id(), inCSV.id()} {
		rows, err := b.sql.Query(t.Context(), `SELECT concat_ws(' ', line, amount, destinations, priority, max_fee, reference, metadata) FROM batch_lines WHERE batch_id = $1 ORDER BY line`, id)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				t.Fatal(err)
			}
			lines[n] = append(lines[n], text)
		}
	}
	if !slices.Equal(lines[0], lines[1]) || !strings.Contains(lines[0][0], payee) || !strings.Contains(lines[0][0], "12500000") {
		t.Errorf("JSON %q\nCSV  %q", lines[0], lines[1])
	}
}

// Each line is judged for itself, by the codes of POST /v1/payment_intents, and
// every error of every line is told.
func TestBatchLinesAreChecked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const good = `"asset": "USDC", "destinations": [{"chain": "ethereum", "address": "` + payee + `"}]`
	const columns = "amount,asset,chain,address,reference,priority,max_fee,deadline,metadata.k,chain_2,address_2\n"
	to := "USDC,ethereum," + payee
	for _, c := range []struct {
		name, json, csv string
		inJSON, inCSV   []string
	}{
		{"amount", `{"amount": "0", ` + good + `}`, "0," + to + ",,,,,,,", []string{"1 #/amount amount_not_positive"}, []string{"1 column:amount amount_not_positive"}},
		{"precision", `{"amount": "1.0000001", ` + good + `}`, "1.0000001," + to + ",,,,,,,", []string{"1 #/amount amount_too_precise"}, []string{"1 column:amount amount_too_precise"}},
		{"too large", `{"amount": "18446744073709.551616", ` + good + `}`, "18446744073709.551616," + to + ",,,,,,,", []string{"1 #/amount amount_too_large"}, []string{"1 column:amount amount_too_large"}},
		{"no amount", `{` + good + `}`, "," + to + ",,,,,,,", []string{"1 #/amount field_missing"}, []string{"1 column:amount field_missing"}},
		{"number", `{"amount": 5, ` + good + `}`, "5e3," + to + ",,,,,,,", []string{"1 #/amount amount_malformed"}, []string{"1 column:amount amount_malformed"}},
		{"asset", `{"amount": "1", "asset": "EUR", "destinations": [{"chain": "ethereum", "address": "x"}]}`, "1,EUR,ethereum,x,,,,,,,", []string{"1 #/asset asset_unknown"}, []string{"1 column:asset asset_unknown"}},
		{"chain", `{"amount": "1", "asset": "USDC", "destinations": [{"chain": "moon", "address": "x"}]}`, "1,USDC,moon,x,,,,,,,", []string{"1 #/destinations/0/chain chain_not_configured"}, []string{"1 column:chain chain_not_configured"}},
		{"no destination", `{"amount": "1", "asset": "USDC", "destinations": []}`, "1,USDC,,,,,,,,,", []string{"1 #/destinations field_invalid"}, []string{"1 column:chain field_missing"}},
		{"half a destination", `{"amount": "1", "asset": "USDC", "destinations": [{"chain": "ethereum", "address": "x"}, {"chain": "solana"}]}`, "1,USDC,ethereum,x,,,,,,solana,", []string{"1 #/destinations/1/address field_missing"}, []string{"1 column:address_2 field_missing"}},
		{"twice", `{"amount": "1", "asset": "USDC", "destinations": [{"chain": "ethereum", "address": "x"}, {"chain": "eip155:1", "address": "y"}]}`, "1,USDC,ethereum,x,,,,,,eip155:1,y", []string{"1 #/destinations/1/chain destination_duplicate"}, []string{"1 column:chain_2 destination_duplicate"}},
		{"checksum", `{"amount": "1", "asset": "USDC", "destinations": [{"chain": "ethereum", "address": "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}]}`, "1,USDC,ethereum,0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed,,,,,,,", []string{"1 #/destinations/0/address address_bad_checksum"}, []string{"1 column:address address_bad_checksum"}},
		{"priority", `{"amount": "1", ` + good + `, "priority": "soon"}`, "1," + to + ",,soon,,,,,", []string{"1 #/priority field_invalid"}, []string{"1 column:priority field_invalid"}},
		{"max_fee", `{"amount": "1", ` + good + `, "max_fee": "x"}`, "1," + to + ",,,x,,,,", []string{"1 #/max_fee amount_malformed"}, []string{"1 column:max_fee amount_malformed"}},
		{"deadline", `{"amount": "1", ` + good + `, "deadline": "2020-01-01T00:00:00Z"}`, "1," + to + ",,,,2020-01-01T00:00:00Z,,,", []string{"1 #/deadline deadline_past"}, []string{"1 column:deadline deadline_past"}},
		{"reference", `{"amount": "1", ` + good + `, "reference": "` + strings.Repeat("x", 201) + `"}`, "1," + to + "," + strings.Repeat("x", 201) + ",,,,,,", []string{"1 #/reference field_invalid"}, []string{"1 column:reference field_invalid"}},
		{"NUL", `{"amount": "1", ` + good + `, "reference": "\u0000"}`, "1," + to + ",\x00,,,,,,", []string{"1 #/reference field_invalid"}, []string{"1 column:reference field_invalid"}},
		{"metadata", `{"amount": "1", ` + good + `, "metadata": {"k": "` + strings.Repeat("x", 501) + `"}}`, "1," + to + ",,,,," + strings.Repeat("x", 501) + ",,", []string{"1 #/metadata/k metadata_invalid"}, []string{"1 column:metadata.k metadata_invalid"}},
		{"not UTF-8", `{"amount": "1", ` + good + `, "reference": "` + "\xff" + `"}`, "1," + to + ",\xff,,,,,,", []string{"1 # line_malformed"}, []string{"1 column:reference line_malformed"}},
		{"several", `{"amount": "-1", "asset": "USDC", "destinations": [{"chain": "moon", "address": "x"}], "deadline": "2020-01-01T00:00:00Z"}`, "-1,USDC,moon,x,,,,2020-01-01T00:00:00Z,,,",
			[]string{"1 #/amount amount_not_positive", "1 #/destinations/0/chain chain_not_configured", "1 #/deadline deadline_past"},
			[]string{"1 column:amount amount_not_positive", "1 column:chain chain_not_configured", "1 column:deadline deadline_past"}},
		{"form", `5`, "1,USDC", []string{"1 # field_invalid"}, []string{"1 # line_malformed"}},
		{"field", `{"amount": "1", ` + good + `, "amont": "1"}`, "", []string{"1 #/amont field_unknown"}, nil},
		{"quotes", "", `1,USDC,ethereum,a"b,,,,,,,`, nil, []string{"1 # line_malformed"}},
	} {
		for form, want := range map[string][]string{`{"lines": [` + c.json + `, {"amount": "1", ` + good + `}]}`: c.inJSON, columns + c.csv + "\n1," + to + ",,,,,,,\n": c.inCSV} {
			if want == nil {
				continue
			}
			a := b.upload(form).want(201)
			if a.at("status") != "invalid" || a.at("lines") != 2.0 || a.at("invalid_lines") != 1.0 || a.at("amount") != "1.000000" {
				t.Errorf("%s: %s", c.name, a.raw)
			}
			if got := b.faults(a.id()); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", c.name, got, want)
			}
			b.do("POST", batches+"/"+a.id()+"/start", nil).refused(409, api.NotStartable, "")
			b.do("POST", batches+"/"+a.id()+"/cancel", nil).refused(409, api.NotCancelable, "")
		}
	}
}

// A file that cannot be read as a whole is refused and leaves nothing behind.
func TestUnreadableBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	line := "1,USDC,ethereum," + payee + "\n"
	const columns = "amount,asset,chain,address\n"
	valid := `{"amount": "1", "asset": "USDC", "destinations": [{"chain": "ethereum", "address": "` + payee + `"}]}`
	before := b.rows()
	for _, c := range []struct {
		name, body string
		status     int
		code       api.Code
		at         string
	}{
		{"empty CSV", "", 422, api.ValidationFailed, ""},
		{"no rows", columns, 422, api.FieldMissing, "#/lines"},
		{"missing column", "asset,chain,address\n" + line, 422, api.FieldMissing, "column:amount"},
		{"column twice", "amount,asset,chain,address,amount\n", 422, api.FieldInvalid, "column:amount"},
		{"unknown column", "amount,asset,chain,address,amont\n", 422, api.FieldUnknown, "column:amont"},
		{"long metadata column", "amount,asset,chain,address,metadata." + strings.Repeat("k", 41) + "\n", 422, api.MetadataInvalid, "column:metadata.*"},
		{"UTF-16", "\xff\xfea\x00", 400, api.MalformedRequest, ""},
		{"no JSON", `{"lines": [` + valid + `, {`, 400, api.MalformedRequest, ""},
		{"no object", `{]`, 400, api.MalformedRequest, ""},
		{"no lines", `{"reference": "x"}`, 422, api.FieldMissing, "#/lines"},
		{"empty lines", `{"lines": []}`, 422, api.FieldMissing, "#/lines"},
		{"lines is no list", `{"lines": {}}`, 400, api.MalformedRequest, ""},
		{"lines twice", `{"lines": [` + valid + `], "lines": []}`, 422, api.FieldInvalid, "#/lines"},
		{"unknown field", `{"lines": [` + valid + `], "referenz": "x"}`, 422, api.FieldUnknown, "#/referenz"},
		{"bad reference", `{"lines": [` + valid + `], "reference": 5}`, 422, api.FieldInvalid, "#/reference"},
		{"bad metadata", `{"lines": [` + valid + `], "metadata": {"": "x"}}`, 422, api.MetadataInvalid, "#/metadata"},
		{"something behind", `{"lines": [` + valid + `]} x`, 400, api.MalformedRequest, ""},
		{"giant field", `{"lines": [` + valid + `, {"amount": "` + strings.Repeat("1", 1<<20) + `"}]}`, 413, api.RequestTooLarge, ""},
		{"giant CSV field", columns + line + `"` + strings.Repeat("1", 1<<20), 413, api.RequestTooLarge, ""},
		{"too many lines", columns + strings.Repeat(line, payment.MaxBatchLines+1), 422, api.BatchTooLong, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := b.upload(c.body)
			a.t = t
			a.refused(c.status, c.code, c.at)
		})
	}
	b.upload(file(1), header("Content-Type", "text/plain")).refused(415, api.UnsupportedMediaType, "")
	b.do("POST", batches, file(1), header("Content-Type", "text/csv")).refused(400, api.IdempotencyKeyMissing, "header:Idempotency-Key")
	if after := b.rows(); !maps.Equal(after, before) {
		t.Errorf("refused uploads left %v, before there was %v", after, before)
	}
}

// An upload that the client breaks off leaves nothing, and one whose process died
// is removed by the sweep; neither is shown meanwhile.
func TestBrokenUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before := b.rows()
	body, feed := io.Pipe()
	t.Cleanup(func() { _ = feed.Close() }) // or the server would wait for the rest
	done := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.http.URL+batches, body)
		if err == nil {
			b.as(b.key)(r)
			idempotent("k")(r)
			header("Content-Type", "text/csv")(r)
			var resp *http.Response
			if resp, err = b.http.Client().Do(r); err == nil {
				_ = resp.Body.Close()
			}
		}
		done <- err
	}()
	if _, err := io.WriteString(feed, file(5000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "lines are written while the upload goes on", func() bool { return b.rows()["batch_lines"] > 0 })
	if got := b.do("GET", batches, nil).want(200).data(); len(got) != 0 {
		t.Errorf("an upload is shown: %v", got)
	}
	_ = feed.CloseWithError(io.ErrUnexpectedEOF)
	if err := <-done; err == nil {
		t.Error("the broken upload got an answer")
	}
	eventually(t, "nothing is left", func() bool { return maps.Equal(b.rows(), before) })

	dead := payment.Batch{ID: store.NewID("batch"), MerchantID: b.merchant.ID, Mode: payment.Live, Asset: payment.USDC}
	if err := b.store.OpenUpload(t.Context(), dead, store.IdempotencyKey{Key: "dead"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.sql.Exec(t.Context(), "UPDATE batches SET created_at = created_at - interval '1 hour'"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.server.Relay().SweepBatches(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := b.rows(); !maps.Equal(after, before) {
		t.Errorf("left %v, before there was %v", after, before)
	}
}

// A reference stands for one line.
func TestBatchReferencesAreUnique(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.upload(file(3) + "0,USDC,ethereum," + payee + ",r-2\n" + "1,USDC,ethereum," + payee + ",r-2\n" + "1,USDC,ethereum," + payee + ",\n1,USDC,ethereum," + payee + ",\n").want(201)
	want := []string{"4 column:amount amount_not_positive", "4 #/reference reference_duplicate", "5 #/reference reference_duplicate"}
	if got := b.faults(a.id()); !slices.Equal(got, want) || a.at("status") != "invalid" {
		t.Errorf("%q, want %q: %s", got, want, a.raw)
	}
	rows := b.download(batches + "/" + a.id() + "/errors.csv")
	if len(rows) != 4 || !slices.Equal(rows[1][:4], []string{"4", "r-2", "column:amount", "amount_not_positive"}) || rows[3][0] != "5" {
		t.Errorf("errors.csv: %q", rows)
	}
}

// download reads a CSV file.
func (b *bench) download(path string) [][]string {
	b.t.Helper()
	a := b.do("GET", path, nil).want(200)
	if ct := a.Header.Get("Content-Type"); ct != "text/csv; charset=utf-8" {
		b.t.Errorf("Content-Type %q", ct)
	}
	rows, err := csv.NewReader(strings.NewReader(string(a.raw))).ReadAll()
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

func TestBatchIsUploadedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const key = "batch-key"
	var wg sync.WaitGroup
	answers := make([]answer, 8)
	for n := range answers {
		wg.Go(func() { answers[n] = b.upload(file(50), idempotent(key)) })
	}
	wg.Wait()
	for _, a := range answers {
		if string(a.want(201).raw) != string(answers[0].raw) {
			t.Errorf("%s, want %s", a.raw, answers[0].raw)
		}
	}
	if rows := b.rows(); rows["batches"] != 1 || rows["batch_lines"] != 50 {
		t.Errorf("rows: %v", rows)
	}
	if a := b.upload(file(50), idempotent(key)).want(201); a.Header.Get("Idempotent-Replayed") != "true" {
		t.Error("not said to be a repetition")
	}
	for name, a := range map[string]answer{
		"other lines":     b.upload(file(51), idempotent(key)),
		"other reference": b.do("POST", batches+"?reference=x", file(50), header("Content-Type", "text/csv"), idempotent(key)),
	} {
		a.refused(422, api.IdempotencyMismatch, "")
		if a.at("existing_id") != answers[0].id() {
			t.Errorf("%s: %s", name, a.raw)
		}
	}
	if _, err := b.store.ForgetIdempotency(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.upload(file(50), idempotent(key)).refused(409, api.IdempotencyKeyUsed, "")
	if rows := b.rows(); rows["batches"] != 1 || rows["batch_lines"] != 50 {
		t.Errorf("rows: %v", rows)
	}
}

// A start holds the total or writes nothing, and a cancel gives it back.
func TestBatchHoldsItsTotal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	poor := b.upload(file(700)).want(201).id() // 1050 USDC of 1000
	before := b.rows()
	b.do("POST", batches+"/"+poor+"/start", nil).refused(422, api.InsufficientFunds, "")
	if after := b.rows(); !maps.Equal(after, before) {
		t.Errorf("a refused start left %v, before there was %v", after, before)
	}
	id := b.upload(file(400)).want(201).id()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			a := b.do("POST", batches+"/"+id+"/start", nil).want(200)
			if a.at("status") != "processing" || a.at("held") != "600.000000" || a.at("balances_after", "available") != "400.000000" {
				t.Errorf("start: %s", a.raw)
			}
		})
	}
	wg.Wait()
	b.booksClose()
	if _, err := b.server.Relay().SweepBatches(t.Context()); err != nil || b.temporal.starts(id) != 1 {
		t.Errorf("started %d times, %v", b.temporal.starts(id), err)
	}
	for range 2 {
		a := b.do("POST", batches+"/"+id+"/cancel", nil).want(200)
		if a.at("status") != "canceled" || a.at("held") != "0.000000" || a.at("balances_after", "available") != "1000.000000" {
			t.Errorf("cancel: %s", a.raw)
		}
	}
	var told int
	var body []byte
	var event struct {
		Data struct{ Object map[string]any }
	}
	if err := b.sql.QueryRow(t.Context(), "SELECT count(*) OVER (), body FROM events WHERE type = 'batch.canceled'").Scan(&told, &body); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &event); err != nil {
		t.Fatal(err)
	}
	if shown := b.do("GET", batches+"/"+id, nil).want(200); told != 1 || !reflect.DeepEqual(event.Data.Object, shown.json) {
		t.Errorf("told %d times %v, GET shows %s", told, event, shown.raw)
	}
	b.do("POST", batches+"/"+id+"/start", nil).refused(409, api.NotStartable, "")
	b.booksClose()
	if got := b.do("GET", batches+"?status=ready,canceled&limit=1", nil).want(200); got.data()[0]["id"] != id || got.at("has_more") != true {
		t.Errorf("list: %s", got.raw)
	} else if next := b.do("GET", batches+"?status=ready,canceled&limit=1&cursor="+got.at("next_cursor").(string), nil).want(200); next.data()[0]["id"] != poor {
		t.Errorf("list: %s", next.raw)
	}
	lines := b.do("GET", batches+"/"+id+"/lines?status=canceled&limit=2", nil).want(200)
	if d := lines.data(); len(d) != 2 || d[1]["line"] != 2.0 || d[1]["reference"] != "r-2" {
		t.Errorf("lines: %s", lines.raw)
	}
	b.do("GET", batches+"/"+poor+"/lines?cursor="+lines.at("next_cursor").(string), nil).refused(400, api.CursorInvalid, "query:cursor")
	if rows := b.download(batches + "/" + id + "/results.csv"); len(rows) != 401 || rows[400][1] != "r-400" || rows[400][3] != "canceled" {
		t.Errorf("results.csv has %d rows, the last %q", len(rows), rows[len(rows)-1])
	}
}

// A batch whose workflow was not heard of is started again, by one of the
// processes; one that was heard of is left alone.
func TestBatchWorkflowIsStartedUntilItRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.upload(file(2)).want(201).id()
	b.do("POST", batches+"/"+id+"/start", nil).want(200)
	b.temporal.set(func(c *temporalDouble) { c.down = true })
	if _, err := b.server.Relay().SweepBatches(t.Context()); err == nil {
		t.Error("nobody noticed that the workflow did not start")
	}
	b.temporal.set(func(c *temporalDouble) { c.down = false })
	sweep := func() {
		if _, err := b.sql.Exec(t.Context(), "UPDATE batches SET look_at = look_at - interval '1 minute'"); err != nil {
			t.Fatal(err)
		}
		if _, err := b.server.Relay().SweepBatches(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if b.temporal.starts(id) != 1 {
		t.Errorf("started %d times", b.temporal.starts(id))
	}
	if _, err := b.store.HearOfBatch(t.Context(), id, 90*time.Second); err != nil {
		t.Fatal(err)
	}
	if sweep(); b.temporal.starts(id) != 1 {
		t.Error("a workflow that runs was started again")
	}
	if sweep(); b.temporal.starts(id) != 2 {
		t.Error("a workflow that is gone was not started again")
	}
}

// The most lines that a batch may have are read and written in little memory, and
// their errors can be downloaded.
func TestLongestBatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	text := file(payment.MaxBatchLines - 1)
	a := b.upload(text + "x,USDC,ethereum," + payee + ",\n").want(201)
	if a.at("lines") != float64(payment.MaxBatchLines) || a.at("invalid_lines") != 1.0 {
		t.Errorf("batch: %s", a.raw)
	}
	if rows := b.download(batches + "/" + a.id() + "/errors.csv"); len(rows) != 2 || rows[1][0] != fmt.Sprint(payment.MaxBatchLines) {
		t.Errorf("errors.csv: %q", rows)
	}
}

// The merchant's limit for one payment holds for each line.
func TestBatchKeepsTheMerchantsLimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if _, err := b.sql.Exec(t.Context(), "UPDATE merchants SET max_amount = 2000000 WHERE id = $1", b.merchant.ID); err != nil {
		t.Fatal(err)
	}
	b.key = b.issue(b.merchant.ID, payment.Live)
	storetest.Deposit(t, b.store, b.merchant.ID, payment.Live, 1)
	text, _ := json.Marshal(map[string]any{"lines": []any{order(set("amount", "2")), order(set("amount", "2.000001"))}})
	if got := b.faults(b.upload(string(text)).want(201).id()); !slices.Equal(got, []string{"2 #/amount amount_above_limit"}) {
		t.Errorf("%q", got)
	}
}

package deployment

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// BatchOrder is a line of a batch, as it was ordered.
type BatchOrder struct {
	Chain   payment.Chain
	Address string
	Amount  string // with all decimals
}

// BatchOrders makes n orders over both chains, among so many payees of each.
func BatchOrders(t sandbox.T, n, payees int) []BatchOrder {
	t.Helper()
	to := make([]BatchOrder, 2*payees)
	for i := range to {
		if i%2 == 0 {
			to[i] = BatchOrder{Chain: "ethereum", Address: sandbox.NewEthereumAddress(t)}
		} else {
			to[i] = BatchOrder{Chain: "solana", Address: sandbox.NewSolanaAddress(t)}
		}
	}
	orders := make([]BatchOrder, n)
	for i := range orders {
		orders[i] = to[i%len(to)]
		orders[i].Amount = fmt.Sprintf("%d.%06d", i%3, i+1)
	}
	return orders
}

// Upload sends orders as a CSV file, repeating it with its key until the API
// answers, and returns the batch's id.
func (d *Deployment) Upload(t sandbox.T, key string, orders []BatchOrder) string {
	t.Helper()
	var file strings.Builder
	file.WriteString("amount,asset,chain,address,reference\n")
	for n, o := range orders {
		fmt.Fprintf(&file, "%s,USDC,%s,%s,%s-%d\n", o.Amount, o.Chain, o.Address, key, n+1)
	}
	for {
		id, err := d.upload(t.Context(), key, file.String())
		if err == nil {
			return id
		}
		if t.Context().Err() != nil {
			t.Fatalf("upload: %v", err)
		}
		pause(t.Context(), 100*time.Millisecond)
	}
}

func (d *Deployment) upload(ctx context.Context, key, file string) (id string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.APIURL+"/v1/batches", strings.NewReader(file))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+d.Key)
	req.Header.Set("Content-Type", "text/csv")
	req.Header.Set("Idempotency-Key", key)
	resp, err := httpClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("upload: %s", resp.Status)
	}
	var b BatchState
	err = json.NewDecoder(resp.Body).Decode(&b)
	return b.ID, err
}

// BatchState is a batch as the API shows it.
type BatchState struct {
	ID       string              `json:"id"`
	Status   payment.BatchStatus `json:"status"`
	Held     string              `json:"held"`
	Progress []struct {
		Status payment.Status `json:"status"`
		Lines  int            `json:"lines"`
	} `json:"progress"`
}

// Count is how many lines are in a status.
func (b BatchState) Count(s payment.Status) int {
	for _, c := range b.Progress {
		if c.Status == s {
			return c.Lines
		}
	}
	return 0
}

// ChangeBatch starts or cancels a batch, repeating it until the API answers.
func (d *Deployment) ChangeBatch(t sandbox.T, id, action string) BatchState {
	t.Helper()
	return d.batch(t, http.MethodPost, "/v1/batches/"+id+"/"+action)
}

// Batch reads a batch, waiting for an API that is away.
func (d *Deployment) Batch(t sandbox.T, id string) BatchState {
	t.Helper()
	return d.batch(t, http.MethodGet, "/v1/batches/"+id)
}

func (d *Deployment) batch(t sandbox.T, method, path string) BatchState {
	t.Helper()
	for {
		a, err := d.Call(t.Context(), method, path, "", nil)
		if err == nil && a.Status == http.StatusOK {
			var b BatchState
			must(t, json.Unmarshal(a.Body, &b))
			return b
		}
		if t.Context().Err() != nil || (err == nil && a.Status < http.StatusInternalServerError) {
			t.Fatalf("%s %s: %d %s, %v", method, path, a.Status, a.Body, err)
		}
		pause(t.Context(), 100*time.Millisecond)
	}
}

// AwaitBatch waits until ready says so of the batch.
func (d *Deployment) AwaitBatch(t sandbox.T, within time.Duration, id string, ready func(BatchState) bool) BatchState {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		b := d.Batch(t, id)
		if ready(b) {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is %+v after %s: %s", id, b, within, d.logs())
		}
		pause(t.Context(), 200*time.Millisecond)
	}
}

// BatchResult is a row of results.csv.
type BatchResult struct {
	Line                                         int
	Reference, IntentID, Amount, Address, TxHash string
	Status                                       payment.Status
	Chain                                        payment.Chain
}

// BatchResults downloads results.csv.
func (d *Deployment) BatchResults(t sandbox.T, id string) []BatchResult {
	t.Helper()
	a, err := d.Call(t.Context(), http.MethodGet, "/v1/batches/"+id+"/results.csv", "", nil)
	must(t, err)
	rows, err := csv.NewReader(bytes.NewReader(a.Body)).ReadAll()
	if err != nil || a.Status != http.StatusOK || len(rows) == 0 {
		t.Fatalf("results.csv: %d %v", a.Status, err)
	}
	results := make([]BatchResult, len(rows)-1)
	for n, r := range rows[1:] {
		line, err := strconv.Atoi(r[0])
		must(t, err)
		results[n] = BatchResult{Line: line, Reference: r[1], IntentID: r[2], Status: payment.Status(r[3]), Amount: r[4], Chain: payment.Chain(r[6]), Address: r[7], TxHash: r[8]}
	}
	return results
}

// BatchCount is what the chains' own records tell about the lines of a batch.
type BatchCount struct {
	Once, Twice, Lost int      // lines
	Wrong             []string // what does not fit, in words
}

// CountBatch joins results.csv with what was ordered and with every payment that
// the chains have recorded: each settled line was paid once, as it was ordered, every
// other one never, and nobody else was paid.
func (d *Deployment) CountBatch(t sandbox.T, id string, orders []BatchOrder) BatchCount {
	t.Helper()
	var c BatchCount
	say := func(format string, args ...any) { c.Wrong = append(c.Wrong, fmt.Sprintf(format, args...)) }
	results := d.BatchResults(t, id)
	if len(results) != len(orders) {
		say("results.csv has %d lines, %d were ordered", len(results), len(orders))
	}
	ids := []string{}
	for _, r := range results {
		if r.IntentID != "" {
			ids = append(ids, r.IntentID)
		}
	}
	paid := d.PaidOnChain(t, ids)
	for n, r := range results {
		p := paid[r.IntentID]
		if r.IntentID == "" {
			p = nil
		}
		delete(paid, r.IntentID)
		settled := r.Status == payment.Settled
		switch {
		case len(p) > 1:
			c.Twice++
			say("line %d (%s): paid %d times", r.Line, r.IntentID, len(p))
		case len(p) == 1 && settled:
			c.Once++
			got, o := p[0], orders[n]
			if amount := got.Amount.Decimal(payment.USDC.Decimals); got.Chain != o.Chain || got.To != o.Address || amount != o.Amount ||
				r.Line != n+1 || r.Amount != o.Amount || r.Address != o.Address || r.Chain != o.Chain || r.TxHash != got.TxHash {
				say("line %d was ordered as %+v, is %+v, and was paid as %+v", n+1, o, r, got)
			}
		case len(p) == 1:
			say("line %d (%s) is %s, and was paid in %s", r.Line, r.IntentID, r.Status, p[0].TxHash)
		case settled:
			c.Lost++
			say("line %d (%s) is settled, and was not paid", r.Line, r.IntentID)
		}
	}
	for id, more := range paid {
		say("%v was paid for no line, intent %q", more, id)
	}
	return c
}

// RSS is the memory of the process in bytes, 0 if it does not run.
func (p *Process) RSS() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.killed {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // the kernel writes a number
			return kb << 10
		}
	}
	return 0
}

package deployment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// Answer is what the API said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Intent decodes a successful answer.
func (a Answer) Intent(t sandbox.T) payment.Resource {
	t.Helper()
	var r payment.Resource
	if a.Status >= 300 {
		t.Fatalf("the API answered %d: %s", a.Status, a.Body)
	}
	must(t, json.Unmarshal(a.Body, &r))
	return r
}

// Code is the stable code of a problem.
func (a Answer) Code() string {
	var p struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(a.Body, &p) // no code if it is no problem
	return p.Code
}

var httpClient = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// Call sends a request as the merchant. in may be nil; idempotencyKey may be empty.
func (d *Deployment) Call(ctx context.Context, method, path, idempotencyKey string, in any) (Answer, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return Answer{}, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.APIURL+path, body)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+d.Key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: b}, err
}

// Order is a payment to be made.
type Order struct {
	Amount       string                `json:"amount"`
	Asset        string                `json:"asset"`
	Destinations []payment.Destination `json:"destinations"`
	Priority     payment.Priority      `json:"priority,omitempty"`
	Reference    string                `json:"reference,omitempty"`
}

// To orders USDC to one address.
func To(chain payment.Chain, address, amount string) Order {
	return Order{Amount: amount, Asset: payment.USDC.Code, Destinations: []payment.Destination{{Chain: chain, Address: address}}}
}

// Pay creates an intent, repeating the request with its key until the API
// answers, as a careful merchant does.
func (d *Deployment) Pay(t sandbox.T, key string, o Order) payment.Resource {
	t.Helper()
	for {
		a, err := d.Call(t.Context(), http.MethodPost, "/v1/payment_intents", key, o)
		if err == nil && a.Status != http.StatusServiceUnavailable {
			return a.Intent(t)
		}
		if t.Context().Err() != nil {
			t.Fatalf("pay: %v", err)
		}
		pause(t.Context(), 100*time.Millisecond)
	}
}

// Sponsor has the gas of the merchant's sponsored payments paid, up to limits in
// USDC.
func (d *Deployment) Sponsor(t sandbox.T, maxFee, maxFeePerDay string) {
	t.Helper()
	d.Run(t, "merchants", "sponsor", d.MerchantID, "--max-fee", maxFee, "--max-fee-per-day", maxFeePerDay)
}

// Bring submits a payer's authorization, as a merchant does who got it from the
// payer.
func (d *Deployment) Bring(t sandbox.T, key string, a sandbox.Authorization) Answer {
	t.Helper()
	answer, err := d.Call(t.Context(), http.MethodPost, "/v1/sponsored_payments", key, struct {
		sandbox.Authorization
		Chain  payment.Chain `json:"chain"`
		Amount string        `json:"amount"`
		Asset  string        `json:"asset"`
	}{a, "ethereum", payment.Units(a.Value).Decimal(payment.USDC.Decimals), payment.USDC.Code})
	must(t, err)
	return answer
}

// Get reads an intent.
func (d *Deployment) Get(t sandbox.T, id string) payment.Resource {
	t.Helper()
	a, err := d.Call(t.Context(), http.MethodGet, "/v1/payment_intents/"+id, "", nil)
	must(t, err)
	return a.Intent(t)
}

// Events reads all events of an intent.
func (d *Deployment) Events(t sandbox.T, id string) []payment.Event {
	t.Helper()
	return d.eventPage(t, "/v1/payment_intents/"+id+"/events?limit=100")
}

// LoggedEvents reads the events of an intent from the log of all payments, as
// soon as it has n of them, or after storyTimeout: an older transaction of anybody
// may hold it up.
func (d *Deployment) LoggedEvents(t sandbox.T, id string, n int) []payment.Event {
	t.Helper()
	deadline := time.Now().Add(storyTimeout)
	for {
		events := d.eventPage(t, "/v1/events?limit=100&payment_intent="+id)
		if len(events) >= n || time.Now().After(deadline) {
			return events
		}
		pause(t.Context(), 50*time.Millisecond)
	}
}

func (d *Deployment) eventPage(t sandbox.T, path string) []payment.Event {
	t.Helper()
	a, err := d.Call(t.Context(), http.MethodGet, path, "", nil)
	must(t, err)
	var page struct {
		Data []payment.Event `json:"data"`
	}
	if a.Status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.Status, a.Body)
	}
	must(t, json.Unmarshal(a.Body, &page))
	return page.Data
}

// Await waits until each intent is in one of the statuses (default: ended) and
// returns them in order.
func (d *Deployment) Await(t sandbox.T, within time.Duration, ids []string, statuses ...payment.Status) []payment.Resource {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	out := make([]payment.Resource, len(ids))
	for i, id := range ids {
		for {
			intent, err := d.Store.Intent(ctx, id)
			if ctx.Err() != nil {
				t.Fatalf("%s is %s/%s after %s: %s", id, intent.Status, intent.Substatus, within, d.logs())
			}
			must(t, err)
			out[i] = intent.Resource()
			if arrived(intent.Status, statuses) {
				break
			}
			pause(ctx, 50*time.Millisecond)
		}
	}
	return out
}

// AwaitAny waits until one of the intents has reached the status, or has ended
// so soon that nobody saw it there.
func (d *Deployment) AwaitAny(t sandbox.T, within time.Duration, ids []string, status payment.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		for _, id := range ids {
			intent, err := d.Store.Intent(ctx, id)
			if ctx.Err() != nil {
				t.Fatalf("no intent is %s after %s: %s", status, within, d.logs())
			}
			must(t, err)
			if intent.Status == status || intent.Status.Terminal() {
				return
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// BooksClose fails unless `settle check` finds no difference. The chains count
// a payment when its block is final, the books a moment later, so a difference
// must last to count.
func (d *Deployment) BooksClose(t sandbox.T) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		out, err := d.TryRun("check")
		if err == nil {
			return out
		}
		if time.Now().After(deadline) {
			t.Fatalf("settle check: %v\n%s", err, out)
		}
		pause(t.Context(), 200*time.Millisecond)
	}
}

func arrived(s payment.Status, wanted []payment.Status) bool {
	for _, w := range wanted {
		if s == w {
			return true
		}
	}
	return len(wanted) == 0 && s.Terminal()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// logs returns the ends of the processes' logs, for a failing test.
func (d *Deployment) logs() string {
	text := ""
	for _, p := range append([]*Process{d.API}, d.Workers...) {
		text += fmt.Sprintf("\n--- %s\n%s", p.Name, p.Tail(3000))
	}
	return text
}

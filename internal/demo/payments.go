package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

// reviewAbove is the demo merchant's review limit, USDC base units.
const reviewAbove = 500_000_000

// line is one payment of the demo.
type line struct {
	note     string
	resource payment.Resource
	began    time.Time
	took     time.Duration // to its end
	approved bool
}

// run is the demo's payments under way.
type run struct {
	d       *deployment.Deployment
	lines   []*line
	refused string // what the API said to the bad address
	drawn   int    // lines of the table on the screen
}

// send orders nineteen payments and one that the API must refuse.
func send(p *program.Program, d *deployment.Deployment) *run {
	r := &run{d: d}
	eth, sol := sandbox.NewEthereumAddress(p), sandbox.NewSolanaAddress(p)
	both := func(amount string) deployment.Order {
		return deployment.Order{Amount: amount, Asset: payment.USDC.Code, Priority: payment.Fast, Destinations: []payment.Destination{
			{Chain: "ethereum", Address: eth}, {Chain: "solana", Address: sol}}}
	}
	for i := range 8 {
		r.order(p, i, "", deployment.To("ethereum", eth, fmt.Sprintf("%d.%02d", 10+i, i)))
		r.order(p, i, "", deployment.To("solana", sol, fmt.Sprintf("%d.%02d", 20+i, i)))
	}
	r.order(p, 8, "new Solana owner, no token account yet", deployment.To("solana", sandbox.NewSolanaAddress(p), "42.000000"))
	r.order(p, 9, "above the review limit", deployment.To("ethereum", eth, "750.00"))
	r.order(p, 10, "either chain, the faster one", both("12.34"))

	a, err := d.Call(p.Context(), http.MethodPost, "/v1/payment_intents", "demo-bad-address", deployment.To("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD", "5.00"))
	if err != nil {
		p.Fatal(err)
	}
	r.refused = fmt.Sprintf("%d %s", a.Status, a.Code())
	return r
}

func (r *run) order(p *program.Program, i int, note string, o deployment.Order) {
	key := fmt.Sprintf("demo-%d-%s-%s", i, o.Destinations[0].Chain, o.Amount)
	r.lines = append(r.lines, &line{note: note, began: time.Now(), resource: r.d.Pay(p, key, o)})
}

func (r *run) ids() []string {
	ids := make([]string, len(r.lines))
	for i, l := range r.lines {
		ids[i] = l.resource.ID
	}
	return ids
}

// watch follows the payments until all have ended, and plays the reviewer.
func (r *run) watch(p *program.Program) {
	deadline := time.Now().Add(runTimeout)
	for {
		open := 0
		for _, l := range r.lines {
			if l.resource.Status.Terminal() {
				continue
			}
			before := l.resource.Status
			l.resource = r.d.Get(p, l.resource.ID)
			if l.resource.Status.Terminal() {
				l.took = time.Since(l.began)
			} else {
				open++
			}
			if l.resource.Status == payment.ManualReview && !l.approved {
				r.approve(p, l)
			}
			if !terminal() && l.resource.Status != before {
				say("%s", row(l))
			}
		}
		r.draw()
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("%d payments have not ended after %s; the logs are in %s", open, runTimeout, r.d.Dir)
		}
		select {
		case <-p.Context().Done():
			p.Fatal("interrupted")
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// approve does what an operator does with
// `temporal workflow signal --name review`.
func (r *run) approve(p *program.Program, l *line) {
	review := payment.Review{Action: payment.Approve, Actor: "ops@example.com", Reason: "known supplier, invoice checked"}
	if err := r.d.Temporal.SignalWorkflow(p.Context(), l.resource.ID, "", workflows.ReviewSignal, review); err != nil {
		p.Fatalf("approve %s: %v", l.resource.ID, err)
	}
	l.approved = true
	l.note = "above the review limit, approved by signal"
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	enums "go.temporal.io/api/enums/v1"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks/receiver"
	"github.com/settlehq/settle/workflows"
)

const (
	reviewAbove = 500_000_000 // USDC base units; what is above is approved by signal
	largeEvery  = 9           // payments
	largeAmount = "500.00"    // and the number of the payment

	// consideration is how long a reviewer takes, at least.
	consideration = 2 * time.Second

	scheduledEvery = 7               // payments: by a schedule that pays once
	scheduledIn    = 2 * time.Second // from the order on
)

// site is one Settle with a merchant who never stops paying.
type site struct {
	name   string
	d      *deployment.Deployment
	t      sandbox.T
	chains []payment.Chain

	mu        sync.Mutex
	accepted  []payment.Resource // as answered
	scheduled []string           // ids of schedules whose payment is not known yet
	refused   []string           // orders that were answered with a no, and schedules that did not pay
}

func newSite(t sandbox.T, s *sandbox.Sandbox, name string, o deployment.Options, chains ...payment.Chain) *site {
	t.Helper()
	o.EventTypes, o.ReviewAbove, o.SkipSolanaSlots = []string{"*"}, reviewAbove, true
	o.Settings = []string{"SETTLE_RATE_LIMIT=0"} // the counting asks for everything at once
	return &site{name: name, d: deployment.Start(t, s, o), t: t, chains: chains}
}

// open starts the merchant and a reviewer. stop ends the merchant, with the
// order that is under way; the reviewer ends with the last decision.
func (s *site) open(every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var merchant sync.WaitGroup
	merchant.Go(func() { s.merchant(ctx, every) })
	go s.reviewer(s.t.Context(), ctx)
	return func() {
		cancel()
		merchant.Wait()
	}
}

// merchant orders one payment after the other until ctx ends.
func (s *site) merchant(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		s.order(n)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// order orders the nth payment, now or by a schedule.
func (s *site) order(n int) {
	chain := s.chains[n%len(s.chains)]
	amount := fmt.Sprintf("%d.%06d", 1+n%40, n)
	scheduled := n%scheduledEvery == 0
	if n%largeEvery == 0 && !scheduled { // a reviewer has to know of it
		amount = fmt.Sprintf("%s%04d", largeAmount, n)
	}
	order := deployment.To(chain, s.payee(chain), amount)
	order.Reference = fmt.Sprintf("%s-%d", s.name, n)
	var err error
	var schedule api.Schedule
	var r payment.Resource
	if scheduled {
		err = s.schedule(order, &schedule)
	} else {
		err = s.ask("/v1/payment_intents", order.Reference, order, &r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.refused = append(s.refused, err.Error())
	case scheduled:
		s.scheduled = append(s.scheduled, schedule.ID)
	default:
		s.accepted = append(s.accepted, r)
	}
}

// schedule orders a payment by a schedule. If its time passes before the order gets
// through, that is refused and nothing is stored: then another time will do.
func (s *site) schedule(order deployment.Order, out *api.Schedule) error {
	for {
		later := struct {
			deployment.Order
			At time.Time `json:"at"`
		}{order, time.Now().Add(scheduledIn).UTC().Truncate(time.Second)}
		err := s.ask("/v1/schedules", order.Reference, later, out)
		if err == nil || time.Now().Before(later.At) || s.t.Context().Err() != nil {
			return err
		}
	}
}

// ask does what a careful merchant does: the same request with the same key
// until there is an answer, whatever happens meanwhile. It decodes a yes; a no is
// an error.
func (s *site) ask(path, key string, in, out any) error {
	ctx := s.t.Context()
	for ctx.Err() == nil {
		a, err := s.d.Call(ctx, http.MethodPost, path, key, in)
		if err != nil || a.Status >= http.StatusInternalServerError || a.Status == http.StatusTooManyRequests {
			pause(ctx, 100*time.Millisecond)
			continue
		}
		if err := json.Unmarshal(a.Body, out); a.Status < http.StatusMultipleChoices && err == nil {
			return nil
		}
		return fmt.Errorf("%s: %d %s", key, a.Status, a.Body)
	}
	return fmt.Errorf("%s: %w", key, ctx.Err())
}

// collect waits for the payments of the schedules, which are then accepted as
// the others.
func (s *site) collect(ctx context.Context) {
	s.mu.Lock()
	scheduled := s.scheduled
	s.scheduled = nil
	s.mu.Unlock()
	for _, id := range scheduled {
		for {
			r, ok := s.paidBy(s.t.Context(), id)
			if ok {
				s.mu.Lock()
				s.accepted = append(s.accepted, r)
				s.mu.Unlock()
				break
			}
			if ctx.Err() != nil {
				s.mu.Lock()
				s.refused = append(s.refused, id+" has not paid")
				s.mu.Unlock()
				break
			}
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// paidBy is the payment that a schedule made.
func (s *site) paidBy(ctx context.Context, schedule string) (r payment.Resource, ok bool) {
	a, err := s.d.Call(ctx, http.MethodGet, "/v1/schedules/"+schedule+"/runs", "", nil)
	var runs api.ScheduleRunList
	if err != nil || json.Unmarshal(a.Body, &runs) != nil || len(runs.Data) != 1 || runs.Data[0].IntentID == "" {
		return r, false
	}
	a, err = s.d.Call(ctx, http.MethodGet, "/v1/payment_intents/"+runs.Data[0].IntentID, "", nil)
	return r, err == nil && json.Unmarshal(a.Body, &r) == nil && r.ID != ""
}

func (s *site) payee(chain payment.Chain) string {
	if chain == "solana" {
		return sandbox.NewSolanaAddress(s.t)
	}
	return sandbox.NewEthereumAddress(s.t)
}

// reviewer approves what is in review, until open ends and nothing is left to
// approve. Until it decides, it tells the payment to look at the database again
// and again, as the upkeep may. A decision that gets lost is made again.
func (s *site) reviewer(ctx, open context.Context) {
	asked, done := map[string]time.Time{}, map[string]bool{}
	for ctx.Err() == nil {
		left := 0
		for _, r := range s.resources() {
			if done[r.ID] || !large(r) {
				continue
			}
			i, err := s.d.Store.Intent(ctx, r.ID)
			switch {
			case err != nil || i.Status == payment.Created:
				left++
			case i.Status == payment.ManualReview && time.Since(asked[r.ID]) < consideration:
				left++
				_ = s.d.Temporal.SignalWorkflow(ctx, r.ID, "", workflows.LookSignal, nil) // one of many
			case i.Status == payment.ManualReview && asked[r.ID].IsZero():
				left++
				asked[r.ID] = time.Now()
			case i.Status == payment.ManualReview:
				left++
				_ = s.d.Temporal.SignalWorkflow(ctx, r.ID, "", workflows.ReviewSignal, // repeated as long as the intent is in review
					payment.Review{Action: payment.Approve, Actor: "certify", Reason: "known payee"})
			default:
				done[r.ID] = true
			}
		}
		if left == 0 && open.Err() != nil {
			return
		}
		pause(ctx, 300*time.Millisecond)
	}
}

func large(r payment.Resource) bool {
	a, err := payment.ParseDecimal(r.Amount, payment.USDC.Decimals)
	return err == nil && a.Cmp(payment.Units(reviewAbove)) > 0
}

func (s *site) resources() []payment.Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted[:len(s.accepted):len(s.accepted)]
}

func (s *site) ids() []string {
	var ids []string
	for _, r := range s.resources() {
		ids = append(ids, r.ID)
	}
	return ids
}

// awaitEnds waits until every accepted payment is terminal and its workflow
// closed, at most until the deadline: what has not ended then is counted.
func (s *site) awaitEnds(deadline time.Time) {
	ctx, cancel := context.WithDeadline(s.t.Context(), deadline)
	defer cancel()
	s.collect(ctx)
	for _, id := range s.ids() {
		for !s.ended(ctx, id) || !s.told(id) {
			if ctx.Err() != nil {
				return
			}
			pause(ctx, 100*time.Millisecond)
		}
	}
}

// told reports whether the merchant has every event of the payment. One that was
// refused, or that a killed worker was about to deliver again, comes later than
// the payment's end.
func (s *site) told(id string) bool {
	arrived := s.d.Receiver.Deliveries(id)
	return !slices.ContainsFunc(s.d.Events(s.t, id), func(e payment.Event) bool {
		return !slices.ContainsFunc(arrived, func(d receiver.Delivery) bool { return d.ID == e.ID })
	})
}

func (s *site) ended(ctx context.Context, id string) bool {
	i, err := s.d.Store.Intent(ctx, id)
	if err != nil || !i.Status.Terminal() {
		return false
	}
	w, err := s.d.Temporal.DescribeWorkflow(ctx, id, "")
	return err == nil && w.Status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

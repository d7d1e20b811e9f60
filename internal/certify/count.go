package main

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"time"

	enums "go.temporal.io/api/enums/v1"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// record is everything that is known about one accepted payment, from all who
// know about it.
type record struct {
	accepted payment.Resource          // what the merchant was told first
	final    payment.Resource          // what the merchant is told now
	closed   bool                      // its workflow has ended
	paid     []deployment.ChainPayment // by the chains' own records
	slots    []store.Slot
	events   []string // ids, by the API
	webhooks []string // ids of the events that arrived
}

// tally is the counting part of a certificate. The lines below Unpaid are bad.
type tally struct {
	Accepted int
	PaidOnce int // exactly once, and the exact amount
	Unpaid   int // ended without payment, with proof that it stays so

	PaidTwice int // or more often, or another amount
	Lost      int // accepted, and neither paid nor ended with proof
	Unproven  int // ended without payment, without proof that it stays so
	Webhooks  int // events that did not arrive
	Stories   int // contradictions between those who tell of a payment
	Drift     int // differences that `settle check` finds
	Unreached int // named points at which nothing died
	Refused   int // orders in perfect order that were answered with a no
}

func (t tally) clean() bool {
	return t.PaidTwice+t.Lost+t.Unproven+t.Webhooks+t.Stories+t.Drift+t.Unreached+t.Refused == 0 && t.Accepted == t.PaidOnce+t.Unpaid
}

// add counts one payment.
func (t *tally) add(r record) {
	t.Accepted++
	for _, id := range r.events {
		if !slices.Contains(r.webhooks, id) {
			t.Webhooks++
		}
	}
	ended := r.closed && r.final.Status.Terminal()
	switch {
	case len(r.paid) > 1 || (len(r.paid) == 1 && r.paid[0].Amount.Decimal(payment.USDC.Decimals) != r.accepted.Amount):
		t.PaidTwice++
	case !ended || (r.final.Status == payment.Settled && len(r.paid) == 0):
		t.Lost++
	case r.final.Status != payment.Settled && !proven(r.slots):
		t.Unproven++
	case len(r.paid) == 1:
		t.PaidOnce++
	default:
		t.Unpaid++
	}
}

// proven reports whether no slot can pay any more, by finalized facts that are
// stored. Where there never was a slot nothing was ever signed.
func proven(slots []store.Slot) bool {
	return !slices.ContainsFunc(slots, func(s store.Slot) bool {
		return s.Outcome == nil || s.Outcome.Result != "dead" || len(s.Outcome.Proof) < len(`{"":0}`)
	})
}

// count asks everybody, and sums up.
func (c *campaign) count() certificate {
	cert := certificate{plan: c.plan, at: c.began, commit: c.commit, took: time.Since(c.began), upsets: c.upsets, struck: c.struck(), details: c.unreached}
	cert.Unreached = len(c.unreached)
	var settled []moment
	for _, s := range c.sites() {
		records := s.records()
		for _, r := range records {
			cert.add(r)
			if r.final.Status == payment.Settled {
				settled = append(settled, moment{accepted: r.accepted.CreatedAt, settled: r.final.UpdatedAt})
			}
			if r.final.Status != payment.Settled || len(r.paid) != 1 {
				cert.details = append(cert.details, s.name+": "+r.accepted.ID+" is "+string(r.final.Status)+"/"+string(r.final.Substatus)+", paid "+strconv.Itoa(len(r.paid))+" times"+why(r.final))
			}
		}
		stories := s.d.Contradictions(s.t, ended(records))
		drift, said := s.drift()
		cert.Stories += len(stories)
		cert.Drift += drift
		cert.Refused += len(s.refused)
		cert.details = append(append(cert.details, stories...), s.refused...)
		if drift > 0 {
			cert.details = append(cert.details, said)
		}
	}
	cert.kills = byTarget(c.outages)
	cert.service, cert.affected = recovery(c.outages, settled)
	return cert
}

// why is what the payment waits for or failed of, if it tells.
func why(r payment.Resource) string {
	switch {
	case r.Review != nil:
		return ": " + string(r.Review.Reason) + ": " + r.Review.Detail
	case r.Failure != nil:
		return ": " + r.Failure.Message
	}
	return ""
}

// records reads what there is to know of every accepted payment.
func (s *site) records() []record {
	ctx := s.t.Context()
	paid := s.d.PaidOnChain(s.t, s.ids())
	var all []record
	for _, a := range s.resources() {
		r := record{accepted: a, final: s.d.Get(s.t, a.ID), paid: paid[a.ID], closed: s.closed(ctx, a.ID)}
		attempts, err := s.d.Store.IntentAttempts(ctx, a.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, x := range attempts {
			r.slots = append(r.slots, x.Slots...)
		}
		for _, e := range s.d.Events(s.t, a.ID) {
			r.events = append(r.events, e.ID)
		}
		for _, x := range s.d.Receiver.Deliveries(a.ID) {
			r.webhooks = append(r.webhooks, x.ID)
		}
		all = append(all, r)
	}
	return all
}

func (s *site) closed(ctx context.Context, id string) bool {
	w, err := s.d.Temporal.DescribeWorkflow(ctx, id, "")
	return err == nil && w.Status == enums.WORKFLOW_EXECUTION_STATUS_COMPLETED
}

// ended are the payments that must tell one story. The others are lost.
func ended(records []record) []string {
	var ids []string
	for _, r := range records {
		if r.closed && r.final.Status.Terminal() {
			ids = append(ids, r.accepted.ID)
		}
	}
	return ids
}

var differences = regexp.MustCompile(`(\d+) differences`)

// drift counts what `settle check` finds. The chains count a payment when its
// block is final, the books a moment later, so a difference must last.
func (s *site) drift() (n int, said string) {
	waited(s.t, 10*time.Second, func() bool {
		var err error
		said, err = s.d.TryRun("check")
		n = 1 // also if it could not be made
		if m := differences.FindStringSubmatch(said); m != nil {
			n, _ = strconv.Atoi(m[1]) // digits
		}
		return err == nil
	})
	return n, said
}

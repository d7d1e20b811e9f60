package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

func slotWith(result, proof string) store.Slot {
	return store.Slot{Outcome: &db.Outcome{Result: result, Proof: json.RawMessage(proof)}}
}

// Every way to corrupt the record of a good payment shows in the line that it
// belongs to, and makes the certificate unclean.
func TestEveryCorruptionIsCounted(t *testing.T) {
	t.Parallel()
	transfer := deployment.ChainPayment{Chain: "ethereum", Amount: payment.Units(12_500_000)}
	unpaid := func(r *record, slots ...store.Slot) {
		r.final.Status, r.paid, r.slots = payment.Failed, nil, slots
	}
	for name, c := range map[string]struct {
		corrupt func(*record)
		line    func(tally) int
		clean   bool
	}{
		"good":               {func(*record) {}, func(t tally) int { return t.PaidOnce }, true},
		"paid again":         {func(r *record) { r.paid = append(r.paid, transfer) }, func(t tally) int { return t.PaidTwice }, false},
		"another amount":     {func(r *record) { r.paid[0].Amount = payment.Units(12_500_001) }, func(t tally) int { return t.PaidTwice }, false},
		"settled, not paid":  {func(r *record) { r.paid = nil }, func(t tally) int { return t.Lost }, false},
		"never ended":        {func(r *record) { r.final.Status, r.paid = payment.Submitted, nil }, func(t tally) int { return t.Lost }, false},
		"workflow is open":   {func(r *record) { r.closed = false }, func(t tally) int { return t.Lost }, false},
		"webhook missing":    {func(r *record) { r.webhooks = r.webhooks[1:] }, func(t tally) int { return t.Webhooks }, false},
		"failed, no outcome": {func(r *record) { unpaid(r, slotWith("dead", `{"kind":"expired"}`), store.Slot{}) }, func(t tally) int { return t.Unproven }, false},
		"failed, no proof":   {func(r *record) { unpaid(r, slotWith("dead", `{}`)) }, func(t tally) int { return t.Unproven }, false},
		"failed, yet paid":   {func(r *record) { unpaid(r, slotWith("paid", `{"kind":"transfer"}`)) }, func(t tally) int { return t.Unproven }, false},
		"failed with proof":  {func(r *record) { unpaid(r, slotWith("dead", `{"kind":"expired"}`)) }, func(t tally) int { return t.Unpaid }, true},
		"never signed":       {func(r *record) { unpaid(r) }, func(t tally) int { return t.Unpaid }, true},
	} {
		r := record{accepted: payment.Resource{Amount: "12.500000"}, final: payment.Resource{Status: payment.Settled}, closed: true,
			paid: []deployment.ChainPayment{transfer}, slots: []store.Slot{slotWith("paid", `{"kind":"transfer"}`)},
			events: []string{"evt_1", "evt_2"}, webhooks: []string{"evt_1", "evt_2"}}
		c.corrupt(&r)
		var got tally
		got.add(r)
		if c.line(got) != 1 || got.clean() != c.clean {
			t.Errorf("%s: %+v, clean %t", name, got, got.clean())
		}
	}
	for _, bad := range []tally{{Stories: 1}, {Drift: 1}, {Unreached: 1}, {Refused: 1}, {Accepted: 1}} {
		if bad.clean() {
			t.Errorf("%+v counts as clean", bad)
		}
	}
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	outages := []outage{{"worker", at(10), at(12)}, {"API", at(20), at(20)}}
	settled := []moment{{at(1), at(9)}, {at(5), at(11)}, {at(5), at(15)}, {at(13), at(18)}, {at(14), at(26)}}
	service, affected := recovery(outages, settled)
	// To the next payment: 3 s and 6 s. Those under way: 0 s and 3 s after the first kill, 6 s after the second.
	if service.p50 != 3*time.Second || service.p99 != 6*time.Second {
		t.Errorf("service %+v", service)
	}
	if affected.p50 != 3*time.Second || affected.p99 != 6*time.Second {
		t.Errorf("affected %+v", affected)
	}
}

package activities

import (
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/store/db"
)

// A person is asked about what waits too long for no reason that passes by
// itself, and not about what is fenced or on its way.
func TestStalled(t *testing.T) {
	t.Parallel()
	long, now := 2*stalledAfter, time.Now()
	bumped := now.Add(-time.Minute)
	healthy := &Desk{seen: true, network: routing.Network{ObservedAt: now}}
	blind := &Desk{seen: true, network: routing.Network{ObservedAt: now.Add(-long)}}
	for name, c := range map[string]struct {
		desk   *Desk
		status payment.Status
		fence  fence
		idle   time.Duration // since the payment changed
		sent   *time.Time    // its newest transaction
		seen   chains.Sighting
		want   bool
		reason bool
	}{
		"sent lately":                        {desk: healthy, status: payment.Submitted, idle: time.Minute},
		"sent long ago":                      {desk: healthy, status: payment.Submitted, idle: long, want: true},
		"outbid lately":                      {desk: healthy, status: payment.Submitted, idle: long, sent: &bumped},
		"fenced":                             {desk: healthy, status: payment.Submitted, idle: long, fence: fenceCancel},
		"in a block that is not final":       {desk: healthy, status: payment.Confirming, idle: long, seen: chains.Sighting{Kind: chains.Included}},
		"contradicted for long":              {desk: healthy, status: payment.Confirming, idle: long, seen: chains.Sighting{Kind: chains.Included, Reason: "x"}, want: true, reason: true},
		"contradicted just now":              {desk: healthy, status: payment.Submitted, idle: time.Minute, seen: chains.Sighting{Reason: "x"}},
		"out of sight for long":              {desk: blind, status: payment.Confirming, idle: long, want: true, reason: true},
		"out of sight, and retried just now": {desk: blind, status: payment.Submitted, idle: time.Minute},
	} {
		live := slot{chain: "ethereum", fence: c.fence, txs: []db.LiveSlotsRow{{Status: string(c.status), UpdatedAt: now.Add(-c.idle), SendIntentAt: c.sent}}}
		reason, got := (&Steps{}).stalled(c.desk, live, c.seen)
		if got != c.want || (reason != "") != c.reason {
			t.Errorf("%s: %t, %q", name, got, reason)
		}
	}
}

package activities

import (
	"testing"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
)

// A chain that this worker has not seen yet is no reason to ask a person; one
// that stays out of sight is, and so is one that was seen and does not do.
func TestOutOfSight(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(d time.Duration) *Desk { return &Desk{opened: now.Add(-d)} }
	lastSeen := func(d time.Duration) *Desk {
		return &Desk{opened: now.Add(-time.Hour), seen: true, network: routing.Network{ObservedAt: now.Add(-d)}}
	}
	for name, c := range map[string]struct {
		desk   *Desk
		reason routing.Disqualifier
		want   bool
	}{
		"just started":                 {ago(0), routing.NotObserved, true},
		"started long ago, never seen": {ago(observeWithin), routing.NotObserved, false},
		"lost a minute ago":            {lastSeen(time.Minute), routing.NotObserved, true},
		"lost long ago":                {lastSeen(observeWithin), routing.NotObserved, false},
		"seen, and too expensive":      {lastSeen(0), routing.FeeAboveMax, false},
		"not a chain of this worker":   {nil, routing.NotObserved, false},
	} {
		s := &Steps{Desks: map[payment.Chain]*Desk{}}
		if c.desk != nil {
			s.Desks["ethereum"] = c.desk
		}
		d := routing.Decision{DecidedAt: now, Candidates: []routing.Candidate{{Chain: "ethereum", Disqualified: []routing.Disqualifier{c.reason}}}}
		if got := s.outOfSight(d); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

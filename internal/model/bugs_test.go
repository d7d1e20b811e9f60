package model

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// bug is what a planted bug changes; the zero bug changes nothing.
type bug struct {
	name     string
	breaks   string
	onScan   func([]chains.Watched, []chains.Sighting)
	onSign   func(chains.Order) chains.Order
	onSent   func(*driver, *activities.Steps)
	onSettle func(*driver, activities.SettleInput) activities.SettleInput
}

// bugs makes each bug anew: some remember what they saw.
var bugs = []func() bug{absenceIsDeath, includedIsPaid, signsAgain, lateDeath, freshAuthorization}

func absenceIsDeath() bug {
	looks := map[string]int{}
	return bug{
		name: "absence is death", breaks: "M2: absence proves nothing",
		onScan: func(watched []chains.Watched, seen []chains.Sighting) {
			for i := range seen {
				if seen[i].Kind != chains.Unseen {
					continue
				}
				if looks[watched[i].SlotID]++; looks[watched[i].SlotID] == 2 {
					seen[i] = chains.Sighting{Kind: chains.Dead, LookedFor: seen[i].LookedFor, SlotDead: true, BlockTime: time.Now(), Proof: json.RawMessage(`{"unseen": "twice"}`)}
				}
			}
		},
	}
}

func includedIsPaid() bug {
	return bug{
		name: "included is paid", breaks: "only finalized facts are outcomes",
		onScan: func(_ []chains.Watched, seen []chains.Sighting) {
			for i := range seen {
				if seen[i].Kind == chains.Included && seen[i].BlockHash != "" {
					seen[i].Kind, seen[i].Proof = chains.Paid, json.RawMessage(`{"included": true}`)
				}
			}
		},
	}
}

func signsAgain() bug {
	return bug{
		name: "signs again", breaks: "S2: within the window only the same bytes are sent",
		onSent: func(d *driver, s *activities.Steps) {
			i, err := s.Store.Intent(d.w.ctx, d.id)
			if err != nil || i.Chain != d.w.sol.name || i.Status != payment.Submitted {
				return
			}
			c := s.Desks[i.Chain].Chain
			signed, err := c.Sign(d.w.ctx, chains.Order{IntentID: d.id, Seq: 1, To: i.Address, Amount: i.Amount,
				Lane: chains.Lane{Address: c.Info().Lanes[0]}, Now: time.Now()})
			if err == nil {
				c.Send(d.w.ctx, chains.StoredTx{Hash: signed.Tx.Hash, Raw: signed.Tx.Raw})
			}
		},
	}
}

func lateDeath() bug {
	return bug{
		name: "a late death", breaks: "a slot is closed by its own outcome",
		onSettle: func(d *driver, in activities.SettleInput) activities.SettleInput {
			if in.Sighting.Kind == chains.Dead {
				in.Sighting.SlotID = d.w.liveSlot(d.id)
				in.Sighting.LookedFor = 1000
			}
			return in
		},
	}
}

func freshAuthorization() bug {
	signed := 0
	return bug{
		name: "a fresh authorization", breaks: "M6: all transactions of a slot carry the same payment",
		onSign: func(o chains.Order) chains.Order {
			if o.Reuse != nil {
				signed++
				o.Reuse, o.Replaces, o.Seq = nil, nil, o.Seq+1000*signed
			}
			return o
		},
	}
}

// liveSlot is the id of an intent's live slot, "" for none.
func (w *world) liveSlot(intent string) (id string) {
	w.must(w.db.sql.QueryRow(w.ctx, `SELECT coalesce((SELECT id FROM slots WHERE intent_id = $1 AND state = 'live'), '')`, intent).Scan(&id))
	return id
}

func (b bug) scanned(watched []chains.Watched, seen []chains.Sighting) {
	if b.onScan != nil {
		b.onScan(watched, seen)
	}
}

func (b bug) signing(o chains.Order) chains.Order {
	if b.onSign == nil {
		return o
	}
	return b.onSign(o)
}

func (b bug) sent(d *driver, s *activities.Steps) {
	if b.onSent != nil {
		b.onSent(d, s)
	}
}

func (b bug) told(d *driver, in activities.SettleInput) activities.SettleInput {
	if b.onSettle == nil {
		return in
	}
	return b.onSettle(d, in)
}

// budget is how many runs a bug may take to be found. Most show within the
// first ten.
const budget = 3 * batch

// TestPlantedBugsAreFound runs the property with each bug, which it must find
// within the budget.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, plant := range bugs {
		b := plant()
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if found := search(t, plant); found == "" {
				t.Errorf("%d runs did not find it: %s", budget, b.breaks)
			} else {
				t.Logf("breaks %s\n%s", b.breaks, found)
			}
		})
	}
}

// search runs the property with a bug until it fails, and returns how.
func search(t *testing.T, plant func() bug) (found string) {
	db := &database{t: t}
	defer db.close()
	runs := 0
	over := make(chan struct{})
	go func() { // a check that fails ends its goroutine
		defer close(over)
		check(silent{t}, *first, budget, func(rt *rapid.T) {
			if found != "" {
				return // rapid would make it smaller; that it is found is enough
			}
			runs++
			defer func() {
				if p := recover(); p != nil {
					found = fmt.Sprintf("run %d: %v", runs, p)
					panic(p)
				}
			}()
			run(rt, db, plant())
		})
	}()
	<-over
	return found
}

// silent is a test whose failure is meant.
type silent struct{ *testing.T }

func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(string, ...any) { runtime.Goexit() }
func (silent) Logf(string, ...any)   {}
func (silent) Fail()                 {}
func (silent) FailNow()              { runtime.Goexit() }

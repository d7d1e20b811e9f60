package e2e_test

import (
	"strings"
	"testing"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// troubled is a Settle that meets one trouble after the other, with everything
// that was ordered of it. docs/testing.md lists which test shows which trouble.
type troubled struct {
	*deployment.Deployment
	ids    []string
	unpaid map[string]payment.Status // what those payments end as that are not settled
}

// trouble is one that is met.
type trouble struct {
	name string
	meet func(*testing.T)
}

// meet runs them in order. What comes after a failure would only repeat it.
func meet(t *testing.T, all []trouble) {
	t.Helper()
	for _, x := range all {
		if !t.Run(x.name, x.meet) {
			return
		}
	}
}

// troubledOn starts a Settle on the sandbox's chains, of which alone may replace
// some by chains of the test's own, to be paused and rewound.
func troubledOn(t *testing.T, o deployment.Options, alone func(s *sandbox.Sandbox)) *troubled {
	t.Helper()
	s := *sandbox.Start(t, sandbox.WithMigrations(deployment.Migrations))
	if alone != nil {
		alone(&s)
	}
	o.Settings = append(o.Settings, "SETTLE_UPKEEP_EVERY=1s")
	return &troubled{Deployment: deployment.Start(t, &s, o), unpaid: map[string]payment.Status{}}
}

// order creates a payment of 1.25 USDC.
func (d *troubled) order(t *testing.T, chain payment.Chain, payee string) string {
	t.Helper()
	id := d.Pay(t, t.Name()+payee, deployment.To(chain, payee, "1.25")).ID
	d.ids = append(d.ids, id)
	return id
}

// overcome fails the test unless every payment so far is made exactly once, by
// the chains' own records, or never where it is to end unpaid, and everybody
// tells the same story.
func (d *troubled) overcome(t *testing.T) {
	t.Helper()
	provenBut(t, d.Deployment, d.ids, d.unpaid)
}

// slots are all slots that a payment ever had, oldest first.
func (d *troubled) slots(t *testing.T, id string) (all []store.Slot) {
	t.Helper()
	attempts, err := d.Store.IntentAttempts(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range attempts {
		all = append(all, a.Slots...)
	}
	return all
}

// sent waits until a payment has left us, and returns its transactions' hashes,
// oldest first.
func (d *troubled) sent(t *testing.T, id string) (hashes []string) {
	t.Helper()
	d.Await(t, within, []string{id}, payment.Submitted, payment.Confirming, payment.Settled)
	for _, s := range d.slots(t, id) {
		for _, tx := range s.Transactions {
			hashes = append(hashes, tx.Hash)
		}
	}
	return hashes
}

// signedOnce fails the test if a payment was signed for more than once.
func (d *troubled) signedOnce(t *testing.T, id string) {
	t.Helper()
	if hashes := d.sent(t, id); len(hashes) != 1 || d.Get(t, id).TxHash != hashes[0] {
		t.Errorf("%s was paid by %s, of %v that were signed: want the first to be sent again", id, d.Get(t, id).TxHash, hashes)
	}
}

// reorged waits until the merchant is told that the block of a payment is gone.
func (d *troubled) reorged(t *testing.T, id string) {
	t.Helper()
	eventually(t, func() bool {
		for _, e := range d.Events(t, id) {
			if e.Data.Object.Status == payment.Submitted && e.Data.Object.Substatus == payment.Reorged {
				return true
			}
		}
		return false
	}, "the merchant was not told that %s is in no block any more", id)
}

// refused waits until a person is asked because the chain refused a payment.
func (d *troubled) refused(t *testing.T, id, reason string) {
	t.Helper()
	r := d.Await(t, within, []string{id}, payment.ManualReview)[0]
	if r.Review.Reason != payment.ReviewChainRevert || !strings.Contains(r.Review.Detail, reason) {
		t.Fatalf("%s is in review for %+v, want %s because of %q", id, r.Review, payment.ReviewChainRevert, reason)
	}
}

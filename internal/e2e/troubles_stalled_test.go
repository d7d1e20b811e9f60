package e2e_test

import (
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// TestStalledPaymentsSettleWhenTheirChainMovesAgain halts both chains under
// payments that were sent: a person is asked about each, nothing is lost, and when
// the chains move again the payments settle although nobody has decided.
func TestStalledPaymentsSettleWhenTheirChainMovesAgain(t *testing.T) {
	t.Parallel()
	ethereum, solana := sandbox.StartEthereum(t, 250*time.Millisecond), sandbox.StartSolana(t, 100*time.Millisecond)
	d := troubledOn(t, deployment.Options{SkipSolanaSlots: true, Settings: []string{"SETTLE_STALLED_AFTER=3s"}}, func(s *sandbox.Sandbox) {
		s.Descriptor.Ethereum, s.Descriptor.Solana = ethereum.Ethereum, solana
	})
	ethereum.Pause(t)
	solana.Pause(t, true)
	for _, chain := range []payment.Chain{"ethereum", "solana"} {
		d.order(t, chain, payeeOn(t, chain))
	}
	for _, r := range d.Await(t, within, d.ids, payment.ManualReview) {
		if r.Review.Reason != payment.ReviewStalled {
			t.Errorf("%s is in review for %+v, want %s", r.ID, r.Review, payment.ReviewStalled)
		}
	}
	if paid := d.PaidOnChain(t, d.ids); len(paid) != 0 {
		t.Errorf("paid on halted chains: %+v", paid)
	}
	d.BooksClose(t)

	ethereum.Resume(t)
	solana.Pause(t, false)
	d.overcome(t)
	for _, id := range d.ids {
		d.signedOnce(t, id)
	}
}

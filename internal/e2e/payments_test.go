package e2e_test

import (
	"cmp"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

// within bounds every wait of these tests; they end as soon as they can.
const within = 4 * time.Minute

func setup(t *testing.T, o deployment.Options) *deployment.Deployment {
	t.Helper()
	s := sandbox.Start(t, sandbox.WithMigrations(deployment.Migrations))
	return deployment.Start(t, s, o)
}

// pay sends n payments over both chains, each to a payee of its own, and returns their ids.
func pay(t *testing.T, d *deployment.Deployment, n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		chain := []payment.Chain{"ethereum", "solana"}[i%2]
		ids[i] = d.Pay(t, fmt.Sprintf("%s-%d", t.Name(), i), deployment.To(chain, payeeOn(t, chain), fmt.Sprintf("%d.%06d", 1+i%50, i))).ID
	}
	return ids
}

// proven fails the test unless every payment is settled once, everybody tells
// the same story, and the books close.
func proven(t *testing.T, d *deployment.Deployment, ids []string) {
	t.Helper()
	provenBut(t, d, ids, nil)
}

// provenBut is proven for payments some of which end otherwise.
func provenBut(t *testing.T, d *deployment.Deployment, ids []string, otherwise map[string]payment.Status) {
	t.Helper()
	for _, r := range d.Await(t, within, ids) {
		if want := cmp.Or(otherwise[r.ID], payment.Settled); r.Status != want {
			t.Errorf("%s is %s, want %s: %+v", r.ID, r.Status, want, r.Failure)
		}
	}
	for _, c := range d.Contradictions(t, ids) {
		t.Error(c)
	}
	if s := d.Receiver.Stats(); s.BadSignatures != 0 {
		t.Errorf("%d webhooks had a bad signature", s.BadSignatures)
	}
	d.BooksClose(t)
}

func TestPaymentsAreMadeOnceAndEverybodyAgrees(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{EventTypes: []string{"*"}})
	proven(t, d, pay(t, d, 12))
}

func TestReviewBySignal(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{ReviewAbove: 500_000_000})
	approve := d.Pay(t, "large-1", deployment.To("ethereum", sandbox.NewEthereumAddress(t), "500.000001"))
	reject := d.Pay(t, "large-2", deployment.To("solana", sandbox.NewSolanaAddress(t), "600"))
	small := d.Pay(t, "small", deployment.To("solana", sandbox.NewSolanaAddress(t), "500"))
	for _, r := range d.Await(t, within, []string{approve.ID, reject.ID}, payment.ManualReview) {
		if r.Review.Reason != payment.ReviewPolicy {
			t.Errorf("%s is in review for %s", r.ID, r.Review.Reason)
		}
	}
	signal := func(id string, action payment.ReviewAction) {
		if err := d.Temporal.SignalWorkflow(t.Context(), id, "", workflows.ReviewSignal, payment.Review{Action: action, Actor: "ops@example.com", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	// A decision that lacks its reason changes nothing.
	if err := d.Temporal.SignalWorkflow(t.Context(), approve.ID, "", workflows.ReviewSignal, payment.Review{Action: payment.Approve, Actor: "ops@example.com"}); err != nil {
		t.Fatal(err)
	}
	signal(approve.ID, payment.Approve)
	signal(reject.ID, payment.Reject)
	got := d.Await(t, within, []string{approve.ID, reject.ID, small.ID})
	for i, want := range []payment.Status{payment.Settled, payment.Rejected, payment.Settled} {
		if got[i].Status != want {
			t.Errorf("%s is %s, want %s", got[i].ID, got[i].Status, want)
		}
	}
	for _, c := range d.Contradictions(t, []string{approve.ID, reject.ID, small.ID}) {
		t.Error(c)
	}
	d.BooksClose(t)
}

func TestCancelInReview(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{ReviewAbove: 1_000_000})
	held := d.Pay(t, "cancel-me", deployment.To("ethereum", sandbox.NewEthereumAddress(t), "2"))
	d.Await(t, within, []string{held.ID}, payment.ManualReview)
	a, err := d.Call(t.Context(), http.MethodPost, "/v1/payment_intents/"+held.ID+"/cancel", "cancel-1", map[string]any{})
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("cancel: %v %d %s", err, a.Status, a.Body)
	}
	if got := a.Intent(t); got.Status != payment.Canceled {
		t.Fatalf("canceled intent is %s", got.Status)
	}
	for _, c := range d.Contradictions(t, []string{held.ID}) {
		t.Error(c)
	}
	d.BooksClose(t)
}

// A 201 is a promise even if nobody can work on it yet.
func TestAcceptedWhileNoWorkerRuns(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	d.Workers[0].Kill()
	ids := pay(t, d, 4)
	d.Workers[0].Start()
	proven(t, d, ids)
}

func payeeOn(t *testing.T, chain payment.Chain) string {
	t.Helper()
	if chain == "solana" {
		return sandbox.NewSolanaAddress(t)
	}
	return sandbox.NewEthereumAddress(t)
}

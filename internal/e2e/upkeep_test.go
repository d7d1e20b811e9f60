package e2e_test

import (
	"slices"
	"strings"
	"testing"

	enums "go.temporal.io/api/enums/v1"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// Somebody terminates the workflows of payments, one that was sent and one
// that waits for a person. The first is settled and its merchant told, the
// second can be decided, without anybody starting a workflow by hand.
func TestTerminatedWorkflowsAreStartedAgain(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{ReviewAbove: 500_000_000, Settings: []string{"SETTLE_UPKEEP_EVERY=1s"}})
	sent := d.Pay(t, "sent", deployment.To("ethereum", sandbox.NewEthereumAddress(t), "2")).ID
	held := d.Pay(t, "held", deployment.To("ethereum", sandbox.NewEthereumAddress(t), "501")).ID
	d.Await(t, within, []string{sent}, payment.Submitted, payment.Confirming, payment.Settled)
	d.Await(t, within, []string{held}, payment.ManualReview)
	for _, id := range []string{sent, held} {
		_ = d.Temporal.TerminateWorkflow(t.Context(), id, "", "test") // the first may be done
	}
	eventually(t, func() bool { return running(t, d, held) }, "the workflow of %s is not started again", held)
	decide(t, d, held, payment.Approve)
	ids := []string{sent, held}
	for _, r := range d.Await(t, within, ids) {
		if r.Status != payment.Settled {
			t.Errorf("%s is %s", r.ID, r.Status)
		}
	}
	// The first workflow stays terminated, since nothing was left for it to do.
	eventually(t, func() bool {
		return !slices.ContainsFunc(d.Contradictions(t, ids), func(c string) bool { return !strings.HasPrefix(c, sent+": workflow: ") })
	}, "not everybody tells the same of %v", ids)
	d.BooksClose(t)
}

// running reports whether the newest workflow of an intent runs.
func running(t *testing.T, d *deployment.Deployment, id string) bool {
	t.Helper()
	w, err := d.Temporal.DescribeWorkflowExecution(t.Context(), id, "")
	if err != nil {
		t.Fatal(err)
	}
	return w.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
}

package workflows

import (
	"fmt"
	"strings"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/payment"
)

// Names that clients and operators use.
const (
	PaymentWorkflow          = "Payment"          // workflow type; its id is the intent's id
	DeliveryWorkflow         = "WebhookDelivery"  // workflow type; retries one delivery
	BatchWorkflow            = "Batch"            // workflow type; its id is the batch's id
	UpkeepWorkflow           = "Upkeep"           // workflow type; looks after what lives on one chain
	RestartWorkflow          = "Restart"          // workflow type; starts what has lost its workflow
	ScheduledPaymentWorkflow = "ScheduledPayment" // workflow type; creates the payment of a schedule's due time
	ReviewSignal             = "review"           // payload: payment.Review
	LookSignal               = "look"             // no payload: what the intent waits for was decided elsewhere
	StateQuery               = "state"            // answer: activities.State
)

// Search attributes, registered in the namespace.
var (
	StatusKey   = temporal.NewSearchAttributeKeyKeyword("PaymentStatus")
	ChainKey    = temporal.NewSearchAttributeKeyKeyword("PaymentChain")
	MerchantKey = temporal.NewSearchAttributeKeyKeyword("MerchantId")
	AmountKey   = temporal.NewSearchAttributeKeyInt64("AmountUnits") // base units; amounts above int64 are left out
)

// PaymentInput starts a Payment. Everything else is read from the database.
type PaymentInput struct {
	IntentID string `json:"intent_id"`
	// Asked continues a payment in review in a new history: what a reviewer
	// sent since the question was asked counts.
	Asked bool `json:"asked,omitempty"`
}

// StartOptions starts the workflow of an intent: the id is the intent's, so a
// second start finds the first, running or closed. The database guards the
// payment all the same, since Temporal forgets ids after retention.
func StartOptions(i payment.Intent, taskQueue string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       i.ID,
		TaskQueue:                taskQueue,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    searchable(i, payment.Created),
		Memo:                     memo(i),
		StaticSummary:            summary(i),
		StaticDetails:            details(i),
	}
}

// DeliveryQueue is the task queue of webhooks that are delivered again, beside a
// deployment's queue for payments: endpoints that are slow or gone take nothing
// from payments, nor from first deliveries, which payments make. Of itself it is
// itself.
func DeliveryQueue(taskQueue string) string {
	return strings.TrimSuffix(taskQueue, deliverySuffix) + deliverySuffix
}

const deliverySuffix = "-webhooks"

// BatchOptions start the workflow of a batch, or find it running. One that ended
// before its batch, because it was terminated, is started again.
func BatchOptions(b payment.Batch, taskQueue string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       b.ID,
		TaskQueue:                taskQueue,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(MerchantKey.ValueSet(b.MerchantID)),
		Memo:                     map[string]any{"merchant": b.MerchantID, "reference": b.Reference, "request_id": b.RequestID},
		StaticSummary:            fmt.Sprintf("%d payments of %s %s in all", b.Lines, b.Amount.Decimal(b.Asset.Decimals), b.Asset.Code),
	}
}

// DeliveryOptions start the workflow of a delivery that was asked for again. One
// that waits for its next attempt gives way, since this one is due now.
func DeliveryOptions(d activities.DeliveryRef, taskQueue string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       deliveryID(d),
		TaskQueue:                DeliveryQueue(taskQueue),
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
	}
}

func deliveryID(d activities.DeliveryRef) string { return d.EventID + "/" + d.EndpointID }

// searchable is what a payment's workflow can be found by.
func searchable(i payment.Intent, status payment.Status) temporal.SearchAttributes {
	attrs := []temporal.SearchAttributeUpdate{
		StatusKey.ValueSet(string(status)),
		MerchantKey.ValueSet(i.MerchantID),
	}
	if units, ok := i.Amount.Uint64(); ok && units <= 1<<63-1 {
		attrs = append(attrs, AmountKey.ValueSet(int64(units)))
	}
	return temporal.NewSearchAttributes(attrs...)
}

func memo(i payment.Intent) map[string]any {
	return map[string]any{"amount": amount(i), "merchant": i.MerchantID, "reference": i.Reference, "request_id": i.RequestID}
}

func summary(i payment.Intent) string {
	return short(fmt.Sprintf("%s to %s", amount(i), payee(i)), 200)
}

func details(i payment.Intent) string {
	return fmt.Sprintf("Payment intent `%s` of merchant `%s`, request `%s`.\n\nIn manual_review, decide with\n\n    temporal workflow signal --workflow-id %s --name %s --input '{\"action\":\"approve\",\"actor\":\"you@example.com\",\"reason\":\"...\"}'",
		i.ID, i.MerchantID, i.RequestID, i.ID, ReviewSignal)
}

func amount(i payment.Intent) string { return i.Amount.Decimal(i.Asset.Decimals) + " " + i.Asset.Code }

func payee(i payment.Intent) string {
	text := ""
	for n, d := range i.Destinations {
		if n > 0 {
			text += " or "
		}
		text += fmt.Sprintf("%s on %s", d.Address, d.Chain)
	}
	return text
}

func short(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n]
}

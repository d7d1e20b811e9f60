package payment

import (
	"encoding/json"
	"slices"
	"time"
)

// BatchStatus is how far a batch is. What became of its lines is in their
// payments.
type BatchStatus string

// The states of a batch. Invalid, completed and canceled are terminal.
const (
	BatchValidating BatchStatus = "validating" // the upload is under way; shown to nobody
	BatchReady      BatchStatus = "ready"      // every line is valid; may be started
	BatchInvalid    BatchStatus = "invalid"    // some lines are not valid; nothing of it is ever paid
	BatchProcessing BatchStatus = "processing" // its total is held, and lines become payments one after the other
	BatchCompleted  BatchStatus = "completed"  // every line became a payment, and all of them have ended
	BatchCanceled   BatchStatus = "canceled"   // no further line becomes a payment; those under way go on
)

// BatchStatuses lists every status in the order of a batch's life.
func BatchStatuses() []BatchStatus {
	return []BatchStatus{BatchValidating, BatchReady, BatchInvalid, BatchProcessing, BatchCompleted, BatchCanceled}
}

// batchTransitions is the whole state machine. migrations/ holds the same table
// for the guard trigger; a test compares the two.
var batchTransitions = map[BatchStatus][]BatchStatus{
	BatchValidating: {BatchReady, BatchInvalid},
	BatchReady:      {BatchProcessing, BatchCanceled},
	BatchProcessing: {BatchCompleted, BatchCanceled},
}

// CanBecome reports whether the table lists the change from s to next.
func (s BatchStatus) CanBecome(next BatchStatus) bool {
	return slices.Contains(batchTransitions[s], next)
}

// Valid reports whether s is one of BatchStatuses.
func (s BatchStatus) Valid() bool { return slices.Contains(BatchStatuses(), s) }

// Statuses of a line that has no payment; one that has shows the payment's.
// Lines of a canceled batch that never became payments are Canceled.
const (
	LineInvalid Status = "invalid" // not valid: see its errors
	LinePending Status = "pending" // to become a payment
)

// LineStatuses lists every status that a line of a batch can show.
func LineStatuses() []Status { return append([]Status{LineInvalid, LinePending}, Statuses()...) }

// MaxBatchLines is how many lines a batch may have.
const MaxBatchLines = 100_000

// Batch is many orders that came in one file.
type Batch struct {
	ID           string
	MerchantID   string
	Mode         Mode
	Status       BatchStatus
	Reference    string
	Metadata     map[string]string
	Asset        Asset // of every line
	Lines        int
	InvalidLines int
	Amount       Amount // of all valid lines, base units of Asset
	HoldID       string // ledger transfer that holds Amount since the start; "" before
	RequestID    string // correlation id of the upload
	CreatedAt    time.Time
	StartedAt    *time.Time
	EndedAt      *time.Time
}

// BatchResource is a batch as the API, events and webhooks show it.
type BatchResource struct {
	ID           string            `json:"id" example:"batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object       string            `json:"object" enum:"batch"`
	Mode         Mode              `json:"mode" enum:"test,live"`
	Status       BatchStatus       `json:"status" enum:"ready,invalid,processing,completed,canceled"`
	Reference    string            `json:"reference,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Asset        string            `json:"asset" example:"USDC"`
	Lines        int               `json:"lines"`
	InvalidLines int               `json:"invalid_lines"`
	Amount       string            `json:"amount" doc:"Of all valid lines: decimal string in units of the asset" example:"1250.000000"`
	Held         string            `json:"held" doc:"Part of the amount that is held for lines that are no payments yet; payments have holds of their own" example:"1000.000000"`
	Progress     []BatchCount      `json:"progress" doc:"Lines by status"`
	CreatedAt    time.Time         `json:"created_at"`
	StartedAt    *time.Time        `json:"started_at,omitempty"`
	EndedAt      *time.Time        `json:"ended_at,omitempty"`
}

// BatchCount counts the lines of a batch in one status.
type BatchCount struct {
	Status Status `json:"status" doc:"invalid, pending (no payment yet), or the status of the line's payment" enum:"invalid,pending,created,routed,submitted,confirming,manual_review,settled,failed,canceled,expired,rejected"`
	Lines  int64  `json:"lines"`
	Amount string `json:"amount" example:"250.000000"`
}

// Resource renders the batch. Held and Progress are left to who counts its lines.
func (b Batch) Resource() BatchResource {
	return BatchResource{ID: b.ID, Object: "batch", Mode: b.Mode, Status: b.Status, Reference: b.Reference, Metadata: b.Metadata, Asset: b.Asset.Code,
		Lines: b.Lines, InvalidLines: b.InvalidLines, Amount: b.Amount.Decimal(b.Asset.Decimals), Progress: []BatchCount{},
		CreatedAt: b.CreatedAt.UTC(), StartedAt: UTC(b.StartedAt), EndedAt: UTC(b.EndedAt)}
}

// BatchLine is one order of a batch. A line with Errors is no order: its other
// fields hold what could be read.
type BatchLine struct {
	Line         int // from 1
	Amount       Amount
	Destinations []Destination
	Allowed      []Chain // as of Intent
	Priority     Priority
	MaxFee       *Amount
	Deadline     *time.Time
	Reference    string
	Metadata     map[string]string
	Errors       json.RawMessage // what is wrong, as the API shows it; nil: nothing
}

// BatchRef names the batch and the line that ordered a payment.
type BatchRef struct {
	ID   string `json:"id" example:"batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Line int    `json:"line" doc:"From 1" example:"17"`
}

// Intent is the payment that a line orders, to be given an id and its hold.
func (b Batch) Intent(l BatchLine) Intent {
	return Intent{
		MerchantID: b.MerchantID, Mode: b.Mode, Asset: b.Asset, Amount: l.Amount, Destinations: l.Destinations, Allowed: l.Allowed,
		Priority: l.Priority, MaxFee: l.MaxFee, Deadline: l.Deadline, Reference: l.Reference, Metadata: l.Metadata,
		RequestID: b.RequestID, Batch: &BatchRef{ID: b.ID, Line: l.Line},
	}
}

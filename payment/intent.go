package payment

import (
	"slices"
	"time"
)

// Chain is the configured name of a network, e.g. "ethereum" or "solana".
type Chain string

// Mode separates test from live money; it comes from the API key.
type Mode string

// Modes.
const (
	Test Mode = "test"
	Live Mode = "live"
)

// Priority weighs the routes.
type Priority string

// Priorities.
const (
	Cheap    Priority = "cheap"
	Fast     Priority = "fast"
	Reliable Priority = "reliable"
)

// Destination is where the payee takes money on one chain. Address is in the
// chain's canonical form (EIP-55 checksum, base58 owner).
type Destination struct {
	Chain   Chain  `json:"chain" doc:"Configured chain" example:"ethereum"`
	Address string `json:"address" doc:"Payee: EIP-55 address, or a Solana owner (never a token account)" example:"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`
}

// Failure says why an intent ended without payment.
type Failure struct {
	Code    string `json:"code" doc:"Stable code"`
	Message string `json:"message" doc:"What happened, for people"`
}

// Intent is a payment order and what became of it.
type Intent struct {
	ID           string
	MerchantID   string
	Mode         Mode
	Asset        Asset
	Amount       Amount // base units of Asset
	Destinations []Destination
	Allowed      []Chain // no other chain may pay it; empty: each of Destinations may
	Priority     Priority
	MaxFee       *Amount // base units of Asset; nil: no bound
	Deadline     *time.Time
	Reference    string
	Metadata     map[string]string
	Quote        string // id of the quote that it was ordered by; "": none
	RetryOf      string // id of the unpaid intent that it orders again; "": none
	Status       Status
	Substatus    Substatus
	ReviewReason ReviewReason
	ReviewDetail string
	Approved     bool // a person approved it past the policy limits
	Chain        Chain
	Address      string // the destination on Chain
	TxHash       string // of the paying transaction, once it is in a block
	Failure      *Failure
	HoldID       string // ledger transfer that holds the funds; empty if it is sponsored
	// Authorization is the payer's of a sponsored payment: it moves the payer's
	// money, and we pay the gas. nil: we pay from a treasury.
	Authorization *Authorization
	RequestID     string    // correlation id of the creating HTTP request
	Batch         *BatchRef // the line that ordered it; nil: a request of its own
	Version       int64     // sequence of the newest event; 1 at creation
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Sponsored reports whether the money is a payer's own, and only the gas ours.
func (i Intent) Sponsored() bool { return i.Authorization != nil }

// Allows reports whether the order lets the chain pay it.
func (i Intent) Allows(c Chain) bool { return len(i.Allowed) == 0 || slices.Contains(i.Allowed, c) }

// APIVersion dates the shape of Resource and of event bodies.
const APIVersion = "2026-11-01"

// ReviewState is the API's view of a manual review.
type ReviewState struct {
	Reason ReviewReason `json:"reason" enum:"policy,no_route,outcome_unknown,stalled,chain_revert"`
	Detail string       `json:"detail,omitempty"`
}

// Resource is the intent as the API, events and webhooks show it: one shape,
// rendered in one place, so that they cannot tell different stories.
type Resource struct {
	ID            string              `json:"id" example:"pi_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object        string              `json:"object" enum:"payment_intent"`
	Mode          Mode                `json:"mode" enum:"test,live"`
	Status        Status              `json:"status" enum:"created,routed,submitted,confirming,manual_review,settled,failed,canceled,expired,rejected"`
	Substatus     Substatus           `json:"substatus,omitempty"`
	Amount        string              `json:"amount" doc:"Decimal string in units of the asset" example:"12.500000"`
	Asset         string              `json:"asset" example:"USDC"`
	Destinations  []Destination       `json:"destinations"`
	Allowed       []Chain             `json:"allowed_chains,omitempty" doc:"No other chain pays it; absent: each of the destinations may"`
	Priority      Priority            `json:"priority" enum:"cheap,fast,reliable"`
	MaxFee        string              `json:"max_fee,omitempty" doc:"Decimal string in units of the asset"`
	Deadline      *time.Time          `json:"deadline,omitempty"`
	Reference     string              `json:"reference,omitempty"`
	Metadata      map[string]string   `json:"metadata,omitempty"`
	Quote         string              `json:"quote,omitempty" doc:"The quote that it was ordered by"`
	RetryOf       string              `json:"retry_of,omitempty" doc:"The unpaid payment that it orders again"`
	Authorization *AuthorizationTerms `json:"authorization,omitempty" doc:"The payer's, if the payment is sponsored: the payer's money moves, not yours"`
	Chain         Chain               `json:"chain,omitempty" doc:"The chain that was chosen"`
	Address       string              `json:"address,omitempty" doc:"The destination that was chosen"`
	TxHash        string              `json:"transaction_hash,omitempty" doc:"The paying transaction, once it is in a block"`
	Review        *ReviewState        `json:"review,omitempty"`
	Failure       *Failure            `json:"failure,omitempty"`
	Batch         *BatchRef           `json:"batch,omitempty" doc:"The line of a batch that ordered it"`
	Sequence      int64               `json:"sequence" doc:"Number of the newest event of this intent; 1 at creation, gapless"`
	CreatedAt     time.Time           `json:"created_at"`
	UpdatedAt     time.Time           `json:"updated_at"`
}

// Resource renders the intent.
func (i Intent) Resource() Resource {
	r := Resource{
		ID: i.ID, Object: "payment_intent", Mode: i.Mode, Status: i.Status, Substatus: i.Substatus,
		Amount: i.Amount.Decimal(i.Asset.Decimals), Asset: i.Asset.Code,
		Destinations: i.Destinations, Allowed: i.Allowed, Priority: i.Priority, Deadline: UTC(i.Deadline),
		Reference: i.Reference, Metadata: i.Metadata, Quote: i.Quote, RetryOf: i.RetryOf, Chain: i.Chain, Address: i.Address, TxHash: i.TxHash,
		Failure: i.Failure, Batch: i.Batch, Sequence: i.Version, CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.UpdatedAt.UTC(),
	}
	if i.Sponsored() {
		terms := i.Authorization.AuthorizationTerms
		r.Authorization = &terms
	}
	if i.MaxFee != nil {
		r.MaxFee = i.MaxFee.Decimal(i.Asset.Decimals)
	}
	if i.Status == ManualReview && i.ReviewReason != "" { // without a reason it was decided and goes on
		r.Review = &ReviewState{Reason: i.ReviewReason, Detail: i.ReviewDetail}
	}
	return r
}

// EventType names a change of an intent, e.g. "payment_intent.settled".
type EventType string

// EventTypeOf is the event that announces a status.
func EventTypeOf(s Status) EventType { return EventType("payment_intent." + string(s)) }

// IntentUpdated announces a change that left the status as it was.
const IntentUpdated EventType = "payment_intent.updated"

// Event is the body of a webhook and of an entry of the event log. Its bytes
// are rendered once, stored, and signed as stored (Standard Webhooks:
// type, timestamp, data).
type Event struct {
	ID         string    `json:"id"`
	Object     string    `json:"object" enum:"event"`
	Type       EventType `json:"type"`
	APIVersion string    `json:"api_version"`
	Timestamp  time.Time `json:"timestamp"`
	Data       EventData `json:"data"`
}

// EventData carries the full snapshot after the change, so that a consumer
// needs no second call and may apply events by Object.Sequence.
type EventData struct {
	Object         Resource `json:"object"`
	PreviousStatus Status   `json:"previous_status,omitempty"`
}

// UTC is an optional time as every resource shows it; nil stays nil.
func UTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

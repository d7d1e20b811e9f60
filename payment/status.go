package payment

import "slices"

// Status drives logic; what it cannot say is in the intent's Substatus.
type Status string

// The states of an intent. The last five are terminal.
const (
	Created      Status = "created"       // accepted: intent, hold and first event are stored
	Routed       Status = "routed"        // the chain to pay on is chosen
	Submitted    Status = "submitted"     // signed bytes may have left us
	Confirming   Status = "confirming"    // included in a block, still reversible
	ManualReview Status = "manual_review" // waits for a person, see ReviewReason
	Settled      Status = "settled"       // paid, at a finalized block
	Failed       Status = "failed"        // proven: nothing was paid and nothing can be
	Canceled     Status = "canceled"      // stopped by the merchant before anything could land
	Expired      Status = "expired"       // the deadline passed before anything could land
	Rejected     Status = "rejected"      // refused by policy or by a reviewer
)

// Statuses lists every status in the order of a payment's life.
func Statuses() []Status {
	return []Status{Created, Routed, Submitted, Confirming, ManualReview, Settled, Failed, Canceled, Expired, Rejected}
}

// transitions is the whole state machine. migrations/ holds the same table
// for the guard trigger; a test compares the two.
var transitions = map[Status][]Status{
	Created:      {Routed, ManualReview, Failed, Canceled, Expired, Rejected},
	Routed:       {Submitted, ManualReview, Failed, Canceled, Expired, Rejected},
	Submitted:    {Routed, Confirming, ManualReview, Settled, Failed, Canceled, Expired},
	Confirming:   {Routed, Submitted, ManualReview, Settled, Failed, Canceled, Expired},
	ManualReview: {Routed, Submitted, Confirming, Settled, Failed, Canceled, Expired, Rejected},
}

// Terminal reports whether the status never changes again.
func (s Status) Terminal() bool { return len(transitions[s]) == 0 }

// Valid reports whether s is one of Statuses.
func (s Status) Valid() bool { return slices.Contains(Statuses(), s) }

// CanBecome reports whether the table lists the change from s to next.
func (s Status) CanBecome(next Status) bool { return slices.Contains(transitions[s], next) }

// Next returns the statuses that s may become, in the order of Statuses.
func (s Status) Next() []Status { return slices.Clone(transitions[s]) }

// Cancelable reports whether a merchant may still stop the payment by asking:
// as long as no signed bytes can have left us.
func (s Status) Cancelable() bool { return s == Created || s == Routed || s == ManualReview }

// Substatus explains a status; it never drives logic.
type Substatus string

// Substatuses in use.
const (
	NoSubstatus      Substatus = ""
	AwaitingWorkflow Substatus = "awaiting_workflow" // accepted, not yet picked up
	Reserved         Substatus = "reserved"          // signed bytes stored, not yet sent
	AwaitingBlock    Substatus = "awaiting_inclusion"
	AwaitingFinality Substatus = "awaiting_finality"
	Reorged          Substatus = "reorged"      // was in a block that is no longer canonical
	FeeBumped        Substatus = "fee_bumped"   // sent again at a higher price, under the same nonce
	FeeCapped        Substatus = "fee_capped"   // the market asks for more than a cap allows; goes on when it falls
	AwaitingGas      Substatus = "awaiting_gas" // the lane's account cannot pay the fee; goes on when it is topped up
	Fencing          Substatus = "fencing"      // the slot is being made to die, so that the payment can end or go another way
	RPCDegraded      Substatus = "rpc_degraded" // the chain's nodes do not answer
)

// ReviewReason says why an intent waits for a person.
type ReviewReason string

// Reasons of manual review.
const (
	ReviewPolicy         ReviewReason = "policy"          // limit or allowlist; approve or reject
	ReviewNoRoute        ReviewReason = "no_route"        // no chain qualifies; retry or cancel
	ReviewOutcomeUnknown ReviewReason = "outcome_unknown" // the chain has not answered for long
	ReviewStalled        ReviewReason = "stalled"         // sent, not included for long
	ReviewChainRevert    ReviewReason = "chain_revert"    // the chain refused the payment; retry or reject
)

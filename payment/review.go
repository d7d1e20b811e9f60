package payment

import (
	"fmt"
	"strings"
)

// ReviewAction is what a reviewer decides about an intent in manual review.
type ReviewAction string

// Review actions.
const (
	Approve      ReviewAction = "approve" // go on, past the policy limit
	Reject       ReviewAction = "reject"  // end as rejected, once nothing can land
	Retry        ReviewAction = "retry"   // try the step that stopped again
	Reroute      ReviewAction = "reroute" // pay on another chain, once nothing can land on this one
	CancelAction ReviewAction = "cancel"  // end as canceled, once nothing can land
)

// Review is the payload of the signal "review". Actor and Reason go into the
// audit log and are required.
type Review struct {
	Action ReviewAction `json:"action"`
	Actor  string       `json:"actor"`
	Reason string       `json:"reason"`
}

// Validate returns an error that says what to correct.
func (r Review) Validate() error {
	switch r.Action {
	case Approve, Reject, Retry, Reroute, CancelAction:
	default:
		return fmt.Errorf("action %q is unknown: use approve, reject, retry, reroute or cancel", r.Action)
	}
	if strings.TrimSpace(r.Actor) == "" {
		return fmt.Errorf("actor is missing: say who decides, e.g. ops@example.com")
	}
	if strings.TrimSpace(r.Reason) == "" {
		return fmt.Errorf("reason is missing: say why, it goes into the audit log")
	}
	return nil
}

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// How much of a payment's history a timeline shows at most.
const (
	maxTimelineEvents   = 1000
	maxTimelineWebhooks = 1000
)

// TimelineEntry is something that happened to a payment.
type TimelineEntry struct {
	At      time.Time     `json:"at"`
	Kind    string        `json:"kind" enum:"accepted,routed,sent,seen,reorged,review,updated,settled,failed,canceled,expired,rejected,signed,outbid,stopping,final,dead,webhook_delivered,webhook_failed"`
	Summary string        `json:"summary" doc:"What happened, for people"`
	Chain   payment.Chain `json:"chain,omitempty"`
	TxHash  string        `json:"transaction_hash,omitempty"`
	EventID string        `json:"event_id,omitempty" doc:"The event that told of it"`
}

// Timeline is what happened to a payment, oldest first.
type Timeline struct {
	Page
	Data []TimelineEntry `json:"data"`
}

type timelineOutput struct{ Body Timeline }

// timeline tells a payment's story from what is stored of it.
func (s *Server) timeline(ctx context.Context, in *IntentPath) (*timelineOutput, error) {
	i, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	events, err := s.store.IntentEvents(ctx, i.MerchantID, i.Mode, i.ID, 0, maxTimelineEvents)
	if err != nil {
		return nil, err
	}
	attempts, err := s.store.IntentAttempts(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	webhooks, err := s.store.IntentWebhookAttempts(ctx, i.ID, maxTimelineWebhooks)
	if err != nil {
		return nil, err
	}
	all, err := fromEvents(events)
	if err != nil {
		return nil, err
	}
	all = append(append(all, fromAttempts(attempts)...), fromWebhooks(webhooks)...)
	slices.SortStableFunc(all, func(a, b TimelineEntry) int { return a.At.Compare(b.At) })
	return &timelineOutput{Timeline{Page: Page{Object: "list"}, Data: all}}, nil
}

// fromEvents tells the changes of the payment itself.
func fromEvents(rows []store.EventRow) ([]TimelineEntry, error) {
	out := make([]TimelineEntry, len(rows))
	for n, row := range rows {
		var e payment.Event
		if err := json.Unmarshal(row.Body, &e); err != nil {
			return nil, fmt.Errorf("event %s: %w", row.ID, err)
		}
		out[n] = fromEvent(e)
	}
	return out, nil
}

func fromEvent(e payment.Event) TimelineEntry {
	p := e.Data.Object
	entry := TimelineEntry{At: e.Timestamp.UTC(), Kind: strings.TrimPrefix(string(e.Type), "payment_intent."), Chain: p.Chain, TxHash: p.TxHash, EventID: e.ID}
	was := e.Data.PreviousStatus
	switch p.Status { //nolint:exhaustive // the others are of lines, not of payments
	case payment.Created:
		entry.Kind, entry.Summary = "accepted", fmt.Sprintf("Accepted; %s %s are held for it", p.Amount, p.Asset)
		if p.Authorization != nil {
			entry.Summary = fmt.Sprintf("Accepted; %s has authorized %s %s", p.Authorization.From, p.Amount, p.Asset)
		}
	case payment.Routed:
		entry.Summary = fmt.Sprintf("Goes over %s to %s", p.Chain, p.Address)
		if was == payment.Created {
			entry.Summary = fmt.Sprintf("Screened, and routed over %s to %s", p.Chain, p.Address)
		}
	case payment.Submitted:
		entry.Kind, entry.Summary = "sent", "Handed to the nodes of "+string(p.Chain)
		if p.Substatus == payment.Reorged {
			entry.Kind, entry.Summary = "reorged", "Its block was replaced; the same bytes are sent again"
		}
	case payment.Confirming:
		entry.Kind, entry.Summary = "seen", "In a block, not final yet"
	case payment.ManualReview:
		entry.Kind, entry.Summary = "review", "Was decided and goes on"
		if p.Review != nil {
			entry.Summary = fmt.Sprintf("Waits for a person (%s): %s", p.Review.Reason, p.Review.Detail)
		}
	case payment.Settled:
		entry.Summary = "Paid, at a finalized block"
	case payment.Failed, payment.Canceled, payment.Expired, payment.Rejected:
		entry.Summary = fmt.Sprintf("Ended as %s, and the hold is released", p.Status)
		if p.Authorization != nil {
			entry.Summary = "Ended as " + string(p.Status)
		}
		if p.Failure != nil {
			entry.Summary += ": " + p.Failure.Message
		}
	}
	if e.Type == payment.IntentUpdated && p.Review == nil {
		entry.Kind, entry.Summary = "updated", "Still "+string(p.Status)+explained(p.Substatus)
	}
	return entry
}

func explained(s payment.Substatus) string {
	if s == payment.NoSubstatus {
		return ""
	}
	return ": " + strings.ReplaceAll(string(s), "_", " ")
}

// fromAttempts tells what was signed, what left us, and what the chain made of it.
func fromAttempts(attempts []store.Attempt) []TimelineEntry {
	var out []TimelineEntry
	for _, a := range attempts {
		for _, slot := range a.Slots {
			for n, t := range slot.Transactions {
				out = append(out, fromTransaction(a, n == 0, t)...)
			}
			if o := slot.Outcome; o != nil && o.Result == "dead" {
				out = append(out, TimelineEntry{At: o.RecordedAt.UTC(), Kind: "dead", Chain: payment.Chain(o.Chain),
					Summary: fmt.Sprintf("Proven: attempt %d can never pay", a.Seq)})
			}
		}
	}
	return out
}

func fromTransaction(a store.Attempt, first bool, t store.Transaction) []TimelineEntry {
	say := func(at time.Time, kind, format string, args ...any) TimelineEntry {
		return TimelineEntry{At: at.UTC(), Kind: kind, Chain: payment.Chain(a.Chain), TxHash: t.Hash, Summary: fmt.Sprintf(format, args...)}
	}
	var out []TimelineEntry
	switch {
	case t.Purpose != "payment":
		out = append(out, say(t.CreatedAt, "stopping", "A transaction was signed that keeps attempt %d from paying", a.Seq))
	case first:
		out = append(out, say(t.CreatedAt, "signed", "Attempt %d was signed and stored", a.Seq))
	default:
		out = append(out, say(t.CreatedAt, "outbid", "Attempt %d was signed again, at another price; at most one of them can pay", a.Seq))
	}
	if r := t.Result; r != nil {
		out = append(out, say(r.RecordedAt, "final", "Final in block %d: %s", r.BlockHeight, cmp.Or(r.Reason, "succeeded")))
	}
	return out
}

// fromWebhooks tells who was told.
func fromWebhooks(attempts []store.Told) []TimelineEntry {
	out := make([]TimelineEntry, len(attempts))
	for n, a := range attempts {
		e := TimelineEntry{At: a.SentAt.UTC(), EventID: a.EventID, Kind: "webhook_delivered",
			Summary: fmt.Sprintf("%s was delivered to %s", a.EventType, a.EndpointID)}
		if a.Status < 200 || a.Status > 299 {
			e.Kind = "webhook_failed"
			e.Summary = fmt.Sprintf("%s could not be delivered to %s, attempt %d: %s", a.EventType, a.EndpointID, a.Attempt, cmp.Or(a.Error, fmt.Sprint("status ", a.Status)))
		}
		out[n] = e
	}
	return out
}

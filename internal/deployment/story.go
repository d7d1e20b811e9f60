package deployment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	enums "go.temporal.io/api/enums/v1"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/workflows"
)

// Contradictions asks everybody about ended intents - GET, the event list, the
// webhooks received, the ledger, the chain, Temporal - and returns where they
// do not tell the same story. Empty is what it should be.
func (d *Deployment) Contradictions(t sandbox.T, ids []string) []string {
	t.Helper()
	paid := d.PaidOnChain(t, ids)
	var found []string
	for _, id := range ids {
		s := story{d: d, t: t, id: id, got: d.Get(t, id)}
		s.events()
		s.webhooks()
		if s.got.Authorization != nil {
			s.sponsored()
			paid[id] = d.paidByPayer(t, s.got)
		} else {
			s.ledger()
		}
		s.chain(paid[id])
		s.temporal()
		found = append(found, s.found...)
	}
	for _, p := range paid[""] {
		found = append(found, fmt.Sprintf("%s paid %s to %s in %s for no intent", p.Chain, p.Amount, p.To, p.TxHash))
	}
	return found
}

// storyTimeout bounds each wait for a part of a story that comes after the state
// changed: a moment, or, if the worker was killed while it delivered, as long as
// it takes another one to notice.
const storyTimeout = 90 * time.Second

type story struct {
	d     *Deployment
	t     sandbox.T
	id    string
	got   payment.Resource
	found []string
}

func (s *story) say(format string, args ...any) {
	s.found = append(s.found, s.id+": "+fmt.Sprintf(format, args...))
}

// events: gapless from 1, the last one's snapshot is what GET shows, and the
// log of all payments has the same ones.
func (s *story) events() {
	events := s.d.Events(s.t, s.id)
	if logged := s.d.LoggedEvents(s.t, s.id, len(events)); !reflect.DeepEqual(logged, events) {
		s.say("the log has %v, the payment's list %v", logged, events)
	}
	for n, e := range events {
		if e.Data.Object.Sequence != int64(n+1) {
			s.say("event %d has sequence %d", n+1, e.Data.Object.Sequence)
		}
	}
	if len(events) == 0 {
		s.say("no events")
		return
	}
	last, _ := json.Marshal(events[len(events)-1].Data.Object)
	got, _ := json.Marshal(s.got)
	if !bytes.Equal(last, got) {
		s.say("GET shows %s, the last event %s", got, last)
	}
}

// webhooks: the merchant has the final event, with the same snapshot. It is
// delivered after the state changed, so it may be a moment away.
func (s *story) webhooks() {
	want := payment.EventTypeOf(s.got.Status)
	deadline := time.Now().Add(storyTimeout)
	for {
		for _, e := range s.d.Receiver.Events(s.id) {
			if e.Type != want {
				continue
			}
			hook, _ := json.Marshal(e.Data.Object)
			got, _ := json.Marshal(s.got)
			if !bytes.Equal(hook, got) {
				s.say("GET shows %s, the webhook %s", got, hook)
			}
			return
		}
		if time.Now().After(deadline) {
			s.say("no webhook %s arrived", want)
			return
		}
		pause(s.t.Context(), 50*time.Millisecond)
	}
}

// ledger: one resolution of the hold, of the kind that fits the status.
func (s *story) ledger() {
	transfers, err := s.d.Store.IntentTransfers(s.t.Context(), s.id)
	must(s.t, err)
	phases := map[string]int{}
	for _, x := range transfers {
		phases[x.Phase]++
	}
	resolution := "void"
	if s.got.Status == payment.Settled {
		resolution = "post"
	}
	if phases["hold"] != 1 || phases["post"]+phases["void"] != 1 || phases[resolution] != 1 {
		s.say("%s, but the ledger has %v", s.got.Status, phases)
	}
}

// sponsored: nothing of the merchant's was held or spent.
func (s *story) sponsored() {
	transfers, err := s.d.Store.IntentTransfers(s.t.Context(), s.id)
	must(s.t, err)
	for _, x := range transfers {
		for _, e := range x.Entries {
			if e.Kind != "gas_expense" && e.Kind != "gas_tank" {
				s.say("sponsored, but %s of %s was moved from or to %s", e.Amount, e.Asset, e.Kind)
			}
		}
		if x.Phase != "single" {
			s.say("sponsored, but the ledger has a %s", x.Phase)
		}
	}
}

// chain: exactly one transfer of the exact amount to the payee, or none.
func (s *story) chain(paid []ChainPayment) {
	if s.got.Status != payment.Settled {
		if len(paid) != 0 {
			s.say("%s, but paid on chain: %v", s.got.Status, paid)
		}
		return
	}
	if len(paid) != 1 {
		s.say("settled, and paid %d times on chain: %v", len(paid), paid)
		return
	}
	p := paid[0]
	amount := p.Amount.Decimal(payment.USDC.Decimals)
	if p.Chain != s.got.Chain || p.To != s.got.Address || amount != s.got.Amount || p.TxHash != s.got.TxHash {
		s.say("GET says %s to %s on %s in %s, the chain %s to %s on %s in %s",
			s.got.Amount, s.got.Address, s.got.Chain, s.got.TxHash, amount, p.To, p.Chain, p.TxHash)
	}
}

// temporal: the workflow is completed and answers with the same state.
func (s *story) temporal() {
	ctx, cancel := context.WithTimeout(s.t.Context(), storyTimeout)
	defer cancel()
	var result activities.State
	if err := s.d.Temporal.GetWorkflow(ctx, s.id, "").Get(ctx, &result); err != nil {
		s.say("workflow: %v", err)
		return
	}
	if result.Status != s.got.Status || result.Sequence != s.got.Sequence {
		s.say("GET says %s (%d), the workflow's result %s (%d)", s.got.Status, s.got.Sequence, result.Status, result.Sequence)
	}
	desc, err := s.d.Temporal.DescribeWorkflow(ctx, s.id, "")
	if err != nil {
		s.say("workflow: %v", err)
		return
	}
	if desc.Status != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		s.say("workflow is %s", desc.Status)
	}
	if status, _ := desc.TypedSearchAttributes.GetKeyword(workflows.StatusKey); status != string(s.got.Status) {
		s.say("search attribute says %s", status)
	}
}

package main

import (
	"strings"

	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/payment"
)

// summary counts from the chains' own records and asks everybody for their
// story. It returns whether everything checked out.
func (r *run) summary(p *program.Program) bool {
	ids := r.ids()
	settled, total := 0, payment.Units(0)
	for _, l := range r.lines {
		if l.resource.Status == payment.Settled {
			settled++
		}
	}
	once, other := 0, 0
	byChain := map[payment.Chain]int{}
	for id, paid := range r.d.PaidOnChain(p, ids) {
		if id == "" || len(paid) != 1 {
			other += len(paid)
			continue
		}
		once++
		byChain[paid[0].Chain]++
		total, _ = total.Add(paid[0].Amount) // a demo's sum does not reach 2^256
	}
	contradictions := r.d.Contradictions(p, ids)
	check := strings.TrimSpace(r.d.BooksClose(p))
	hooks := r.d.Receiver.Stats()

	say("")
	say("  accepted          %d payments; 1 refused: %s", len(ids), r.refused)
	say("  settled           %d", settled)
	say("  paid on chain     %d exactly once (%d on Ethereum, %d on Solana), %s USDC; %d otherwise", once, byChain["ethereum"], byChain["solana"], total.Decimal(payment.USDC.Decimals), other)
	say("  webhooks          %d received and verified, %d bad signatures", hooks.Accepted, hooks.BadSignatures)
	say("  settle check      %s", check)
	say("  contradictions    %d between GET, events, webhooks, ledger, chain and Temporal", len(contradictions))
	for _, c := range contradictions {
		say("    %s", c)
	}
	ok := settled == len(ids) && once == len(ids) && other == 0 && len(contradictions) == 0 && hooks.BadSignatures == 0 && strings.HasPrefix(r.refused, "422 address_bad_checksum")
	verdict := "every accepted payment was paid exactly once"
	if !ok {
		verdict = "NOT EVERYTHING CHECKED OUT"
	}
	say("  verdict           %s", verdict)
	return ok
}

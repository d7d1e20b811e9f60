package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// Attempt is one try to make a payment over one route.
type Attempt struct {
	Object  string        `json:"object" enum:"attempt"`
	Number  int           `json:"number" doc:"From 1; a further one begins only when the chain has proven that the last cannot pay any more"`
	Chain   payment.Chain `json:"chain"`
	Address string        `json:"address"`
	Slots   []Slot        `json:"slots" doc:"What makes the attempt exclusive on chain, once something is signed"`
	Created time.Time     `json:"created_at"`
}

// Slot is what the chain lets pay at most once.
type Slot struct {
	Kind         string        `json:"kind" enum:"eip3009,evm_nonce,solana_blockhash,solana_guard"`
	State        string        `json:"state" enum:"live,paid,dead" doc:"live: may yet pay; dead: proven that it never can"`
	Stopping     bool          `json:"stopping" doc:"It is being made to die; if the payment lands first, it is paid"`
	ExpiresAt    *time.Time    `json:"expires_at,omitempty" doc:"Chain time from which it cannot pay"`
	Transactions []Transaction `json:"transactions" doc:"Everything that was signed for it, oldest first"`
	Outcome      *Outcome      `json:"outcome,omitempty" doc:"What the chain finally did"`
	Created      time.Time     `json:"created_at"`
}

// Transaction is a signed transaction, without its bytes: whoever holds those can send them.
type Transaction struct {
	Hash    string     `json:"hash"`
	Purpose string     `json:"purpose" enum:"payment,cancel,gapfill"`
	Created time.Time  `json:"created_at" doc:"When it was signed and stored"`
	Sent    *time.Time `json:"sent_at,omitempty" doc:"When it may have left us first; absent: it never did"`
	Result  *Result    `json:"result,omitempty" doc:"Once a finalized block holds it"`
}

// Result is what a finalized block says of a transaction.
type Result struct {
	Succeeded bool      `json:"succeeded"`
	Reason    string    `json:"reason,omitempty" doc:"Why it failed, in the chain's words"`
	BlockHash string    `json:"block_hash"`
	Height    int64     `json:"block_height" doc:"Block number, or slot"`
	At        time.Time `json:"effective_at" doc:"Block time"`
}

// Outcome is the end of a slot with its proof.
type Outcome struct {
	Result    string          `json:"result" enum:"paid,dead"`
	TxHash    string          `json:"transaction_hash,omitempty"`
	BlockHash string          `json:"block_hash,omitempty"`
	Height    *int64          `json:"block_height,omitempty" doc:"Block number, or slot"`
	Proof     json.RawMessage `json:"proof" doc:"The finalized facts, to be checked against any node of the chain"`
	At        time.Time       `json:"effective_at" doc:"Block time"`
}

// AttemptList is every attempt of a payment.
type AttemptList struct {
	Page
	Data []Attempt `json:"data"`
}

type attemptsOutput struct{ Body AttemptList }

func (s *Server) attempts(ctx context.Context, in *IntentPath) (*attemptsOutput, error) {
	i, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	all, err := s.attemptsOf(ctx, i)
	if err != nil {
		return nil, err
	}
	return &attemptsOutput{AttemptList{Page: Page{Object: "list"}, Data: all}}, nil
}

func (s *Server) attemptsOf(ctx context.Context, i payment.Intent) ([]Attempt, error) {
	stored, err := s.store.IntentAttempts(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	all := make([]Attempt, len(stored))
	for n, a := range stored {
		all[n] = Attempt{Object: "attempt", Number: int(a.Seq), Chain: payment.Chain(a.Chain), Address: a.Address,
			Slots: make([]Slot, len(a.Slots)), Created: a.CreatedAt.UTC()}
		for m, sl := range a.Slots {
			if all[n].Slots[m], err = slotOf(sl); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// slotOf leaves out what could harm a payment under way: the authorization that
// anybody could submit, and the address of a guard account, which strangers
// could occupy.
func slotOf(sl store.Slot) (Slot, error) {
	out := Slot{Kind: sl.Kind, State: sl.State, Stopping: sl.State == "live" && sl.Fence != "", ExpiresAt: inUTC(sl.ExpiresAt),
		Transactions: make([]Transaction, len(sl.Transactions)), Created: sl.CreatedAt.UTC()}
	for n, t := range sl.Transactions {
		shown := Transaction{Hash: t.Hash, Purpose: t.Purpose, Created: t.CreatedAt.UTC(), Sent: inUTC(t.SendIntentAt)}
		if r := t.Result; r != nil {
			shown.Result = &Result{Succeeded: r.Succeeded, Reason: r.Reason, BlockHash: r.BlockHash, Height: r.BlockHeight, At: r.EffectiveAt.UTC()}
		}
		out.Transactions[n] = shown
	}
	if o := sl.Outcome; o != nil {
		proof, err := withoutNodes(o.Proof)
		if err != nil {
			return Slot{}, fmt.Errorf("proof of slot %s: %w", sl.ID, err)
		}
		out.Outcome = &Outcome{Result: o.Result, TxHash: o.TxHash, BlockHash: o.BlockHash, Height: o.BlockHeight, Proof: proof, At: o.EffectiveAt.UTC()}
	}
	return out, nil
}

// withoutNodes is a proof that does not name our nodes: the facts are the chain's.
func withoutNodes(proof json.RawMessage) (json.RawMessage, error) {
	var facts map[string]json.RawMessage
	if err := json.Unmarshal(proof, &facts); err != nil {
		return nil, err
	}
	delete(facts, "node")
	for name, raw := range facts {
		var err error
		switch raw[0] {
		case '{':
			facts[name], err = withoutNodes(raw)
		case '[':
			facts[name], err = eachWithoutNodes(raw)
		}
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(facts)
}

func eachWithoutNodes(list json.RawMessage) (json.RawMessage, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(list, &items); err != nil {
		return nil, err
	}
	for n, item := range items {
		if item[0] != '{' {
			continue
		}
		var err error
		if items[n], err = withoutNodes(item); err != nil {
			return nil, err
		}
	}
	return json.Marshal(items)
}

// RouteDecision is why an attempt went over its chain, as it was decided.
type RouteDecision struct {
	Attempt   int              `json:"attempt" doc:"Number of the attempt that began with it"`
	Chain     payment.Chain    `json:"chain" doc:"The chain that was chosen"`
	Address   string           `json:"address"`
	Priority  payment.Priority `json:"priority" enum:"cheap,fast,reliable"`
	MaxFee    string           `json:"max_fee,omitempty" doc:"Most that the network fee could be: of the order, or of its quote"`
	Quoted    payment.Chain    `json:"quoted_chain,omitempty" doc:"The chain of the order's quote, which comes first while it qualifies"`
	Options   []RouteOption    `json:"options" doc:"Best first; those that did not qualify last"`
	DecidedAt time.Time        `json:"decided_at"`
}

// Route is every routing decision of a payment.
type Route struct {
	Object    string          `json:"object" enum:"route"`
	Payment   string          `json:"payment_intent"`
	Decisions []RouteDecision `json:"decisions" doc:"One per attempt, oldest first; empty as long as no chain was chosen"`
}

type routeOutput struct{ Body Route }

func (s *Server) decisions(ctx context.Context, in *IntentPath) (*routeOutput, error) {
	i, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	attempts, err := s.store.IntentAttempts(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	out := Route{Object: "route", Payment: i.ID, Decisions: make([]RouteDecision, len(attempts))}
	for n, a := range attempts {
		d, err := readDecision(a.Route)
		if err != nil {
			return nil, err
		}
		out.Decisions[n] = RouteDecision{Attempt: int(a.Seq), Chain: payment.Chain(a.Chain), Address: a.Address, Priority: d.Request.Priority,
			MaxFee: decimal(d.Request.MaxFee, i.Asset), Quoted: d.Request.Prefer, Options: options(d, i.Asset), DecidedAt: d.DecidedAt.UTC()}
	}
	return &routeOutput{out}, nil
}

// LedgerEntry is a change of the merchant's balance by a payment.
type LedgerEntry struct {
	Kind   string    `json:"kind" enum:"hold,spend,release" doc:"hold: from available to held; spend: from held to the payee; release: from held to available"`
	Amount string    `json:"amount" doc:"Decimal string in units of the asset" example:"12.500000"`
	Asset  string    `json:"asset" example:"USDC"`
	At     time.Time `json:"recorded_at"`
}

// entryKinds are the phases of transfers that concern the merchant.
var entryKinds = map[string]string{"hold": "hold", "post": "spend", "void": "release"}

// entriesOf tells what a payment did to the merchant's balance, oldest first.
// What it cost us is not the merchant's.
func (s *Server) entriesOf(ctx context.Context, i payment.Intent) ([]LedgerEntry, error) {
	transfers, err := s.store.IntentTransfers(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	held := i.Amount.Decimal(i.Asset.Decimals)
	out := []LedgerEntry{}
	for _, t := range transfers {
		if kind, theirs := entryKinds[t.Phase]; theirs {
			out = append(out, LedgerEntry{Kind: kind, Amount: held, Asset: i.Asset.Code, At: t.RecordedAt.UTC()})
		}
	}
	return out, nil
}

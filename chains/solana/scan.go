package solana

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

// Scan looks for the watched payments. With two nodes or more it calls nothing
// final that two of them do not show; the error wraps chains.ErrUnknown if no
// node gave all the answers.
func (c *Chain) Scan(ctx context.Context, w []chains.Watched) ([]chains.Sighting, error) {
	for _, p := range w {
		if p.Slot.Kind != chains.SlotBlockhash && p.Slot.Kind != chains.SlotGuard || p.Slot.ExpiresHeight == 0 || len(p.Txs) == 0 {
			return nil, fmt.Errorf("solana: scan %s: not a payment of this chain: slot kind %q, expires at height %d, %d transactions", p.IntentID, p.Slot.Kind, p.Slot.ExpiresHeight, len(p.Txs))
		}
	}
	return c.scanner.Scan(ctx, w)
}

// status is getSignatureStatuses' view of one transaction. A nil *status is
// absence.
type status struct {
	Slot               uint64          `json:"slot"`
	Confirmations      *uint64         `json:"confirmations"`
	Err                json.RawMessage `json:"err"`
	ConfirmationStatus string          `json:"confirmationStatus"`

	guarded bool // failed because its guard account was there: no news about the payment
}

func (s *status) failed() bool { return !isNull(s.Err) }

// final: nodes that don't name the level leave confirmations out when rooted.
func (s *status) final() bool {
	return s.ConfirmationStatus == finalized || (s.ConfirmationStatus == "" && s.Confirmations == nil)
}

// finding is what statuses alone say about a payment.
type finding struct {
	kind chains.SightingKind
	tx   int // index in Watched.Txs of the transaction that says so
}

// judge reads the statuses of a payment's transactions. Paid, Reverted and
// Dead are candidates yet: they need evidence. Processed is no sighting,
// since its fork may die; confirmed is Paid if that is early enough for the
// payment. What a guard account refused counts like absence: the payment may
// have been made by another variant, or none yet.
func judge(statuses []*status, finalizedHeight, expiresHeight uint64, early bool) finding {
	paid, included, failed, open := -1, -1, -1, false
	for i, s := range statuses {
		switch {
		case s != nil && s.final() && !s.failed():
			return finding{chains.Paid, i}
		case s == nil, s.guarded && s.final():
			open = open || finalizedHeight <= expiresHeight
		case s.final():
			failed = i
		case early && s.ConfirmationStatus == confirmed && !s.failed():
			paid = i
		case s.ConfirmationStatus == confirmed && !s.guarded:
			included, open = i, true
		default:
			open = true
		}
	}
	switch {
	case paid >= 0:
		return finding{chains.Paid, paid}
	case included >= 0:
		return finding{chains.Included, included}
	case open:
		return finding{kind: chains.Unseen}
	case failed >= 0:
		return finding{chains.Reverted, failed}
	default:
		return finding{kind: chains.Dead}
	}
}

// look asks one node for the status of every signature, and only for what may
// have ended it asks for more: the transaction itself for what is finalized, or
// confirmed and paid early, the proof of death for what is absent past its end
// or finalized with an error. It returns the node's block height too.
func (c *Chain) look(ctx context.Context, n *rpcpool.Node, w []chains.Watched) ([]chains.Sighting, uint64, error) {
	head, height := newCall("getBlockHeight", at(confirmed)), newCall("getBlockHeight", at(finalized))
	statuses, err := lookUp(ctx, n, w, head, height)
	if err != nil {
		return nil, 0, err
	}
	var headHeight, finalizedHeight uint64
	if err := decode(head, &headHeight); err != nil {
		return nil, 0, err
	}
	if err := decode(height, &finalizedHeight); err != nil {
		return nil, 0, err
	}
	out := make([]chains.Sighting, len(w))
	var wanted []wantedTx
	for i, p := range w {
		f := judge(statuses.of[i], finalizedHeight, p.Slot.ExpiresHeight, p.Amount.Cmp(c.paidEarlier) < 0)
		out[i].Kind = f.kind
		switch f.kind {
		case chains.Paid, chains.Reverted:
			wanted = append(wanted, wantedTx{payment: i, tx: f.tx, status: statuses.of[i][f.tx]})
			fallthrough
		case chains.Included:
			out[i].TxHash = p.Txs[f.tx].Hash
			out[i].BlockHeight = statuses.of[i][f.tx].Slot
		default: // absent: no transaction to name
		}
	}
	c.examine(ctx, n, w, wanted, out)
	c.prove(ctx, n, w, out)
	return out, headHeight, nil
}

// lookup is one reading of many statuses.
type lookup struct {
	of   [][]*status // per payment, per transaction
	slot uint64      // oldest slot that an answer was given from
}

// lookUp asks for the status of every transaction with full history (S5),
// together with other calls in the same batch.
func lookUp(ctx context.Context, n *rpcpool.Node, w []chains.Watched, others ...*rpcpool.Call) (lookup, error) {
	var signatures []string
	for _, p := range w {
		for _, tx := range p.Txs {
			signatures = append(signatures, tx.Hash)
		}
	}
	var calls []*rpcpool.Call
	for part := range slices.Chunk(signatures, maxSignatures) {
		calls = append(calls, newCall("getSignatureStatuses", part, options{"searchTransactionHistory": true}))
	}
	if err := n.Do(ctx, append(slices.Clone(others), calls...)...); err != nil {
		return lookup{}, err
	}
	var all []*status
	out := lookup{slot: ^uint64(0)}
	for _, r := range calls {
		var part withContext[[]*status]
		if err := decode(r, &part); err != nil {
			return lookup{}, err
		}
		if asked := len(r.Params[0].([]string)); len(part.Value) != asked {
			return lookup{}, fmt.Errorf("%w: asked for %d statuses, got %d", chains.ErrUnknown, asked, len(part.Value))
		}
		all = append(all, part.Value...)
		out.slot = min(out.slot, part.Context.Slot)
	}
	for _, p := range w {
		of := all[:len(p.Txs)]
		for i, s := range of {
			if s != nil && p.Slot.Kind == chains.SlotGuard {
				s.guarded = refusedByGuard(s, p.Txs[i].Raw)
			}
		}
		out.of = append(out.of, of)
		all = all[len(p.Txs):]
	}
	return out, nil
}

// wantedTx is a transaction whose content decides.
type wantedTx struct {
	payment, tx int
	status      *status
	call, block *rpcpool.Call // getTransaction, getBlock
}

// level is the commitment at which the transaction is looked at.
func (x wantedTx) level() string {
	if x.status.final() {
		return finalized
	}
	return confirmed
}

// fetch reads the transactions with their blocks.
func fetch(ctx context.Context, n *rpcpool.Node, w []chains.Watched, wanted []wantedTx) error {
	blocks := map[uint64]*rpcpool.Call{}
	var calls []*rpcpool.Call
	for i := range wanted {
		x := &wanted[i]
		x.call = transactionCall(w[x.payment].Txs[x.tx].Hash, x.level())
		calls = append(calls, x.call)
		if blocks[x.status.Slot] == nil {
			blocks[x.status.Slot] = blockCall(x.status.Slot, x.level())
			calls = append(calls, blocks[x.status.Slot])
		}
		x.block = blocks[x.status.Slot]
	}
	if len(calls) == 0 {
		return nil
	}
	return n.Do(ctx, calls...)
}

// examine fetches the transactions and completes the sightings. What cannot be
// read, or is not the payment, stays Included: the transaction is there, and
// nothing final may be said about it.
func (c *Chain) examine(ctx context.Context, n *rpcpool.Node, w []chains.Watched, wanted []wantedTx, out []chains.Sighting) {
	unread := fetch(ctx, n, w, wanted)
	for _, x := range wanted {
		s, err := &out[x.payment], unread
		if err == nil {
			err = c.complete(ctx, n, w[x.payment], x, s)
		}
		if err != nil {
			s.Kind, s.Reason = chains.Included, err.Error()
		}
	}
}

func transactionCall(signature, commitment string) *rpcpool.Call {
	return newCall("getTransaction", signature, options{"commitment": commitment, "encoding": "base64", "maxSupportedTransactionVersion": 0})
}

// complete fills in a sighting that says Paid or Reverted, unless what the
// node shows does not prove it.
func (c *Chain) complete(ctx context.Context, n *rpcpool.Node, w chains.Watched, x wantedTx, s *chains.Sighting) error {
	e, err := c.evidence(n, w, x)
	if err != nil {
		return err
	}
	if s.Kind == chains.Reverted {
		reason, permanent, err := c.refusal(ctx, n, w, x)
		if err != nil {
			return err
		}
		s.Reason, s.Permanent = reason, permanent
		s.SlotDead = true // atomic: the fee was paid, nothing moved
	}
	s.Early = e.Commitment != finalized
	s.BlockHash, s.BlockHeight = e.BlockHash, e.Slot
	s.BlockTime = time.Unix(e.BlockTime, 0).UTC()
	s.LogIndex = e.Instruction
	s.Sender, s.Fee = e.FeePayer, payment.Units(e.Charged)
	s.Proof = mustJSON(e)
	return nil
}

// mustJSON encodes values of this package, which cannot fail.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("solana: encode %T: %v", v, err))
	}
	return b
}

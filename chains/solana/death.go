package solana

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// observation is what one node said, in this order: the network and the
// finalized height first, the statuses after (S4). The other way round, a
// transaction could land between the two.
type observation struct {
	Node                string `json:"node"`
	FinalizedHeight     uint64 `json:"finalized_height"`
	FinalizedSlot       uint64 `json:"finalized_slot"`
	FirstAvailableBlock uint64 `json:"first_available_block"` // slot from which the node has history
	LookupSlot          uint64 `json:"lookup_slot"`           // from which the statuses were answered
	BlockhashExpired    bool   `json:"blockhash_expired"`     // of every transaction, at confirmed and at finalized

	Guard *guardFacts `json:"guard,omitempty"` // of slots with a guard account

	statuses []*status
}

// doubt says why an observation may be no proof.
func (o observation) doubt() string {
	if o.Guard != nil && o.Guard.doubt != "" {
		return o.Guard.doubt
	}
	return "the node cannot rule out that it may yet pay"
}

// deathProof is stored with the outcome Dead.
type deathProof struct {
	Kind            chains.SightingKind `json:"kind"`
	LastValidHeight uint64              `json:"last_valid_block_height"`
	SignedFromSlot  uint64              `json:"signed_from_slot"`
	Signatures      []string            `json:"signatures"`
	Observed        observation         `json:"observed"`
}

// cannotPay reports whether an observation rules out that any of the payment's
// transactions has paid or ever will: each one is finalized with an error, or
// absent although its last possible block is finalized, the node has the
// history since the signing, and it takes the blockhash no more. The last
// matters if the end of the blockhash's life was a lie when it was signed.
// Where the payment has a guard account, that must not show that it was paid.
func cannotPay(o observation, slot chains.Slot) bool {
	if len(o.statuses) == 0 || o.LookupSlot < o.FinalizedSlot { // the lookup was answered by a node that lags behind the first answer
		return false
	}
	if slot.Kind == chains.SlotGuard && (o.Guard == nil || o.Guard.doubt != "" || o.Guard.Slot < o.FinalizedSlot) {
		return false
	}
	for _, s := range o.statuses {
		if s == nil || s.final() && s.guarded {
			if !o.ended(slot) {
				return false
			}
		} else if !s.final() || !s.failed() {
			return false
		}
	}
	return true
}

// ended reports whether what the node does not show of the slot is not there,
// and will not come any more.
func (o observation) ended(slot chains.Slot) bool {
	return o.FinalizedHeight > slot.ExpiresHeight && o.FirstAvailableBlock <= slot.FromHeight && o.BlockhashExpired && o.LookupSlot >= o.FinalizedSlot
}

// prove gathers the observation behind sightings that say Reverted or Dead.
// What lacks one is no longer final: it is tried again at the next scan.
func (c *Chain) prove(ctx context.Context, n *rpcpool.Node, w []chains.Watched, out []chains.Sighting) {
	var open []int
	var subset []chains.Watched
	for i, s := range out {
		if s.Kind == chains.Reverted || s.Kind == chains.Dead {
			open = append(open, i)
			subset = append(subset, w[i])
		}
	}
	if len(open) == 0 {
		return
	}
	observed, err := c.observe(ctx, n, subset)
	for j, i := range open {
		if err != nil {
			settleNegative(&out[i], subset[j], nil, err.Error())
		} else {
			settleNegative(&out[i], subset[j], &observed[j], observed[j].doubt())
		}
	}
}

// settleNegative writes the proof into the sighting, or takes its finality
// away if the observation is none.
func settleNegative(s *chains.Sighting, w chains.Watched, o *observation, why string) {
	proven := o != nil && cannotPay(*o, w.Slot)
	switch {
	case s.Kind == chains.Dead && !proven:
		*s = chains.Sighting{Kind: chains.Unseen, Reason: "past its end, but " + why}
	case s.Kind == chains.Dead:
		p := deathProof{Kind: chains.Dead, LastValidHeight: w.Slot.ExpiresHeight, SignedFromSlot: w.Slot.FromHeight, Observed: *o}
		for _, tx := range w.Txs {
			p.Signatures = append(p.Signatures, tx.Hash)
		}
		s.SlotDead = true
		s.Proof = mustJSON(p)
	case !proven:
		s.Kind, s.SlotDead, s.Permanent, s.Proof = chains.Included, false, false, nil
		s.Reason += "; but " + why
	default:
		var e evidence
		if err := json.Unmarshal(s.Proof, &e); err != nil {
			panic(fmt.Sprintf("solana: own proof: %v", err))
		}
		e.Observed = o
		s.Proof = mustJSON(e)
	}
}

// observe asks the node in two steps, the second begun after the first was
// answered.
func (c *Chain) observe(ctx context.Context, n *rpcpool.Node, w []chains.Watched) ([]observation, error) {
	base, err := observeHead(ctx, n)
	if err != nil {
		return nil, err
	}
	hashes := newBlockhashes(w)
	guards, err := newGuards(w, base.FinalizedSlot)
	if err != nil {
		return nil, err
	}
	statuses, err := lookUp(ctx, n, w, append(hashes.calls, guards.calls...)...)
	if err != nil {
		return nil, err
	}
	base.LookupSlot = statuses.slot
	out := make([]observation, len(w))
	for i := range w {
		out[i] = base
		out[i].statuses = statuses.of[i]
		if out[i].BlockhashExpired, err = hashes.expired(w[i], base.FinalizedSlot); err != nil {
			return nil, err
		}
		if out[i].Guard, err = c.guardFacts(ctx, n, w[i], guards); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// observeHead is the first step: how far the node has come.
func observeHead(ctx context.Context, n *rpcpool.Node) (observation, error) {
	genesis := n.Identity()
	height := newCall("getBlockHeight", at(finalized))
	slot := newCall("getSlot", at(finalized))
	first := newCall("getFirstAvailableBlock")
	if err := n.Do(ctx, genesis, height, slot, first); err != nil {
		return observation{}, err
	}
	if err := n.Identified(genesis); err != nil {
		return observation{}, err
	}
	head := observation{Node: n.Name()}
	if err := decode(height, &head.FinalizedHeight); err != nil {
		return observation{}, err
	}
	if err := decode(slot, &head.FinalizedSlot); err != nil {
		return observation{}, err
	}
	if err := decode(first, &head.FirstAvailableBlock); err != nil {
		return observation{}, err
	}
	return head, nil
}

// blockhashes asks whether the blockhashes of payments can still be used.
type blockhashes struct {
	of    map[string][2]*rpcpool.Call // by blockhash: at finalized, at confirmed
	calls []*rpcpool.Call
}

func newBlockhashes(w []chains.Watched) blockhashes {
	b := blockhashes{of: map[string][2]*rpcpool.Call{}}
	for _, p := range w {
		for _, tx := range p.Txs {
			message, err := decodeMessage(tx.Raw)
			if err != nil {
				continue // expired says no
			}
			hash := message.RecentBlockhash.String()
			if _, asked := b.of[hash]; asked {
				continue
			}
			pair := [2]*rpcpool.Call{newCall("isBlockhashValid", hash, at(finalized)), newCall("isBlockhashValid", hash, at(confirmed))}
			b.of[hash] = pair
			b.calls = append(b.calls, pair[0], pair[1])
		}
	}
	return b
}

// expired reports whether no transaction of the payment has a blockhash that
// is valid at finalized or at confirmed, as of a slot or later.
func (b blockhashes) expired(w chains.Watched, since uint64) (bool, error) {
	for _, tx := range w.Txs {
		message, err := decodeMessage(tx.Raw)
		if err != nil {
			return false, err
		}
		for _, call := range b.of[message.RecentBlockhash.String()] {
			var valid withContext[bool]
			if err := decode(call, &valid); err != nil {
				return false, err
			}
			if valid.Value || valid.Context.Slot < since {
				return false, nil
			}
		}
	}
	return true, nil
}

package solana

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/settlehq/settle/chains"
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

	statuses []*status
}

// deathProof is stored with the outcome Dead.
type deathProof struct {
	Kind            chains.SightingKind `json:"kind"`
	LastValidHeight uint64              `json:"last_valid_block_height"`
	SignedFromSlot  uint64              `json:"signed_from_slot"`
	Signatures      []string            `json:"signatures"`
	Observations    []observation       `json:"observations"`
}

// cannotPay reports whether an observation rules out that any of the payment's
// transactions has paid or ever will: each one is finalized with an error, or
// absent although its last possible block is finalized and the node has the
// history since the signing.
func cannotPay(o observation, slot chains.Slot) bool {
	if len(o.statuses) == 0 || o.LookupSlot < o.FinalizedSlot { // the lookup was answered by a node that lags behind the first answer
		return false
	}
	for _, s := range o.statuses {
		if s == nil {
			if o.FinalizedHeight <= slot.ExpiresHeight || o.FirstAvailableBlock > slot.FromHeight {
				return false
			}
		} else if !s.final() || !s.failed() {
			return false
		}
	}
	return true
}

// prove gathers, for sightings that say Reverted or Dead, observations of as
// many nodes as the rule asks for. What lacks one is no longer final: it may
// be tried again at the next scan, and a lie of one node changes nothing.
func (c *Chain) prove(ctx context.Context, w []chains.Watched, out []chains.Sighting) {
	var open []int
	for i, s := range out {
		if s.Kind == chains.Reverted || s.Kind == chains.Dead {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return
	}
	subset := make([]chains.Watched, len(open))
	for i, at := range open {
		subset[i] = w[at]
	}
	need := min(2, len(c.nodes))
	proofs := make([][]observation, len(open))
	for _, n := range c.nodes {
		observed, err := c.observe(ctx, n, subset)
		if err != nil {
			continue // unknown; the others may be enough
		}
		for i, o := range observed {
			if len(proofs[i]) < need && cannotPay(o, subset[i].Slot) {
				proofs[i] = append(proofs[i], o)
			}
		}
	}
	for i, at := range open {
		settleNegative(&out[at], subset[i], proofs[i], need)
	}
}

// settleNegative writes the proof into the sighting, or takes its finality away.
func settleNegative(s *chains.Sighting, w chains.Watched, proof []observation, need int) {
	proven := len(proof) >= need
	switch {
	case s.Kind == chains.Dead && !proven:
		*s = chains.Sighting{Kind: chains.Unseen}
	case s.Kind == chains.Dead:
		p := deathProof{Kind: chains.Dead, LastValidHeight: w.Slot.ExpiresHeight, SignedFromSlot: w.Slot.FromHeight, Observations: proof}
		for _, tx := range w.Txs {
			p.Signatures = append(p.Signatures, tx.Hash)
		}
		s.SlotDead = true
		s.Proof = mustJSON(p)
	case !proven:
		s.Kind, s.SlotDead, s.Proof = chains.Included, false, nil
		s.Reason = fmt.Sprintf("%s; confirmed by %d of %d nodes", s.Reason, len(proof), need)
	default:
		var e evidence
		if err := json.Unmarshal(s.Proof, &e); err != nil {
			panic(fmt.Sprintf("solana: own proof: %v", err))
		}
		e.ConfirmedBy = proof
		s.Proof = mustJSON(e)
	}
}

// observe asks one node in two requests, the second sent after the first was
// answered.
func (c *Chain) observe(ctx context.Context, n *node, w []chains.Watched) ([]observation, error) {
	genesis := newCall("getGenesisHash")
	height := newCall("getBlockHeight", at(finalized))
	slot := newCall("getSlot", at(finalized))
	first := newCall("getFirstAvailableBlock")
	if err := n.do(ctx, genesis, height, slot, first); err != nil {
		return nil, err
	}
	if err := checkGenesis(genesis, c.cfg.GenesisHash); err != nil {
		return nil, err
	}
	base := observation{Node: n.name}
	if err := height.decode(&base.FinalizedHeight); err != nil {
		return nil, err
	}
	if err := slot.decode(&base.FinalizedSlot); err != nil {
		return nil, err
	}
	if err := first.decode(&base.FirstAvailableBlock); err != nil {
		return nil, err
	}
	statuses, err := lookUp(ctx, n, w)
	if err != nil {
		return nil, err
	}
	base.LookupSlot = statuses.slot
	out := make([]observation, len(w))
	for i := range w {
		out[i] = base
		out[i].statuses = statuses.of[i]
	}
	return out, nil
}

package witness

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/settlehq/settle/chains"
)

// view is what one node shows of a payment.
type view struct {
	node string
	chains.Sighting
}

// supports reports whether two views make the same final statement: of the
// same transaction in the same block. A death is about the slot, not about a
// block: two nodes prove it at finalized heads of their own. A node that does
// not tell a block's hash still names its height.
func (v view) supports(o view) bool {
	if v.Kind != o.Kind || v.TxHash != o.TxHash || v.SlotDead != o.SlotDead || v.Permanent != o.Permanent {
		return false
	}
	if v.Kind == chains.Dead {
		return true
	}
	sameHash := v.BlockHash == o.BlockHash || v.BlockHash == "" || o.BlockHash == ""
	return v.BlockHeight == o.BlockHeight && v.LogIndex == o.LogIndex && sameHash
}

// present reports whether the node shows a transaction of the payment on chain.
func (v view) present() bool {
	return v.Kind == chains.Paid || v.Kind == chains.Included || v.Kind == chains.Reverted
}

// agree makes one sighting of the views, of which there is at least one:
//
//   - a final one if need views state it, and more than state any other final
//     one; Dead and Reverted moreover only if no view is Paid or Included;
//   - else Included if at least as many views show the payment on chain as do
//     not, since that is what hands bytes are not sent again for;
//   - else Unseen.
//
// settled reports whether the views agree well enough that a further node
// need not be asked.
func agree(views []view, need int) (s chains.Sighting, settled bool) {
	present, paying := 0, 0
	for _, v := range views {
		if v.present() {
			present++
		}
		if v.Kind == chains.Paid || v.Kind == chains.Included {
			paying++
		}
	}
	best, tie := most(views)
	switch {
	case len(best) < need || tie:
	case best[0].Kind == chains.Paid, paying == 0:
		return joined(best), true
	}
	if len(views) >= need && unanimous(views) && !views[0].Kind.Final() {
		return views[0].Sighting, true
	}
	if 2*present >= len(views) && present > 0 {
		return undecided(views, chains.Included, need), false
	}
	return undecided(views, chains.Unseen, need), false
}

// most is the final statement with most views behind it; tie if another one
// has as many.
func most(views []view) (best []view, tie bool) {
	for _, v := range views {
		if !v.Kind.Final() {
			continue
		}
		var behind []view
		for _, o := range views {
			if v.supports(o) {
				behind = append(behind, o)
			}
		}
		switch {
		case len(behind) > len(best):
			best, tie = behind, false
		case len(behind) == len(best) && !v.supports(best[0]):
			tie = true
		}
	}
	return best, tie
}

func unanimous(views []view) bool {
	for _, v := range views[1:] {
		if v.Kind != views[0].Kind || v.TxHash != views[0].TxHash {
			return false
		}
	}
	return true
}

// undecided is a sighting that is not final, with the reason why it is not.
func undecided(views []view, kind chains.SightingKind, need int) chains.Sighting {
	out := chains.Sighting{Kind: kind}
	final := false
	said := make([]string, len(views))
	for i, v := range views {
		said[i] = v.node + " says " + string(v.Kind)
		if v.Reason != "" {
			said[i] += " (" + v.Reason + ")"
		}
		final = final || v.Kind.Final()
		if kind == chains.Included && v.present() && (out.TxHash == "" || v.Kind == chains.Included) {
			out = v.Sighting
			out.Kind, out.Early, out.SlotDead, out.Permanent, out.Proof = chains.Included, false, false, false, nil
		}
	}
	out.Reason = ""
	if final || len(views) > 1 {
		out.Reason = fmt.Sprintf("%s; waiting until %d nodes agree", strings.Join(said, ", "), need)
	} else if len(views) == 1 {
		out.Reason = views[0].Reason
	}
	return out
}

// joined is the first of the views that agree, with the others' proofs in its
// own. It is early if one of them is: the finality of the others stands alone.
func joined(views []view) chains.Sighting {
	out := views[0].Sighting
	if len(views) == 1 {
		return out
	}
	type witness struct {
		Node  string          `json:"node"`
		Proof json.RawMessage `json:"proof"`
	}
	var proof map[string]json.RawMessage
	if err := json.Unmarshal(out.Proof, &proof); err != nil {
		panic(fmt.Sprintf("witness: the proof of a %s payment is no JSON object: %v", out.Kind, err))
	}
	all := make([]witness, len(views))
	for i, v := range views {
		all[i] = witness{Node: v.node}
		if i > 0 {
			all[i].Proof = v.Proof
		}
		out.Early = out.Early || v.Early
	}
	proof["witnesses"] = encode(all)
	out.Proof = encode(proof)
	return out
}

// encode writes values of this package, which cannot fail.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("witness: encode %T: %v", v, err))
	}
	return b
}

// outvoted are the views that contradict what was agreed on by need others.
// A node that merely is not that far yet does not contradict.
func outvoted(views []view, agreed chains.Sighting, need int) []view {
	if len(views) <= need {
		return nil
	}
	var out []view
	for _, v := range views {
		switch {
		case agreed.Kind.Final() && v.Kind.Final() && !v.supports(view{Sighting: agreed}),
			agreed.Kind == chains.Paid && v.Kind == chains.Unseen,
			agreed.Kind == chains.Included && !v.present(),
			agreed.Kind == chains.Unseen && v.present():
			out = append(out, v)
		}
	}
	return out
}

package witness

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

var (
	proof    = json.RawMessage(`{"kind":"x"}`)
	paid     = chains.Sighting{Kind: chains.Paid, TxHash: "tx", BlockHash: "b", BlockHeight: 7, LogIndex: 1, Proof: proof}
	included = chains.Sighting{Kind: chains.Included, TxHash: "tx", BlockHash: "b", BlockHeight: 7}
	unseen   = chains.Sighting{Kind: chains.Unseen}
	dead     = chains.Sighting{Kind: chains.Dead, BlockHash: "head", BlockHeight: 90, Proof: proof}
	reverted = chains.Sighting{Kind: chains.Reverted, TxHash: "tx", BlockHash: "b", BlockHeight: 7, Proof: proof}
)

func but(s chains.Sighting, change func(*chains.Sighting)) chains.Sighting {
	change(&s)
	return s
}

func TestAgree(t *testing.T) {
	t.Parallel()
	otherBlock := but(paid, func(s *chains.Sighting) { s.BlockHash = "c" })
	for _, c := range []struct {
		name    string
		views   []chains.Sighting
		want    chains.SightingKind
		settled bool
	}{
		{"two paid", []chains.Sighting{paid, paid}, chains.Paid, true},
		{"one paid", []chains.Sighting{paid}, chains.Included, false},
		{"paid, not final there yet", []chains.Sighting{paid, included}, chains.Included, false},
		{"paid, unknown there", []chains.Sighting{paid, unseen}, chains.Included, false},
		{"paid, unknown there, paid", []chains.Sighting{paid, unseen, paid}, chains.Paid, true},
		{"unknown, paid, paid", []chains.Sighting{unseen, paid, paid}, chains.Paid, true},
		{"paid in another block", []chains.Sighting{paid, otherBlock}, chains.Included, false},
		{"paid in another block, two each", []chains.Sighting{paid, otherBlock, otherBlock, paid}, chains.Included, false},
		{"paid by another transaction", []chains.Sighting{paid, but(paid, func(s *chains.Sighting) { s.TxHash = "other" })}, chains.Included, false},
		{"paid by another log", []chains.Sighting{paid, but(paid, func(s *chains.Sighting) { s.LogIndex = 2 })}, chains.Included, false},
		{"paid, block hash not told", []chains.Sighting{paid, but(paid, func(s *chains.Sighting) { s.BlockHash = "" })}, chains.Paid, true},
		{"paid, another height, hash not told", []chains.Sighting{paid, but(paid, func(s *chains.Sighting) { s.BlockHash, s.BlockHeight = "", 8 })}, chains.Included, false},
		{"one invents it", []chains.Sighting{paid, unseen, unseen}, chains.Unseen, false},
		{"two dead", []chains.Sighting{dead, but(dead, func(s *chains.Sighting) { s.BlockHash = "later head" })}, chains.Dead, true},
		{"one dead", []chains.Sighting{dead}, chains.Unseen, false},
		{"dead, only absent there", []chains.Sighting{dead, unseen}, chains.Unseen, false},
		{"dead, paid there", []chains.Sighting{dead, paid}, chains.Included, false},
		{"two dead, one included", []chains.Sighting{dead, dead, included}, chains.Unseen, false},
		{"two dead, one paid", []chains.Sighting{dead, dead, paid}, chains.Unseen, false},
		{"two dead, two paid", []chains.Sighting{dead, dead, paid, paid}, chains.Included, false},
		{"two reverted", []chains.Sighting{reverted, reverted}, chains.Reverted, true},
		{"reverted, paid there", []chains.Sighting{reverted, paid}, chains.Included, false},
		{"reverted with and without the slot", []chains.Sighting{reverted, but(reverted, func(s *chains.Sighting) { s.SlotDead = true })}, chains.Included, false},
		{"both unseen", []chains.Sighting{unseen, unseen}, chains.Unseen, true},
		{"both included", []chains.Sighting{included, included}, chains.Included, true},
		{"vanished, nobody else to ask", []chains.Sighting{unseen}, chains.Unseen, false},
		{"vanished here, included there", []chains.Sighting{unseen, included}, chains.Included, false},
		{"one hides it", []chains.Sighting{unseen, included, included}, chains.Included, false},
	} {
		views := make([]view, len(c.views))
		for i, s := range c.views {
			views[i] = view{string(rune('a' + i)), s}
		}
		got, settled := agree(views, 2)
		if got.Kind != c.want || settled != c.settled {
			t.Errorf("%s: %+v, settled %v, want %s, %v", c.name, got, settled, c.want, c.settled)
		}
		if got.Kind.Final() && !strings.Contains(string(got.Proof), `"witnesses"`) {
			t.Errorf("%s: the proof names no witnesses: %s", c.name, got.Proof)
		}
		if !got.Kind.Final() && (len(got.Proof) > 0 || got.SlotDead) {
			t.Errorf("%s: not final, but %+v", c.name, got)
		}
		if !settled && len(views) > 1 && got.Reason == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
}

func TestOutvoted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		views  []chains.Sighting
		agreed chains.Sighting
		want   int
	}{
		{"hides what is paid", []chains.Sighting{unseen, paid, paid}, paid, 1},
		{"only late", []chains.Sighting{included, paid, paid}, paid, 0},
		{"calls dead what is paid", []chains.Sighting{dead, paid, paid}, paid, 1},
		{"invents", []chains.Sighting{paid, unseen, unseen}, unseen, 1},
		{"one against one", []chains.Sighting{paid, unseen}, included, 0},
	} {
		var views []view
		for _, s := range c.views {
			views = append(views, view{"n", s})
		}
		if got := outvoted(views, c.agreed, 2); len(got) != c.want {
			t.Errorf("%s: %d outvoted, want %d", c.name, len(got), c.want)
		}
	}
}

func TestStanding(t *testing.T) {
	t.Parallel()
	known := Block{7, "a"}
	same, other := rpcpool.Vote[Block]{Said: known}, rpcpool.Vote[Block]{Said: Block{7, "b"}}
	silent := rpcpool.Vote[Block]{Err: errors.New("no answer")}
	for _, c := range []struct {
		name  string
		votes []rpcpool.Vote[Block]
		want  rpcpool.Truth
	}{
		{"there", []rpcpool.Vote[Block]{same, same}, rpcpool.Yes},
		{"replaced", []rpcpool.Vote[Block]{other, other}, rpcpool.No},
		{"replaced on one node", []rpcpool.Vote[Block]{other, same}, rpcpool.Unclear},
		{"replaced on one node, the other is silent", []rpcpool.Vote[Block]{other, silent}, rpcpool.Unclear},
		{"replaced on two of three", []rpcpool.Vote[Block]{other, other, same}, rpcpool.No},
		{"nobody answers", []rpcpool.Vote[Block]{silent, silent}, rpcpool.Unclear},
	} {
		if got := standing(known, c.votes, 2); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

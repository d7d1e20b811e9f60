package witness

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// TestAgreed asks nodes for two letters. "" is what concludes nothing.
func TestAgreed(t *testing.T) {
	for _, c := range []struct {
		name  string
		say   []string // by node, both letters; "" is silent
		want  []string
		asked int
	}{
		{"one node is believed", []string{"ab"}, []string{"a", "b"}, 1},
		{"two nodes agree", []string{"ab", "ab", "xy"}, []string{"a", "b"}, 2},
		{"two nodes differ about one", []string{"ab", "ax"}, []string{"a", ""}, 2},
		{"the third decides", []string{"ab", "xb", "ab"}, []string{"a", "b"}, 3},
		{"two against two", []string{"ab", "ab", "xb", "xb"}, []string{"a", "b"}, 2},
		{"two against two, once asked", []string{"ab", "xb", "ab", "xb"}, []string{"", "b"}, 4},
		{"a silent node is passed over", []string{"", "ab", "ab"}, []string{"a", "b"}, 3},
		{"everybody says something else", []string{"ab", "cd", "ef"}, []string{"", ""}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setup(t, len(c.say))
			var asked atomic.Int64
			got, err := Agreed(t.Context(), b.pool, b.anchor, 2, func(x, y string) bool { return x == y }, func(_ context.Context, n *rpcpool.Node) ([]string, error) {
				asked.Add(1)
				said := c.say[slices.Index(b.names, n.Name())]
				if said == "" {
					return nil, errors.New("silent")
				}
				return []string{said[:1], said[1:]}, nil
			})
			if err != nil || !slices.Equal(got, c.want) || int(asked.Load()) != c.asked {
				t.Errorf("%q of %d nodes, %v, want %q of %d", got, asked.Load(), err, c.want, c.asked)
			}
		})
	}
}

func TestNobodyAgreesWithSilence(t *testing.T) {
	b := setup(t, 2)
	ask := func(_ context.Context, n *rpcpool.Node) ([]string, error) {
		if n.Name() == b.names[0] {
			return []string{"a"}, nil
		}
		return nil, errors.New("silent")
	}
	same := func(x, y string) bool { return x == y }
	if got, err := Agreed(t.Context(), b.pool, b.anchor, 1, same, ask); !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("%q, %v, want unknown", got, err)
	}
	b.anchor.frozen = chains.ErrFrozen
	if got, err := Agreed(t.Context(), b.pool, b.anchor, 1, same, ask); !errors.Is(err, chains.ErrFrozen) {
		t.Errorf("%q, %v, want frozen", got, err)
	}
}

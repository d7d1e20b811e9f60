package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// bundle is a scanner over nodes of which the test says what each shows of one
// payment.
type bundle struct {
	*testing.T
	pool    *rpcpool.Pool
	anchor  *Anchor
	scanner *Scanner
	now     time.Time
	names   []string
	shows   map[string]chains.Sighting
	silent  map[string]bool
	asked   []string
}

func setup(t *testing.T, nodes int) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{T: t, now: time.Unix(1_000_000, 0), shows: map[string]chains.Sighting{}, silent: map[string]bool{}}
	decode := func(c *rpcpool.Call) (n uint64, err error) { err = c.Decode(&n); return n, err }
	cfg := rpcpool.Config{
		Identity: rpcpool.Identity{Method: "id", Check: func(c *rpcpool.Call) error { _, err := decode(c); return err }},
		Height:   rpcpool.Height{Method: "height", Parse: decode},
		Now:      func() time.Time { return time.Unix(1_000_000, 0) }, // no latencies: the order is the configuration's
	}
	for range nodes {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `[{"id":0,"result":1},{"id":1,"result":100}]`)
		}))
		t.Cleanup(s.Close)
		cfg.URLs = append(cfg.URLs, s.URL)
		b.names = append(b.names, s.Listener.Addr().String())
	}
	pool, err := rpcpool.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.pool = pool
	b.anchor = NewAnchor(pool, time.Minute, func(context.Context, *rpcpool.Node, *uint64) (Block, error) { return Block{}, errors.New("no block") })
	b.scanner = NewScanner(pool, b.anchor, time.Minute, func(_ context.Context, n *rpcpool.Node, w []chains.Watched) ([]chains.Sighting, uint64, error) {
		b.asked = append(b.asked, n.Name())
		if b.silent[n.Name()] {
			return nil, 0, errors.New("no answer")
		}
		return slices.Repeat([]chains.Sighting{b.shows[n.Name()]}, len(w)), 100, nil
	})
	b.scanner.now = func() time.Time { return b.now }
	return b
}

func (b *bundle) show(s ...chains.Sighting) {
	for i, x := range s {
		b.shows[b.names[i]] = x
	}
}

// want scans and checks the sighting, and how many nodes were asked.
func (b *bundle) want(kind chains.SightingKind, asked int) chains.Sighting {
	b.Helper()
	b.asked = nil
	got, err := b.scanner.Scan(b.Context(), []chains.Watched{{Slot: chains.Slot{Nonce: "1"}}})
	if err != nil {
		b.Fatal(err)
	}
	if got[0].Kind != kind || len(b.asked) != asked {
		b.Fatalf("seen as %+v by %d nodes, want %s by %d", got[0], len(b.asked), kind, asked)
	}
	return got[0]
}

func TestOneNodeIsBelievedIfThereIsNoOther(t *testing.T) {
	b := setup(t, 1)
	b.show(paid)
	b.want(chains.Paid, 1)
}

// TestWaitingCostsOneNode: only what is final, and an audit, ask a second one.
func TestWaitingCostsOneNode(t *testing.T) {
	b := setup(t, 3)
	b.show(unseen, unseen, unseen)
	b.want(chains.Unseen, 2) // the first scan is an audit
	b.want(chains.Unseen, 1)
	b.show(included, included, included)
	b.want(chains.Included, 1)
	b.show(paid, paid, paid)
	b.want(chains.Paid, 2)
}

func TestAuditFindsWhatOneNodeHides(t *testing.T) {
	b := setup(t, 3)
	b.show(unseen, unseen, unseen)
	b.want(chains.Unseen, 2)
	b.show(unseen, paid, paid)
	b.want(chains.Unseen, 1)
	b.now = b.now.Add(time.Minute)
	b.want(chains.Paid, 3)
	b.want(chains.Paid, 2) // the one that hid it is not asked first any more
	if slices.Contains(b.asked, b.names[0]) {
		t.Error("an outvoted node is still preferred")
	}
}

func TestVanishedPaymentsAreAskedForElsewhere(t *testing.T) {
	b := setup(t, 2)
	b.show(included, included)
	b.want(chains.Included, 2)
	b.show(unseen, included)
	b.want(chains.Included, 2)
	b.show(unseen, unseen)
	b.want(chains.Unseen, 2)
	b.want(chains.Unseen, 1)
}

func TestSilenceIsNoAgreement(t *testing.T) {
	b := setup(t, 2)
	b.silent[b.names[1]] = true
	b.show(paid)
	b.want(chains.Included, 2)
	b.show(dead)
	b.want(chains.Unseen, 2)
	b.silent[b.names[1]] = false
	b.show(dead, dead)
	if got := b.want(chains.Dead, 2); !json.Valid(got.Proof) {
		t.Errorf("proof %s", got.Proof)
	}
}

func TestNobodyAnswers(t *testing.T) {
	b := setup(t, 2)
	b.silent[b.names[0]], b.silent[b.names[1]] = true, true
	if got, err := b.scanner.Scan(t.Context(), make([]chains.Watched, 1)); !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("learned %+v (%v) from nobody", got, err)
	}
}

// TestFrozenChainConcludesNothing replaces the remembered block on both nodes.
func TestFrozenChainConcludesNothing(t *testing.T) {
	b := setup(t, 2)
	hash := "a"
	b.anchor.read = func(context.Context, *rpcpool.Node, *uint64) (Block, error) { return Block{7, hash}, nil }
	b.show(paid, paid)
	b.anchor.check(t.Context())
	b.want(chains.Paid, 2)
	hash = "b"
	b.anchor.check(t.Context())
	if err := b.anchor.Err(); !errors.Is(err, chains.ErrFrozen) {
		t.Fatalf("not frozen: %v", err)
	}
	if got := b.want(chains.Included, 2); got.Reason == "" || len(got.Proof) > 0 {
		t.Errorf("sighting %+v", got)
	}
	b.show(dead, dead)
	b.want(chains.Unseen, 2)
}

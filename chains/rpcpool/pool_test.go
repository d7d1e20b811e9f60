package rpcpool

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server is a node that answers "network" and "height", and any other method
// with its own name.
type server struct {
	*httptest.Server
	name    string
	network atomic.Value
	height  atomic.Uint64
	status  atomic.Int64
	hang    atomic.Bool
	asked   atomic.Int64 // requests
	body    atomic.Value // in place of every answer
}

func start(t *testing.T, name string) *server {
	s := &server{name: name}
	s.network.Store("right")
	s.height.Store(100)
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if s.hang.Load() {
		<-r.Context().Done()
		return
	}
	if status := s.status.Load(); status != 0 {
		w.WriteHeader(int(status))
		return
	}
	if b, ok := s.body.Load().(string); ok {
		_, _ = io.WriteString(w, b)
		return
	}
	single := body[0] != '['
	if single {
		body = []byte("[" + string(body) + "]")
	}
	var asked []request
	if json.Unmarshal(body, &asked) != nil {
		return
	}
	answers := make([]map[string]any, len(asked))
	for i, a := range asked {
		var result any = s.name
		switch a.Method {
		case "network":
			result = s.network.Load()
		case "height":
			result = s.height.Load()
		}
		answers[len(asked)-1-i] = map[string]any{"id": a.ID, "result": result}
	}
	if single {
		_ = json.NewEncoder(w).Encode(answers[0])
		return
	}
	_ = json.NewEncoder(w).Encode(answers)
}

// clock is moved by the test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type bundle struct {
	*testing.T
	nodes []*server
	clock *clock
	pool  *Pool
}

func setup(t *testing.T, nodes int, change func(*Config)) *bundle {
	t.Helper()
	t.Parallel()
	b := &bundle{T: t, clock: &clock{now: noon}}
	cfg := Config{
		Identity: Identity{Method: "network", Check: func(c *Call) error {
			var is string
			if err := c.Decode(&is); err != nil {
				return err
			}
			if is != "right" {
				return fmt.Errorf("%w: %s", ErrWrongChain, is)
			}
			return nil
		}},
		Height:      Height{Method: "height", Parse: func(c *Call) (h uint64, err error) { err = c.Decode(&h); return }},
		CallTimeout: 200 * time.Millisecond, Now: b.clock.read,
	}
	for i := range nodes {
		s := start(t, string(rune('a'+i)))
		b.nodes = append(b.nodes, s)
		cfg.URLs = append(cfg.URLs, s.URL)
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.pool = p
	return b
}

// name is a read: which node answered.
func name(ctx context.Context, n *Node) (string, error) {
	c, s := NewCall("name"), ""
	if err := n.Do(ctx, c); err != nil {
		return "", err
	}
	return s, c.Decode(&s)
}

func (b *bundle) read(height uint64) (s string, err error) {
	err = b.pool.Read(b.Context(), height, func(ctx context.Context, n *Node) (err error) { s, err = name(ctx, n); return err })
	return s, err
}

func (b *bundle) wantRead(height uint64, want string) {
	b.Helper()
	if got, err := b.read(height); got != want {
		b.Fatalf("answered by %q (%v), want %q", got, err, want)
	}
}

func TestReadGoesOnToTheNextNode(t *testing.T) {
	for name, spoil := range map[string]func(*server){
		"hangs":           func(s *server) { s.hang.Store(true) },
		"429":             func(s *server) { s.status.Store(429) },
		"502":             func(s *server) { s.status.Store(502) },
		"another network": func(s *server) { s.network.Store("test") },
		"no JSON":         func(s *server) { s.body.Store("<html>") },
		"no answer in it": func(s *server) { s.body.Store(`{"jsonrpc":"2.0","id":0}`) },
		"dead":            func(s *server) { s.Close() },
		"too much":        func(s *server) { s.body.Store(`"` + strings.Repeat("x", 5000) + `"`) },
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t, 2, func(c *Config) { c.MaxResponse = 4000 })
			spoil(b.nodes[0])
			b.wantRead(0, "b")
		})
	}
}

func TestSilentNodesAreNotAskedUntilItIsTime(t *testing.T) {
	b := setup(t, 1, nil)
	b.wantRead(0, "a")
	b.nodes[0].status.Store(503)
	for range openAfter {
		if _, err := b.read(0); !errors.Is(err, ErrNoAnswer) {
			t.Fatalf("read: %v", err)
		}
	}
	asked := b.nodes[0].asked.Load()
	b.nodes[0].status.Store(0)
	if _, err := b.read(0); !errors.Is(err, ErrNoAnswer) || b.nodes[0].asked.Load() != asked {
		t.Fatalf("asked with an open breaker (%v)", err)
	}
	b.clock.add(time.Second)
	b.wantRead(0, "a")
	if s := b.pool.Stats()[0]; s.State != Healthy || s.Errors != openAfter {
		t.Errorf("stats %+v", s)
	}
}

func TestHalfOpenLetsOneThrough(t *testing.T) {
	b := setup(t, 1, nil)
	b.wantRead(0, "a")
	b.nodes[0].status.Store(503)
	for range openAfter {
		_, _ = b.read(0)
	}
	b.clock.add(time.Second)
	n := b.pool.nodes[0]
	if !n.admit() || n.admit() {
		t.Error("want one probe and no more")
	}
	n.abandon()
	if !n.admit() {
		t.Error("a probe that never left took the turn")
	}
}

func TestNodeOfAnotherNetworkComesBackWhenItIsRight(t *testing.T) {
	b := setup(t, 1, nil)
	if err := b.pool.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.nodes[0].network.Store("test")
	id := b.pool.nodes[0].Identity()
	if err := b.pool.nodes[0].Do(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := b.pool.nodes[0].Identified(id); !errors.Is(err, ErrWrongChain) {
		t.Fatalf("identified: %v", err)
	}
	if _, err := b.read(0); !errors.Is(err, ErrWrongChain) || b.pool.Stats()[0].State != WrongChain {
		t.Errorf("read from another network: %v", err)
	}
	b.nodes[0].network.Store("right")
	b.wantRead(0, "a")
}

func TestConnect(t *testing.T) {
	b := setup(t, 2, nil)
	b.nodes[0].status.Store(503)
	if err := b.pool.Connect(t.Context()); err != nil {
		t.Errorf("one of two answers: %v", err)
	}
	b.nodes[1].status.Store(503)
	if err := b.pool.Connect(t.Context()); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("none answers: %v", err)
	}
	b.nodes[0].status.Store(0)
	b.nodes[0].network.Store("test")
	if err := b.pool.Connect(t.Context()); !errors.Is(err, ErrWrongChain) {
		t.Errorf("one is of another network: %v", err)
	}
	if _, err := New(Config{URLs: []string{"http://x", "http://x"}}); err == nil {
		t.Error("one node may count as two")
	}
}

func TestReadsThatNeedAHeight(t *testing.T) {
	b := setup(t, 2, nil)
	if err := b.pool.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.nodes[1].height.Store(120)
	b.wantRead(100, "a")
	b.wantRead(120, "b")
	if got, err := b.read(121); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("answered by %q at too low a height", got)
	}
	b.nodes[0].height.Store(130)
	b.wantRead(130, "a")
}

func TestAskReplacesWhoDoesNotAnswer(t *testing.T) {
	b := setup(t, 4, nil)
	b.nodes[1].status.Store(503)
	votes := Ask(t.Context(), b.pool, 2, []*Node{b.pool.nodes[0]}, name)
	said := map[string]bool{}
	for _, v := range votes {
		if v.Err == nil {
			said[v.Said] = true
		}
	}
	if len(votes) != 3 || !said["c"] || !said["d"] {
		t.Errorf("votes %+v", votes)
	}
}

func TestTally(t *testing.T) {
	t.Parallel()
	yes, no, silent := Vote[bool]{Said: true}, Vote[bool]{}, Vote[bool]{Err: errBreaker}
	for _, c := range []struct {
		name  string
		votes []Vote[bool]
		need  int
		want  Truth
	}{
		{"nobody", nil, 1, Unclear},
		{"one of one", []Vote[bool]{yes}, 1, Yes},
		{"one of two", []Vote[bool]{yes, silent}, 2, Unclear},
		{"two of two", []Vote[bool]{no, no}, 2, No},
		{"two of three, one silent", []Vote[bool]{yes, silent, yes}, 2, Yes},
		{"two of three, one against", []Vote[bool]{no, yes, no}, 2, No},
		{"two of four, two against", []Vote[bool]{no, yes, no, yes}, 2, Unclear},
		{"one each", []Vote[bool]{no, yes}, 2, Unclear},
	} {
		if got := Tally(c.votes, c.need); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestBroadcastReachesEverybody although the first answer ends the wait and the
// caller goes away.
func TestBroadcastReachesEverybody(t *testing.T) {
	b := setup(t, 3, func(c *Config) { c.CallTimeout = 10 * time.Second })
	if err := b.pool.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	release, all := make(chan struct{}), sync.WaitGroup{}
	all.Add(3)
	ctx, cancel := context.WithCancel(t.Context())
	got := Broadcast(ctx, b.pool, func(ctx context.Context, n *Node) string {
		defer all.Done()
		if n != b.pool.nodes[1] {
			<-release
		}
		s, err := name(ctx, n)
		if err != nil {
			t.Errorf("%s: %v", n.Name(), err)
		}
		return s
	}, func(s string) bool { return s == "b" })
	cancel()
	close(release)
	all.Wait()
	if len(got) != 1 || got[0] != "b" {
		t.Errorf("answers %v", got)
	}
}

func TestRateLimitHoldsBack(t *testing.T) {
	b := setup(t, 1, func(c *Config) { c.CallsPerSecond, c.BatchLimit = 1, 2 })
	if err := b.pool.Connect(t.Context()); err != nil { // two calls
		t.Fatal(err)
	}
	asked := b.nodes[0].asked.Load()
	if _, err := b.read(0); err == nil || b.nodes[0].asked.Load() != asked {
		t.Errorf("third call in a second: %v", err)
	}
	if s := b.pool.Stats()[0]; s.State != Healthy {
		t.Errorf("our own limit is held against the node: %+v", s)
	}
}

func TestErrorsDoNotShowTheKey(t *testing.T) {
	b := setup(t, 1, func(c *Config) { c.URLs = []string{"http://127.0.0.1:1/secret-key"} })
	_, err := b.read(0)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestUnclassifiedErrorsAreCounted(t *testing.T) {
	b := setup(t, 1, nil)
	b.pool.nodes[0].Unclassified("send")
	b.pool.nodes[0].Unclassified("send")
	if got := b.pool.Stats()[0].Unclassified["send"]; got != 2 {
		t.Errorf("counted %d", got)
	}
}

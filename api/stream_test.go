package api_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

const never = time.Hour

// live serves the bench's API as a process does, hints included, until it is
// stopped or the test ends.
func (b *bench) live() (stop func()) {
	b.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx, smallBuffers{listener}, 10*time.Second) }()
	b.http.URL = "http://" + listener.Addr().String()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("the server stops with %v", err)
		}
	})
	b.t.Cleanup(stop)
	return stop
}

// smallBuffers makes a client that does not read felt soon.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(8 << 10)
	}
	return conn, err
}

// heard is what a stream delivered: an event, a place without one, or a comment.
type heard struct{ id, data, comment string }

// sse is an open event stream.
type sse struct {
	t     *testing.T
	body  io.Closer
	heard chan heard
}

// follow opens an event stream.
func (b *bench) follow(t *testing.T, path string, changes ...with) *sse {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.http.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.as(b.key)(r)
	for _, change := range changes {
		change(r)
	}
	resp, err := b.http.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		t.Fatalf("%s: %s %s", path, resp.Status, text)
	}
	s := &sse{t: t, body: resp.Body, heard: make(chan heard, 1000)}
	go s.read(resp.Body)
	t.Cleanup(s.close)
	return s
}

func (s *sse) read(body io.Reader) {
	defer close(s.heard)
	var one heard
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "" && one != heard{}:
			s.heard <- one
			one = heard{}
		case name == "":
			one.comment = value
		case name == "id":
			one.id = value
		case name == "data":
			one.data = value
		}
	}
}

func (s *sse) close() { _ = s.body.Close() }

// next returns what comes next; false when the stream has ended.
func (s *sse) next() (heard, bool) {
	s.t.Helper()
	select {
	case h, open := <-s.heard:
		return h, open
	case <-time.After(20 * time.Second):
		s.t.Fatal("the stream is silent")
		return heard{}, false
	}
}

// ids returns the ids of the next n events.
func (s *sse) ids(n int) []string {
	s.t.Helper()
	var ids []string
	for len(ids) < n {
		h, open := s.next()
		if !open {
			s.t.Fatalf("the stream ended behind %v", ids)
		}
		if h.data != "" {
			ids = append(ids, h.id)
		}
	}
	return ids
}

// ended expects nothing but comments until the end, and returns the last.
func (s *sse) ended() (comment string) {
	s.t.Helper()
	for {
		h, open := s.next()
		if !open {
			return comment
		}
		if h.data != "" {
			s.t.Fatalf("after the end: %+v", h)
		}
		comment = h.comment
	}
}

func stream(id string) string { return list + "/" + id + "/stream" }

// numbers are the sequences from one to another.
func numbers(from, to int) (out []string) {
	for n := from; n <= to; n++ {
		out = append(out, strconv.Itoa(n))
	}
	return out
}

// TestStreamShowsAPaymentToItsEnd: what was, what comes, then the end; and by
// hints alone, for it neither polls nor beats.
func TestStreamShowsAPaymentToItsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.StreamTiming(never, never, 10*time.Second)
	b.live()
	id := b.create(set("metadata", map[string]string{"a": "<&>\n"})).id()
	other := b.create().id()
	s := b.follow(t, stream(id))
	if got := s.ids(1); got[0] != "1" {
		t.Errorf("backfill: %v", got)
	}
	storetest.Settle(t, b.store, other)
	storetest.Settle(t, b.store, id)
	stored, err := b.store.IntentEvents(t.Context(), b.merchant.ID, payment.Live, id, 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range stored {
		if h, _ := s.next(); h.id != fmt.Sprint(e.Sequence) || h.data != string(e.Body) {
			t.Errorf("heard %+v, stored is %d %s", h, e.Sequence, e.Body)
		}
	}
	if why := s.ended(); why != "the payment has ended" {
		t.Errorf("the end: %q", why)
	}
	again := b.follow(t, stream(id)+"?after=2")
	if got := again.ids(2); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("after 2: %v", got)
	}
	again.ended()
	b.do("GET", stream(id), nil, header("Last-Event-ID", "4")).want(204)
	b.do("GET", stream(id), nil, header("Last-Event-ID", "four")).refused(400, api.ParameterInvalid, "header:Last-Event-ID")
	b.do("GET", stream(id)+"?after=-1", nil).refused(400, api.ParameterInvalid, "query:after")
}

// TestStreamReconnects: whoever goes on with Last-Event-ID after every break
// gets each event once and in order, whatever happened meanwhile.
func TestStreamReconnects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.live()
	id := b.create().id()
	var got []string
	for n := range 6 {
		s := b.follow(t, stream(id)+"?after=0", header("Last-Event-ID", strconv.Itoa(len(got))))
		storetest.Advance(t, b.store, id, payment.ManualReview, payment.Routed)
		got = append(got, s.ids(1+n%3)...)
		s.close()
		storetest.Advance(t, b.store, id, payment.ManualReview, payment.Routed)
	}
	storetest.End(t, b.store, id, payment.Expired)
	last := 1 + 6*4 + 1
	s := b.follow(t, stream(id), header("Last-Event-ID", strconv.Itoa(len(got))))
	got = append(got, s.ids(last-len(got))...)
	s.ended()
	if !slices.Equal(got, numbers(1, last)) {
		t.Errorf("heard %v", got)
	}
}

// socketTo opens a WebSocket.
func (b *bench) socketTo(t *testing.T, path string, ping func()) *websocket.Conn {
	t.Helper()
	conn, resp, err := websocket.Dial(t.Context(), b.http.URL+path, &websocket.DialOptions{
		HTTPHeader:     http.Header{"Authorization": {"Bearer " + b.key}},
		OnPingReceived: func(context.Context, []byte) bool { ping(); return true },
	})
	if err != nil {
		t.Fatalf("dial: %v %v", err, resp)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

// TestStreamOverWebSocket: the same messages, pings, and a close that says why.
func TestStreamOverWebSocket(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.StreamTiming(20*time.Millisecond, never, 10*time.Second)
	stop := b.live()
	id := b.create().id()
	pings := make(chan struct{}, 1000)
	conn := b.socketTo(t, stream(id), func() { pings <- struct{}{} })
	var heard []string
	read := func() error {
		_, text, err := conn.Read(t.Context())
		heard = append(heard, string(text))
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	b.do("POST", list+"/"+id+"/cancel", nil).want(200)
	var end error
	for end == nil {
		end = read()
	}
	stored, err := b.store.IntentEvents(t.Context(), b.merchant.ID, payment.Live, id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf(`{"id":"1","event":%s}`, stored[0].Body), fmt.Sprintf(`{"id":"2","event":%s}`, stored[1].Body), ""}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
	if websocket.CloseStatus(end) != websocket.StatusNormalClosure {
		t.Errorf("closed with %v", end)
	}

	open := b.socketTo(t, stream(b.create().id()), func() { pings <- struct{}{} })
	if _, _, err := open.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := open.Read(t.Context())
		ended <- err
	}()
	<-pings
	stop()
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the server stopped: %v", err)
	}
}

// TestStreamsDeliverWithoutHints: the listener never came up, Redis is down;
// and it is cut off while a stream is open.
func TestStreamsDeliverWithoutHints(t *testing.T) {
	t.Parallel()
	t.Run("no listener, no Redis", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		client, err := api.OpenRedis("redis://127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		b.serve(peppers, func(d *api.Deps) { d.Redis, d.RateLimit = client, 100 })
		b.server.StreamTiming(never, 20*time.Millisecond, 10*time.Second)
		id := b.create().id()
		s := b.follow(t, stream(id))
		all := b.follow(t, eventLog+"/stream")
		s.ids(1)
		if h, _ := all.next(); h.id == "" {
			t.Errorf("no place to begin: %+v", h)
		}
		storetest.Settle(t, b.store, id)
		s.ids(3)
		s.ended()
		all.ids(3)
	})
	t.Run("the listener's connection is killed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.server.StreamTiming(never, 20*time.Millisecond, 10*time.Second)
		b.live()
		listeners := func(query string) (n int) {
			if err := b.sql.QueryRow(t.Context(), query+" FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'settle listen settle_events' AND query = '-- ping'").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		eventually(t, "the process listens", func() bool { return listeners("SELECT count(*)") == 1 })
		id := b.create().id()
		s := b.follow(t, stream(id))
		s.ids(1)
		for range 2 {
			listeners("SELECT count(pg_terminate_backend(pid))")
			storetest.Advance(t, b.store, id, payment.ManualReview, payment.Routed)
			s.ids(2)
			eventually(t, "the process listens again", func() bool { return listeners("SELECT count(*)") == 1 })
		}
	})
}

func TestStreamLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.serve(peppers, func(d *api.Deps) { d.MaxStreams = 22 })
	id := b.create().id()
	var open []*sse
	for range 20 {
		open = append(open, b.follow(t, stream(id)))
	}
	b.do("GET", stream(id), nil).refused(429, api.StreamLimit, "")
	b.do("GET", eventLog+"/stream", nil).refused(429, api.StreamLimit, "")
	second := b.as(b.issue(b.merchant.ID, payment.Live))
	for range 2 {
		b.follow(t, eventLog+"/stream", second)
	}
	full := b.do("GET", stream(id), nil, second)
	full.refused(503, api.StreamsFull, "")
	if full.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	open[0].close()
	eventually(t, "a closed stream makes room", func() bool {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, b.http.URL+stream(id), nil)
		second(r)
		resp, err := b.http.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// TestStreamOutlivesTimeouts: those of the server are for requests; and a
// silent stream beats.
func TestStreamOutlivesTimeouts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.StreamTiming(50*time.Millisecond, never, 10*time.Second)
	server := httptest.NewUnstartedServer(b.server)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	id := b.create().id()
	b.http.URL = server.URL
	s := b.follow(t, stream(id))
	s.ids(1)
	for range 12 {
		if h, open := s.next(); !open || h.comment != "heartbeat" {
			t.Fatalf("heard %+v, open %v", h, open)
		}
	}
}

// TestSlowClientIsCut: a client that does not read is cut, and holds no place.
func TestSlowClientIsCut(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.serve(peppers, func(d *api.Deps) { d.MaxStreams = 1 })
	b.server.StreamTiming(never, 20*time.Millisecond, 100*time.Millisecond)
	b.live()
	large := map[string]string{}
	for n := range 20 {
		large[fmt.Sprint("key", n)] = strings.Repeat("x", 500)
	}
	id := b.create(set("metadata", large)).id()
	for range 20 {
		storetest.Advance(t, b.store, id, payment.ManualReview, payment.Routed)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", strings.TrimPrefix(b.http.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: settle\r\nAuthorization: Bearer %s\r\n\r\n", stream(id), b.key); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	slow := dial()
	first := make([]byte, 12)
	if _, err := io.ReadFull(slow, first); err != nil || !bytes.Equal(first, []byte("HTTP/1.1 200")) {
		t.Fatalf("%q, %v", first, err)
	}
	eventually(t, "the next one is served", func() bool {
		conn := dial()
		answer := make([]byte, 12)
		_, err := io.ReadFull(conn, answer)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Equal(answer, first)
	})
	_ = slow.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.ReadAll(slow); errors.Is(err, context.DeadlineExceeded) || bytes.Contains(got, []byte("\nid: 41\n")) {
		t.Errorf("the slow client got %d bytes, %v", len(got), err)
	}
}

func TestStreamsEndWhenTheServerStops(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stop := b.live()
	id := b.create().id()
	one, all := b.follow(t, stream(id)), b.follow(t, eventLog+"/stream")
	one.ids(1)
	stop()
	for _, s := range []*sse{one, all} {
		for {
			h, open := s.next()
			if !open {
				t.Error("the stream ended without a word")
				break
			}
			if h.comment != "" {
				if h.comment != "the server stops; connect again" {
					t.Errorf("heard %q", h.comment)
				}
				break
			}
		}
		s.ended()
	}
}

func TestStreamsAreTheMerchantsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.StreamTiming(20*time.Millisecond, 20*time.Millisecond, 10*time.Second)
	b.live()
	id := b.create().id()
	stranger := storetest.Merchant(t, b.store, funds)
	strangers := b.issue(stranger.ID, payment.Live)
	for _, key := range []string{strangers, b.issue(b.merchant.ID, payment.Test)} {
		b.do("GET", stream(id), nil, b.as(key)).refused(404, api.NotFound, "")
	}
	b.do("GET", stream(id), nil, header("Authorization", "")).refused(401, api.Unauthenticated, "")
	b.do("GET", stream(id), nil, b.as(b.issue(b.merchant.ID, payment.Live, api.WebhooksRead))).refused(403, api.ScopeMissing, "")

	theirs := b.follow(t, eventLog+"/stream", b.as(strangers))
	if h, _ := theirs.next(); h.id == "" {
		t.Fatalf("no place to begin: %+v", h)
	}
	storetest.Settle(t, b.store, id)
	b.do("POST", list, order(), b.as(strangers), idempotent("theirs")).want(201)
	for {
		if h, _ := theirs.next(); h.data != "" {
			if strings.Contains(h.data, id) {
				t.Errorf("a stranger heard %s", h.data)
			}
			break
		}
	}
	// A revoked key loses its stream at a heartbeat.
	if _, err := b.sql.Exec(t.Context(), "UPDATE api_keys SET revoked_at = now() WHERE merchant_id = $1", stranger.ID); err != nil {
		t.Fatal(err)
	}
	b.clock.Store(60)
	if why := theirs.ended(); why != "the API key is not valid any more" {
		t.Errorf("the end: %q", why)
	}
}

// TestStreamOfAllPayments: every event once, in the order of the log, across
// breaks; the ids are the list's cursors.
func TestStreamOfAllPayments(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.StreamTiming(never, 20*time.Millisecond, 10*time.Second)
	b.live()
	before := b.create().id()
	var past []map[string]any
	eventually(t, "the log shows it", func() bool {
		past, _ = b.readLog("", "")
		return len(past) == 1
	})
	s := b.follow(t, eventLog+"/stream")
	start, _ := s.next()
	if start.data != "" {
		t.Fatalf("the past %s is streamed: %s", before, start.data)
	}
	var got []heard
	last := func() string {
		if len(got) == 0 {
			return start.id
		}
		return got[len(got)-1].id
	}
	for range 3 {
		storetest.Settle(t, b.store, b.create().id())
		for range 2 {
			h, _ := s.next()
			if h.data != "" {
				got = append(got, h)
			}
		}
		s.close()
		s = b.follow(t, eventLog+"/stream?after="+start.id, header("Last-Event-ID", last()))
	}
	for len(got) < 12 {
		if h, _ := s.next(); h.data != "" {
			got = append(got, h)
		}
	}
	var want []string
	for _, e := range b.do("GET", eventLog+"?after="+start.id, nil).want(200).data() {
		want = append(want, e["id"].(string))
	}
	for n, h := range got {
		if n >= len(want) || !strings.Contains(h.data, want[n]) {
			t.Fatalf("event %d is %s, the log has %v", n, h.data, want)
		}
	}
	if rest, _ := b.readLog(got[9].id, ""); len(rest) != 2 {
		t.Errorf("behind the tenth: %d events, want 2", len(rest))
	}
	settled := b.follow(t, eventLog+"/stream?type=payment_intent.settled")
	settled.next()
	storetest.Settle(t, b.store, b.create().id())
	if h, _ := settled.next(); !strings.Contains(h.data, `"type":"payment_intent.settled"`) {
		t.Errorf("filtered: %s", h.data)
	}
	b.do("GET", eventLog+"/stream?after="+start.id+"&type=payment_intent.settled", nil).refused(400, api.CursorInvalid, "query:after")
	b.do("GET", eventLog+"/stream", nil, header("Last-Event-ID", "7")).refused(400, api.CursorInvalid, "header:Last-Event-ID")
}

func TestAWebSocketThatIsNoneIsRefusedAsAProblem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, headers := range []map[string]string{
		{"Sec-WebSocket-Version": "13"},
		{"Sec-WebSocket-Version": "7", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="},
		{"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Origin": "https://elsewhere.example"},
	} {
		asked := []with{header("Connection", "Upgrade"), header("Upgrade", "websocket")}
		for name, value := range headers {
			asked = append(asked, header(name, value))
		}
		b.do("GET", "/v1/events/stream", nil, asked...).refused(400, api.ParameterInvalid, "header:Upgrade")
	}
}

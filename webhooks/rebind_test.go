package webhooks_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/settlehq/settle/webhooks"
)

// A merchant's DNS answers with an allowed address when asked first and with
// one of ours later: every dial is judged by what it really connects to.
func TestReboundNamesAreRefused(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	inside, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skipf("no second loopback address: %v", err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) })}
	go srv.Serve(inside)
	t.Cleanup(func() { srv.Close() })
	_, port, _ := net.SplitHostPort(inside.Addr().String())
	outside, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Skipf("port taken: %v", err)
	}
	allowed := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })}
	go allowed.Serve(outside)
	t.Cleanup(func() { allowed.Close() })

	var addr atomic.Value
	addr.Store("127.0.0.1")
	sender := newSender(t, webhooks.SenderConfig{Guard: loopback, Resolver: resolver(t, func() string { return addr.Load().(string) })})
	r := request("http://rebind.example:" + port)
	if res := sender.Send(t.Context(), r); res.Outcome != webhooks.Delivered {
		t.Fatalf("before: %+v", res)
	}
	addr.Store("127.0.0.2")
	res := sender.Send(t.Context(), r)
	if res.Outcome != webhooks.Retry || res.Blame != webhooks.BlameEndpoint || !strings.Contains(res.Error, "127.0.0.2") {
		t.Fatalf("after: %+v", res)
	}
	if visits.Load() != 0 {
		t.Fatal("the inside was reached")
	}
}

// A public name over plain http is refused even on a port that TLS may use.
func TestPlainHTTPReachesAllowedNetworksOnly(t *testing.T) {
	t.Parallel()
	guard := webhooks.Guard{AllowCIDRs: loopback.AllowCIDRs, AllowPorts: []uint16{80}}
	sender := newSender(t, webhooks.SenderConfig{Guard: guard, Resolver: resolver(t, func() string { return "8.8.8.8" })})
	for _, url := range []string{"http://public.example/", "http://public.example:443/"} {
		if res := sender.Send(t.Context(), request(url)); res.Status != 0 || !strings.Contains(res.Error, "over plain http") {
			t.Errorf("%s: %+v", url, res)
		}
	}
}

// resolver answers every A question with what addr says, over a pipe.
func resolver(t *testing.T, addr func() string) *net.Resolver {
	t.Helper()
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for answerDNS(server, addr) == nil {
			}
		}()
		return client, nil
	}}
}

// answerDNS answers one question in the framing of DNS over TCP, which Go
// speaks over any connection that is not a packet connection.
func answerDNS(conn net.Conn, addr func() string) error {
	size := make([]byte, 2)
	if _, err := io.ReadFull(conn, size); err != nil {
		return err
	}
	query := make([]byte, int(size[0])<<8|int(size[1]))
	if _, err := io.ReadFull(conn, query); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil {
		return err
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 0},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr()).As4()},
		}}
	}
	packed, err := m.Pack()
	if err != nil {
		return err
	}
	_, err = conn.Write(append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...))
	return err
}

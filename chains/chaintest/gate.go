package chaintest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// gate stands between the chain under test and the node. It counts requests
// and can stop answering without closing the connection.
type gate struct {
	server   *httptest.Server
	requests atomic.Int64
	hanging  atomic.Bool
	release  chan struct{}
	once     sync.Once
}

func newGate(t *testing.T, node string) *gate {
	t.Helper()
	target, err := url.Parse(node)
	if err != nil {
		t.Fatalf("harness RPCURL: %v", err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{} // of its own: the end of any other test server closes the connections of the default one
	g := &gate{release: make(chan struct{})}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		if g.hanging.Load() {
			select {
			case <-g.release:
			case <-r.Context().Done():
			}
			return
		}
		r.Host = target.Host
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(g.close)
	return g
}

func (g *gate) url() string { return g.server.URL }

// close refuses every connection from now on.
func (g *gate) close() {
	g.once.Do(func() {
		close(g.release)
		g.server.CloseClientConnections()
		g.server.Close()
	})
}

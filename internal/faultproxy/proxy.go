package faultproxy

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/settlehq/settle/internal/sandbox"
)

// Proxy is a running proxy. It is safe for concurrent use.
type Proxy struct {
	URL string

	upstream string
	mu       sync.Mutex
	faults   []*Fault
	struck   map[Kind]int
	closing  chan struct{}
}

// Start runs a proxy before the node at upstream until t ends.
func Start(t sandbox.T, upstream string) *Proxy {
	t.Helper()
	p := &Proxy{upstream: upstream, struck: map[Kind]int{}, closing: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(p.serve))
	p.URL = server.URL
	t.Cleanup(func() {
		close(p.closing) // lets go of whoever hangs
		server.CloseClientConnections()
		server.Close()
	})
	return p
}

// Add puts a fault in place. Of several that fit a request, the oldest strikes.
func (p *Proxy) Add(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
}

// Clear takes all faults away. Requests that hang go on hanging.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// Struck counts the requests that were failed, by kind.
func (p *Proxy) Struck() map[Kind]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.struck)
}

// pick returns the fault that strikes a request, if one does.
func (p *Proxy) pick(calls []call) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.faults {
		if !f.fits(calls) {
			continue
		}
		if f.spared < f.Skip {
			f.spared++
			continue
		}
		f.spared = 0
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
			}
		}
		p.struck[f.Kind]++
		return *f, true
	}
	return Fault{}, false
}

func (f *Fault) fits(calls []call) bool {
	for _, c := range calls {
		if f.Method == "" || f.Method == c.Method {
			return true
		}
	}
	return false
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	calls, batch, err := parse(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fault, struck := p.pick(calls)
	switch {
	case !struck:
		p.forward(w, r, body)
	case fault.Kind.transport():
		p.strike(w, r, body, fault)
	default:
		p.lie(w, r, calls, batch, fault)
	}
}

func parse(body []byte) (calls []call, batch bool, err error) {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err = json.Unmarshal(body, &calls)
		return calls, true, err
	}
	calls = make([]call, 1)
	err = json.Unmarshal(body, &calls[0])
	return calls, false, err
}

// strike fails the request as a whole.
func (p *Proxy) strike(w http.ResponseWriter, r *http.Request, body []byte, f Fault) {
	switch f.Kind {
	case Slow:
		if p.wait(r, time.After(f.Delay)) {
			p.forward(w, r, body)
		}
	case Hang:
		p.wait(r, nil)
		hangUp(w)
	case LostResponse:
		_, _, _ = p.ask(r, body) // whatever it was, it is lost
		http.Error(w, "bad gateway", http.StatusBadGateway)
	case LostHangUp:
		_, _, _ = p.ask(r, body)
		hangUp(w)
	case RateLimited:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	case BadGateway:
		http.Error(w, "bad gateway", http.StatusBadGateway)
	default: // HangUp
		hangUp(w)
	}
}

// lie answers the calls that the fault is about falsely and the others truly.
func (p *Proxy) lie(w http.ResponseWriter, r *http.Request, calls []call, batch bool, f Fault) {
	answers := make([]json.RawMessage, len(calls))
	for i, c := range calls {
		var err error
		switch about := f.Method == "" || f.Method == c.Method; {
		case about && f.Kind == Swallowed:
			answers[i], err = c.swallow()
		case about && f.Kind == Refused:
			answers[i], err = c.refuse()
		default:
			answers[i], err = p.askOne(r, c)
			switch {
			case err != nil || !about:
			case f.Kind == FalseFailure:
				answers[i], err = c.fail(answers[i])
			default: // Forgetful
				answers[i], err = c.forget(answers[i])
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
	}
	var out any = answers
	if !batch {
		out = answers[0]
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out) // the client may be gone
}

// askOne asks the node for one call.
func (p *Proxy) askOne(r *http.Request, c call) (json.RawMessage, error) {
	c.Version = "2.0"
	body, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	_, answered, err := p.ask(r, body)
	return answered, err
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, body []byte) {
	status, answered, err := p.ask(r, body)
	if err != nil {
		http.Error(w, "upstream: "+err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(answered) // the client may be gone
}

// ask hands a request to the node, also if the client has gone meanwhile: what
// was sent to a network does not come back.
func (p *Proxy) ask(r *http.Request, body []byte) (status int, answered []byte, err error) {
	req, err := http.NewRequest(http.MethodPost, p.upstream, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answered, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answered, err
}

var client = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// wait returns true when over fires, and false if the client gives up before.
func (p *Proxy) wait(r *http.Request, over <-chan time.Time) bool {
	select {
	case <-over:
		return true
	case <-r.Context().Done():
	case <-p.closing:
	}
	return false
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

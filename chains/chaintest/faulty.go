package chaintest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// Rewrite changes the result of a call on its way back from the node. It
// returns the result itself to leave it as it is.
type Rewrite func(method string, params []json.RawMessage, result json.RawMessage) any

// faulty is a node that goes wrong when told to: a proxy in front of a real
// one.
type faulty struct {
	server   *httptest.Server
	client   *http.Client
	requests atomic.Int64

	mu      sync.Mutex
	status  int
	rewrite Rewrite
	hanging chan struct{} // closed when it ends; nil: not hanging
	closed  sync.Once
}

func newFaulty(t *testing.T, node string) *faulty {
	t.Helper()
	f := &faulty{client: &http.Client{Transport: &http.Transport{}}}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.serve(w, r, node) }))
	t.Cleanup(f.close)
	return f
}

func (f *faulty) url() string  { return f.server.URL }
func (f *faulty) count() int64 { return f.requests.Load() }

func (f *faulty) hang() { f.change(func() { f.hanging = make(chan struct{}) }) }

func (f *faulty) refuse(status int) { f.change(func() { f.status = status }) }

func (f *faulty) lie(r Rewrite) { f.change(func() { f.rewrite = r }) }

func (f *faulty) heal() {
	f.change(func() {
		if f.hanging != nil {
			close(f.hanging)
		}
		f.hanging, f.status, f.rewrite = nil, 0, nil
	})
}

func (f *faulty) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// close refuses every connection from now on.
func (f *faulty) close() {
	f.closed.Do(func() {
		f.heal()
		f.server.CloseClientConnections()
		f.server.Close()
	})
}

func (f *faulty) serve(w http.ResponseWriter, r *http.Request, node string) {
	f.requests.Add(1)
	f.mu.Lock()
	hanging, status, rewrite := f.hanging, f.status, f.rewrite
	f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if hanging != nil {
		select {
		case <-hanging:
		case <-r.Context().Done():
		}
		return
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	answer, err := f.forward(r, node, body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	if rewrite != nil {
		answer = rewritten(body, answer, rewrite)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

func (f *faulty) forward(r *http.Request, node string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, node, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// rewritten applies a lie to each call of a request. What is no JSON-RPC is
// left alone.
func rewritten(body, answer []byte, rewrite Rewrite) []byte {
	single := !bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
	if single {
		body, answer = []byte("["+string(body)+"]"), []byte("["+string(answer)+"]")
	}
	type call struct {
		ID     json.RawMessage   `json:"id"`
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	var asked []call
	var answers []map[string]json.RawMessage
	if json.Unmarshal(body, &asked) != nil || json.Unmarshal(answer, &answers) != nil {
		return answer
	}
	byID := map[string]call{}
	for _, c := range asked {
		byID[string(c.ID)] = c
	}
	for _, a := range answers {
		c := byID[string(a["id"])]
		b, err := json.Marshal(rewrite(c.Method, c.Params, a["result"]))
		if err != nil || (a["error"] != nil && string(b) == "null") {
			continue
		}
		delete(a, "error")
		a["result"] = b
	}
	var out []byte
	var err error
	if single {
		out, err = json.Marshal(answers[0])
	} else {
		out, err = json.Marshal(answers)
	}
	if err != nil {
		return answer
	}
	return out
}

package simchain

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Server is a node's endpoint. It is safe for concurrent use; calls of a batch
// are handled in order.
type Server struct {
	URL string

	http   *httptest.Server
	handle Handler

	mu     sync.Mutex
	strike func([]Call) Fault
}

// Fault is how a node goes wrong at one request. The zero Fault is none.
type Fault struct {
	Status int     // in place of the answer, if not 0
	HangUp bool    // in place of the answer: closes the connection
	Late   bool    // with the two above: the calls are carried out first, and only the answer is lost
	Lie    Handler // answers in the node's place; it may ask [Server.Truth]
}

// Start opens an endpoint for a node that answers by handle.
func Start(handle Handler) *Server {
	s := &Server{handle: handle}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	return s
}

// Close ends the endpoint: connections are refused from now on.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Strike has decide say, for each request from now on, how the node goes wrong
// at it. Nil heals the node.
func (s *Server) Strike(decide func([]Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strike = decide
}

// Truth answers a call as the node does without fault.
func (s *Server) Truth(c Call) (any, error) { return s.handle(c) }

func (s *Server) fault(calls []Call) Fault {
	s.mu.Lock()
	decide := s.strike
	s.mu.Unlock()
	if decide == nil {
		return Fault{}
	}
	return decide(calls)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client is gone
	}
	calls, batch, err := parse(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f := s.fault(calls)
	loses := f.Status != 0 || f.HangUp
	var out []byte
	if !loses || f.Late {
		out = s.answer(calls, batch, f.Lie)
	}
	switch {
	case f.HangUp:
		hangUp(w)
	case f.Status != 0:
		w.WriteHeader(f.Status)
	default:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out) // the client may be gone
	}
}

func parse(body []byte) (calls []Call, batch bool, err error) {
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		err = json.Unmarshal(body, &calls)
		return calls, true, err
	}
	calls = make([]Call, 1)
	err = json.Unmarshal(body, &calls[0])
	return calls, false, err
}

func (s *Server) answer(calls []Call, batch bool, lie Handler) []byte {
	handle := s.handle
	if lie != nil {
		handle = lie
	}
	answers := make([]any, len(calls))
	for i, c := range calls {
		result, err := handle(c)
		answers[i] = respond(c, result, err)
	}
	var whole any = answers
	if !batch {
		whole = answers[0]
	}
	out, err := json.Marshal(whole)
	if err != nil {
		panic(err) // a handler's result is no JSON
	}
	return out
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// Always is the fault of every request, for [Server.Strike].
func Always(f Fault) func([]Call) Fault { return func([]Call) Fault { return f } }

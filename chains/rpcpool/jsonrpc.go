package rpcpool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Call is one JSON-RPC request and, after [Node.Do], its answer: Result, or
// the node's Err.
type Call struct {
	Method string
	Params []any
	Result json.RawMessage
	Err    *Error
}

// NewCall returns a call that is not made yet.
func NewCall(method string, params ...any) *Call { return &Call{Method: method, Params: params} }

// Decode reads the answer. A node's error, or an answer of another shape,
// means that nothing was learned.
func (c *Call) Decode(into any) error {
	if c.Err != nil {
		return fmt.Errorf("%s: %w", c.Method, c.Err)
	}
	if err := json.Unmarshal(c.Result, into); err != nil {
		return fmt.Errorf("%s: answer not understood: %w", c.Method, err)
	}
	return nil
}

// Error is the error object of JSON-RPC. What it means is the family's to say:
// codes differ between clients.
type Error struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// limited reports whether a node said that it was asked too much: it is up,
// but asking on makes it worse.
func (e *Error) limited() bool {
	const providerLimit = -32429
	text := strings.ToLower(e.Message)
	return e.Code == providerLimit || strings.Contains(text, "too many requests") || strings.Contains(text, "rate limit")
}

// HTTPError is an answer without JSON-RPC in it.
type HTTPError struct{ Status int }

func (e *HTTPError) Error() string { return fmt.Sprintf("HTTP status %d", e.Status) }

type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

type response struct {
	ID     *int            `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *Error          `json:"error"`
}

// encode writes one call as an object, several as an array.
func encode(calls []*Call) ([]byte, error) {
	requests := make([]request, len(calls))
	for i, c := range calls {
		requests[i] = request{Version: "2.0", ID: i, Method: c.Method, Params: c.Params}
		if c.Params == nil {
			requests[i].Params = []any{}
		}
	}
	if len(calls) == 1 {
		return json.Marshal(requests[0])
	}
	return json.Marshal(requests)
}

// decode gives each call its answer.
func decode(calls []*Call, answer []byte) error {
	var responses []response
	if bytes.HasPrefix(bytes.TrimSpace(answer), []byte("[")) {
		if err := json.Unmarshal(answer, &responses); err != nil {
			return fmt.Errorf("answer is not JSON-RPC: %w", err)
		}
		return match(calls, responses)
	}
	responses = make([]response, 1)
	if err := json.Unmarshal(answer, &responses[0]); err != nil {
		return fmt.Errorf("answer is not JSON-RPC: %w", err)
	}
	if len(calls) > 1 && responses[0].Error != nil {
		return responses[0].Error // the whole batch was refused
	}
	return match(calls, responses)
}

// match finds the answers by id; a node may answer in any order.
func match(calls []*Call, responses []response) error {
	seen := make([]bool, len(calls))
	for _, r := range responses {
		if r.ID == nil {
			if len(calls) == 1 && r.Error != nil {
				calls[0].Err, seen[0] = r.Error, true
			}
			continue
		}
		if *r.ID < 0 || *r.ID >= len(calls) || seen[*r.ID] {
			return fmt.Errorf("answer with unexpected id %d", *r.ID)
		}
		if r.Result == nil && r.Error == nil {
			return fmt.Errorf("answer %d to %s has neither result nor error", *r.ID, calls[*r.ID].Method)
		}
		seen[*r.ID] = true
		calls[*r.ID].Result, calls[*r.ID].Err = r.Result, r.Error
	}
	for i, ok := range seen {
		if !ok {
			return fmt.Errorf("no answer to call %d, %s", i, calls[i].Method)
		}
	}
	return nil
}

// post makes one HTTP request.
func (n *Node) post(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the endpoint is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.pool.web.Do(req)
	if err != nil {
		return nil, redact(err)
	}
	defer resp.Body.Close()
	limit := n.pool.cfg.MaxResponse
	answer, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, redact(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &HTTPError{Status: resp.StatusCode}
	}
	if int64(len(answer)) > limit {
		return nil, fmt.Errorf("answer is larger than %d bytes", limit)
	}
	return answer, nil
}

// redact takes the URL out of an HTTP client's error.
func redact(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

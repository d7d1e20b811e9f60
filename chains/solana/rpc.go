package solana

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/settlehq/settle/chains"
)

const (
	callTimeout   = 5 * time.Second // per HTTP request
	batchLimit    = 100             // calls per HTTP request; providers refuse more
	maxResponse   = 64 << 20        // bytes
	maxSignatures = 256             // per getSignatureStatuses
	maxAccounts   = 100             // per getMultipleAccounts
)

// node is one JSON-RPC endpoint.
type node struct {
	url  string
	name string // host and port: what logs and proofs may show, since paths hold API keys
	http *http.Client
}

func newNode(rawURL string) *node {
	name := "node"
	if u, err := url.Parse(rawURL); err == nil {
		name = u.Host
	}
	return &node{url: rawURL, name: name, http: &http.Client{
		Timeout: callTimeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
			TLSHandshakeTimeout: 2 * time.Second,
			MaxIdleConnsPerHost: 32,
			IdleConnTimeout:     30 * time.Second,
			ForceAttemptHTTP2:   true,
		},
	}}
}

// call is one JSON-RPC request and, after do, its answer.
type call struct {
	method string
	params []any
	result json.RawMessage
	err    *rpcError
}

func newCall(method string, params ...any) *call { return &call{method: method, params: params} }

// decode reads the answer. Every error of a node means that nothing was
// learned, so it wraps chains.ErrUnknown.
func (c *call) decode(into any) error {
	if c.err != nil {
		return fmt.Errorf("%w: %s: %w", chains.ErrUnknown, c.method, c.err)
	}
	if err := json.Unmarshal(c.result, into); err != nil {
		return fmt.Errorf("%w: %s: answer not understood: %w", chains.ErrUnknown, c.method, err)
	}
	return nil
}

// rpcError is the error object of JSON-RPC. Data is read by the tables in
// errors.go; the text is for people.
type rpcError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *rpcError) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// httpError is an answer without JSON-RPC in it.
type httpError struct{ status int }

func (e *httpError) Error() string { return fmt.Sprintf("HTTP status %d", e.status) }

// do sends the calls, in batches, and fills in their answers. The error, if
// any, wraps chains.ErrUnknown; then no answer may be used.
func (n *node) do(ctx context.Context, calls ...*call) error {
	for len(calls) > 0 {
		size := min(len(calls), batchLimit)
		if err := n.batch(ctx, calls[:size]); err != nil {
			var u *url.Error
			if errors.As(err, &u) {
				err = u.Err // without the URL: its path may hold an API key
			}
			return fmt.Errorf("%w: %s: %w", chains.ErrUnknown, n.name, err)
		}
		calls = calls[size:]
	}
	return nil
}

type request struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

type response struct {
	ID     *int            `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *rpcError       `json:"error"`
}

func (n *node) batch(ctx context.Context, calls []*call) error {
	requests := make([]request, len(calls))
	for i, c := range calls {
		requests[i] = request{Version: "2.0", ID: i, Method: c.method, Params: c.params}
		if c.params == nil {
			requests[i].Params = []any{}
		}
	}
	var body []byte
	var err error
	if len(calls) == 1 {
		body, err = json.Marshal(requests[0])
	} else {
		body, err = json.Marshal(requests)
	}
	if err != nil {
		return err
	}
	answer, err := n.post(ctx, body)
	if err != nil {
		return err
	}
	var responses []response
	if bytes.HasPrefix(bytes.TrimSpace(answer), []byte("[")) {
		err = json.Unmarshal(answer, &responses)
	} else {
		responses = make([]response, 1)
		err = json.Unmarshal(answer, &responses[0])
		if err == nil && responses[0].Error != nil && len(calls) > 1 {
			return responses[0].Error // the whole batch was refused
		}
	}
	if err != nil {
		return fmt.Errorf("answer is not JSON-RPC: %w", err)
	}
	return match(calls, responses)
}

// match gives each call its answer by id; a node may answer in any order.
func match(calls []*call, responses []response) error {
	seen := make([]bool, len(calls))
	for _, r := range responses {
		if r.ID == nil {
			if len(calls) == 1 && r.Error != nil {
				calls[0].err, seen[0] = r.Error, true
			}
			continue
		}
		if *r.ID < 0 || *r.ID >= len(calls) || seen[*r.ID] {
			return fmt.Errorf("answer with unexpected id %d", *r.ID)
		}
		if r.Result == nil && r.Error == nil {
			return fmt.Errorf("answer %d to %s has neither result nor error", *r.ID, calls[*r.ID].method)
		}
		seen[*r.ID] = true
		calls[*r.ID].result, calls[*r.ID].err = r.Result, r.Error
	}
	for i, ok := range seen {
		if !ok {
			return fmt.Errorf("no answer to call %d, %s", i, calls[i].method)
		}
	}
	return nil
}

func (n *node) post(ctx context.Context, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &httpError{status: resp.StatusCode}
	}
	if len(answer) > maxResponse {
		return nil, fmt.Errorf("answer is larger than %d bytes", maxResponse)
	}
	return answer, nil
}

// Parameters that many calls share.
type options map[string]any

func at(commitment string) options { return options{"commitment": commitment} }

const (
	confirmed = "confirmed"
	// finalized is the level at which an outcome counts (S12: should the
	// network ever make confirmed irreversible, this is the only place).
	finalized = "finalized"
)

// withContext is the shape of answers that say which slot they are from.
type withContext[T any] struct {
	Context struct {
		Slot uint64 `json:"slot"`
	} `json:"context"`
	Value T `json:"value"`
}

package simchain_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/settlehq/settle/internal/simchain"
)

// node counts the calls of "add" and answers with their sum.
type node struct {
	*testing.T
	server *simchain.Server
	added  atomic.Int64
}

func start(t *testing.T) *node {
	t.Helper()
	t.Parallel()
	n := &node{T: t}
	n.server = simchain.Start(func(c simchain.Call) (any, error) {
		if c.Method != "add" {
			return nil, simchain.Unsupported(c)
		}
		by := int64(1)
		if err := c.Param(0, &by); err != nil {
			return nil, err
		}
		return n.added.Add(by), nil
	})
	t.Cleanup(n.server.Close)
	return n
}

func (n *node) post(body string) (status int, answer string, err error) {
	n.Helper()
	resp, err := http.Post(n.server.URL, "application/json", bytes.NewBufferString(body))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (n *node) wantAnswer(body, want string) {
	n.Helper()
	if status, got, err := n.post(body); err != nil || status != http.StatusOK || got != want {
		n.Errorf("%s answered with %d %s (%v), want %s", body, status, got, err, want)
	}
}

func TestAnswers(t *testing.T) {
	n := start(t)
	n.wantAnswer(`{"id":7,"method":"add"}`, `{"jsonrpc":"2.0","id":7,"result":1}`)
	n.wantAnswer(`[{"id":"a","method":"add","params":[2]},{"id":"b","method":"add"}]`,
		`[{"jsonrpc":"2.0","id":"a","result":3},{"jsonrpc":"2.0","id":"b","result":4}]`)
	n.wantAnswer(`{"id":1,"method":"sub"}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"the method sub does not exist/is not available"}}`)
	if _, got, err := n.post(`{"id":1,"method":"add","params":["x"]}`); err != nil || !strings.Contains(got, "-32602") {
		t.Errorf("bad parameter: %s (%v)", got, err)
	}
	if status, _, err := n.post(`no JSON`); err != nil || status != http.StatusBadRequest {
		t.Errorf("no JSON: %d (%v)", status, err)
	}
}

func TestFaults(t *testing.T) {
	const add = `{"id":1,"method":"add"}`
	for name, c := range map[string]struct {
		fault  simchain.Fault
		status int // 0: no answer at all
		added  int64
	}{
		"refused":                   {simchain.Fault{Status: 429}, 429, 0},
		"carried out, answer lost":  {simchain.Fault{Status: 502, Late: true}, 502, 1},
		"hung up":                   {simchain.Fault{HangUp: true}, 0, 0},
		"carried out, then hung up": {simchain.Fault{HangUp: true, Late: true}, 0, 1},
		"lied":                      {simchain.Fault{Lie: func(simchain.Call) (any, error) { return 99, nil }}, 200, 0},
		"none":                      {simchain.Fault{}, 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := start(t)
			n.server.Strike(simchain.Always(c.fault))
			status, answer, err := n.post(add)
			if status != c.status || (err != nil) != (c.status == 0) || n.added.Load() != c.added {
				t.Errorf("%d %s (%v), %d added", status, answer, err, n.added.Load())
			}
			n.server.Strike(nil)
			if status, _, err := n.post(add); status != http.StatusOK || err != nil {
				t.Errorf("healed, but %d (%v)", status, err)
			}
		})
	}
}

func TestLiesMayBuildOnTheTruth(t *testing.T) {
	n := start(t)
	n.server.Strike(func(calls []simchain.Call) simchain.Fault {
		if len(calls) < 2 {
			return simchain.Fault{}
		}
		return simchain.Fault{Lie: func(c simchain.Call) (any, error) {
			truth, err := n.server.Truth(c)
			return fmt.Sprintf("not %v", truth), err
		}}
	})
	n.wantAnswer(`[{"id":1,"method":"add"},{"id":2,"method":"add"}]`, `[{"jsonrpc":"2.0","id":1,"result":"not 1"},{"jsonrpc":"2.0","id":2,"result":"not 2"}]`)
	n.wantAnswer(`{"id":3,"method":"add"}`, `{"jsonrpc":"2.0","id":3,"result":3}`)
}

func TestClosedRefuses(t *testing.T) {
	n := start(t)
	n.server.Close()
	if _, _, err := n.post(`{"id":1,"method":"add"}`); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("answered when closed (%v)", err)
	}
}

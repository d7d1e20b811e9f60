package simchain

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Call is one JSON-RPC request.
type Call struct {
	ID     json.RawMessage   `json:"id"`
	Method string            `json:"method"`
	Params []json.RawMessage `json:"params"`
}

// Param decodes a parameter by position; a missing one leaves into as it is.
// The error is an *Error that the caller may answer with.
func (c Call) Param(i int, into any) error {
	if i >= len(c.Params) {
		return nil
	}
	if err := json.Unmarshal(c.Params[i], into); err != nil {
		return &Error{Code: InvalidParams, Message: fmt.Sprintf("invalid argument %d: %v", i, err)}
	}
	return nil
}

// Handler answers calls; its results become JSON. An *Error becomes the
// answer's error object, any other error one with the code Internal.
type Handler func(Call) (any, error)

// Error is the error object of JSON-RPC.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func (e *Error) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// Codes of the protocol. Families have others.
const (
	MethodNotFound = -32601
	InvalidParams  = -32602
	Internal       = -32603
)

// Unsupported is the answer to a method that the node does not have.
func Unsupported(c Call) error {
	return &Error{Code: MethodNotFound, Message: fmt.Sprintf("the method %s does not exist/is not available", c.Method)}
}

// success and failure are the two JSON-RPC responses.
type success struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result"`
}

type failure struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Error   *Error          `json:"error"`
}

func respond(c Call, result any, err error) any {
	if err == nil {
		return success{Version: "2.0", ID: c.ID, Result: result}
	}
	f := failure{Version: "2.0", ID: c.ID}
	if !errors.As(err, &f.Error) {
		f.Error = &Error{Code: Internal, Message: err.Error()}
	}
	return f
}

package rpcpool

import (
	"encoding/json"
	"testing"
)

func TestMatchAnswers(t *testing.T) {
	t.Parallel()
	id := func(n int) *int { return &n }
	one := json.RawMessage("1")
	for _, c := range []struct {
		name string
		in   []response
		ok   bool
	}{
		{"any order", []response{{ID: id(1), Result: one}, {ID: id(0), Result: one}}, true},
		{"an error is an answer", []response{{ID: id(0), Result: one}, {ID: id(1), Error: &Error{}}}, true},
		{"one missing", []response{{ID: id(0), Result: one}}, false},
		{"twice the same", []response{{ID: id(0), Result: one}, {ID: id(0), Result: one}}, false},
		{"unknown id", []response{{ID: id(0), Result: one}, {ID: id(2), Result: one}}, false},
		{"empty answer", []response{{ID: id(0), Result: one}, {ID: id(1)}}, false},
	} {
		calls := []*Call{NewCall("a"), NewCall("b")}
		if err := match(calls, c.in); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

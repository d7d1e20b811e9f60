package api_test

import (
	"maps"
	"testing"

	"github.com/settlehq/settle/api"
)

// A full backlog refuses new payments and writes nothing; what is known already
// is still answered, and room makes room.
func TestBackpressure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.serve(peppers, func(d *api.Deps) { d.MaxBacklog = 3 })
	first := b.do("POST", list, order(), idempotent("first")).want(201)
	for range 3 {
		b.create()
	}
	b.clock.Add(1)
	rows := b.rows()
	a := b.do("POST", list, order(), idempotent("more"))
	a.refused(503, api.BacklogFull, "")
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := b.rows(); !maps.Equal(got, rows) {
		t.Errorf("rows %v, want %v", got, rows)
	}
	if again := b.do("POST", list, order(), idempotent("first")).want(201); again.id() != first.id() {
		t.Errorf("another payment: %s", again.raw)
	}
	b.do("GET", list, nil).want(200)

	b.seen(first.id())
	b.clock.Add(1)
	b.do("POST", list, order(), idempotent("more")).want(201)
}

// seen is the first step of a payment's workflow.
func (b *bench) seen(id string) {
	b.t.Helper()
	b.sqlMust("DELETE FROM intent_starts WHERE intent_id = '" + id + "'")
}

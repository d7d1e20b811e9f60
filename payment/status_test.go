package payment_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/settlehq/settle/payment"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// The golden file is the state machine for people to review: a change of the
// table shows in the diff.
func TestTransitionsAreTheGoldenOnes(t *testing.T) {
	t.Parallel()
	const golden = "testdata/transitions.golden"
	var b strings.Builder
	for _, from := range payment.Statuses() {
		if from.Terminal() {
			fmt.Fprintf(&b, "%-13s is terminal\n", from)
			continue
		}
		for _, to := range from.Next() {
			fmt.Fprintf(&b, "%-13s -> %s\n", from, to)
		}
	}
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the state machine changed; review it and run go test ./payment -update\ngot:\n%swant:\n%s", &b, want)
	}
}

func TestCanBecomeAgreesWithNext(t *testing.T) {
	t.Parallel()
	for _, from := range payment.Statuses() {
		listed := map[payment.Status]bool{}
		for _, to := range from.Next() {
			listed[to] = true
		}
		for _, to := range payment.Statuses() {
			if from.CanBecome(to) != listed[to] {
				t.Errorf("%s.CanBecome(%s) = %v", from, to, from.CanBecome(to))
			}
		}
	}
}

func TestTerminalStatuses(t *testing.T) {
	t.Parallel()
	terminal := map[payment.Status]bool{
		payment.Settled: true, payment.Failed: true, payment.Canceled: true, payment.Expired: true, payment.Rejected: true,
	}
	for _, s := range payment.Statuses() {
		if s.Terminal() != terminal[s] {
			t.Errorf("%s.Terminal() = %v", s, s.Terminal())
		}
	}
}

func TestEveryOpenStatus(t *testing.T) {
	t.Parallel()
	for _, s := range payment.Statuses() {
		if s.Terminal() {
			continue
		}
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			if s != payment.ManualReview && !s.CanBecome(payment.ManualReview) {
				t.Error("cannot be handed to a person")
			}
			if !s.CanBecome(payment.Failed) {
				t.Error("cannot fail")
			}
			if s.CanBecome(payment.Created) {
				t.Error("can become created again")
			}
			if s.CanBecome(s) {
				t.Error("lists itself: a change without a new status is no transition")
			}
			if s.Cancelable() && !s.CanBecome(payment.Canceled) {
				t.Error("is cancelable and cannot be canceled")
			}
		})
	}
}

func TestNextIsACopy(t *testing.T) {
	t.Parallel()
	payment.Created.Next()[0] = payment.Settled
	if payment.Created.CanBecome(payment.Settled) {
		t.Fatal("the table was changed through Next")
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	for _, s := range payment.Statuses() {
		if !s.Valid() {
			t.Errorf("%s is not valid", s)
		}
	}
	for _, s := range []payment.Status{"", "paid", "Created"} {
		if s.Valid() || s.CanBecome(payment.Routed) {
			t.Errorf("%q passes as a status", s)
		}
	}
}

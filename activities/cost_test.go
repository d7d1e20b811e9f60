package activities_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// TestHappyPaymentCostsFewTransactions counts what the steps of a payment that
// meets no trouble ask of Postgres. docs/settlement.md states these figures.
func TestHappyPaymentCostsFewTransactions(t *testing.T) {
	eachChain(t, func(t *testing.T, w *world) {
		id := w.accept(nil)
		ref := activities.Ref{IntentID: id}
		spent := map[string]cost{}
		step := func(name string, run func(context.Context) error) {
			t.Helper()
			var c cost
			if err := run(context.WithValue(t.Context(), costs{}, &c)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			spent[name] = c
			t.Logf("%-18s %d transactions, %2d statements", name, c.transactions, c.statements)
		}
		do := func(run func(context.Context, activities.Ref) (activities.State, error)) func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := run(ctx, ref)
				return err
			}
		}
		step("Screen", do(w.steps.Screen))
		step("SelectRoute", do(w.steps.SelectRoute))
		step("ReserveNonce", do(w.steps.ReserveNonce))
		step("Broadcast", do(w.steps.Broadcast))
		var seen activities.Sighting
		step("AwaitConfirmation", func(ctx context.Context) (err error) {
			seen, err = w.steps.AwaitConfirmation(ctx, ref)
			return err
		})
		if seen.Kind != chains.Paid {
			t.Fatalf("sighting %+v, want paid", seen)
		}
		step("Settle", func(ctx context.Context) error {
			s, err := w.steps.Settle(ctx, activities.SettleInput{IntentID: id, Sighting: seen})
			if s.Status != payment.Settled {
				t.Errorf("after Settle: %+v", s)
			}
			return err
		})

		most := map[string]int{"Screen": 1, "SelectRoute": 1, "ReserveNonce": 1, "Broadcast": 1, "AwaitConfirmation": 2, "Settle": 1}
		for name, n := range most {
			if spent[name].transactions > n {
				t.Errorf("%s took %d transactions, at most %d are allowed", name, spent[name].transactions, n)
			}
		}
		w.paidOnce(id)
	})
}

// cost is what one step asked of Postgres. A statement outside a transaction
// is a transaction of its own.
type cost struct {
	transactions, statements int
	inside                   bool
}

// costs counts the statements of every context that carries a *cost.
type costs struct{}

func (costs) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	c, ok := ctx.Value(costs{}).(*cost)
	if !ok {
		return ctx
	}
	switch word, _, _ := strings.Cut(q.SQL, " "); word {
	case "begin":
		c.inside = true
		c.transactions++
	case "commit", "rollback":
		c.inside = false
	default:
		c.statements++
		if !c.inside {
			c.transactions++
		}
	}
	return ctx
}

func (costs) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

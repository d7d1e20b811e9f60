package ledger_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// run executes SQL in which $name stands for a quoted value.
func run(t *testing.T, conn *pgx.Conn, sql string, names map[string]string) {
	t.Helper()
	for name, value := range names {
		sql = strings.ReplaceAll(sql, "$"+name, "'"+value+"'")
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestReconcileIsExact(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1_000)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return ledger.FundGas(ctx, tx, "gas", "ethereum", "ETH", payment.Units(100_000))
	})
	storetest.Settle(t, s, storetest.Intent(t, s, m.ID, 400).ID) // and Fee of 21,000 wei

	chain := func(tokens, native uint64) ledger.ChainBalance {
		return ledger.ChainBalance{
			Chain: "ethereum", Asset: payment.USDC, OnChain: payment.Units(tokens), NativeAsset: "ETH", NativeOnChain: payment.Units(native),
		}
	}
	tests := []struct {
		name  string
		chain ledger.ChainBalance
		want  []string
	}{
		{"equal", chain(600, 79_000), nil},
		{"a unit too little", chain(599, 79_000), []string{"custody_differs: custody:ethereum[USDC.ethereum]: expected 600, found 599"}},
		{"a wei too much", chain(600, 79_001), []string{"gas_tank_differs: gas_tank:ethereum[ETH]: expected 79000, found 79001"}},
		{"nothing there", chain(0, 0), []string{
			"custody_differs: custody:ethereum[USDC.ethereum]: expected 600, found 0", "gas_tank_differs: gas_tank:ethereum[ETH]: expected 79000, found 0",
		}},
		{"a chain without books", ledger.ChainBalance{Chain: "solana", Asset: payment.USDC, OnChain: payment.Units(1), NativeAsset: "SOL"}, []string{
			"custody_differs: custody:solana[USDC.solana]: expected 0, found 1",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			differences, err := ledger.Reconcile(t.Context(), s, []ledger.ChainBalance{tt.chain})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range differences {
				got = append(got, d.String())
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/workflowservice/v1"
)

var migrated atomic.Int32

func migrate(ctx context.Context, url string) error {
	migrated.Add(1)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	_, err = conn.Exec(ctx, "CREATE TABLE things (name text PRIMARY KEY)")
	return err
}

// Tests that run at the same time see the same tables and none of the others' rows.
func TestDatabasePerTest(t *testing.T) {
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			sb := Start(t, WithMigrations(migrate))
			conn, err := pgx.Connect(t.Context(), sb.Database(t))
			if err != nil {
				t.Fatal(err)
			}
			defer closeConn(t.Context(), conn)
			if _, err := conn.Exec(t.Context(), "INSERT INTO things VALUES ('mine')"); err != nil {
				t.Error(err)
			}
			if n := migrated.Load(); n > 1 {
				t.Errorf("migrated %d times in this process", n)
			}
		})
	}
}

func TestDatabaseIsDropped(t *testing.T) {
	t.Parallel()
	sb := Start(t)
	var name string
	t.Run("uses one", func(t *testing.T) {
		url := sb.Database(t)
		name = url[strings.LastIndex(url, "/")+1:]
		name, _, _ = strings.Cut(name, "?")
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeConn(context.WithoutCancel(t.Context()), conn) })
	})
	conn, err := pgx.Connect(t.Context(), sb.Descriptor.Postgres.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(t.Context(), conn)
	if found, err := exists(t.Context(), conn, name); found || err != nil {
		t.Errorf("database %q: exists %t, %v", name, found, err)
	}
}

func TestTemporal(t *testing.T) {
	t.Parallel()
	sb := Start(t)
	n, err := sb.Temporal(t).CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
		Query: "PaymentStatus = 'settled' AND MerchantId = 'm' AND PaymentChain = 'c' AND AmountUnits > 0"})
	if err != nil || n.Count != 0 {
		t.Errorf("count: %v, %v", n, err)
	}
	if a, b := sb.TaskQueue(t), sb.TaskQueue(t); a == b || !strings.HasPrefix(a, "TestTemporal-") {
		t.Errorf("task queues %s and %s", a, b)
	}
}

// Every section of the descriptor is filled: the parts' ready lines and
// Descriptor use the same names.
func TestDescriptorIsComplete(t *testing.T) {
	t.Parallel()
	d := Start(t).Descriptor
	for name, filled := range map[string]bool{
		"pid":      d.PID > 0,
		"postgres": d.Postgres.URL != "",
		"temporal": d.Temporal.Address != "" && d.Temporal.Namespace != "" && d.Temporal.UIURL != "",
		"redis":    d.Redis.URL != "",
		"ethereum": d.Ethereum.HTTPURL != "" && d.Ethereum.WSURL != "" && d.Ethereum.ChainID != 0 &&
			d.Ethereum.USDC != "" && d.Ethereum.Multicall3 != "",
		"solana": d.Solana.HTTPURL != "" && d.Solana.GenesisHash != "" && d.Solana.USDCMint != "" && d.Solana.MintAuthority != "",
	} {
		if !filled {
			t.Errorf("%s is incomplete: %+v", name, d)
		}
	}
	for _, part := range []string{"postgres", "temporal", "redis", "ethereum", "solana"} {
		if run := d.Parts[part]; run.PID == 0 || run.Detail == "" || run.Log == "" {
			t.Errorf("part %s: %+v", part, run)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "sandbox.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no descriptor: %v", err)
	}
	left := filepath.Join(dir, "left.json")
	if err := os.WriteFile(left, []byte(`{"pid": 0}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(left); !errors.Is(err, ErrNotRunning) {
		t.Errorf("descriptor of a killed sandbox: %v", err)
	}
}

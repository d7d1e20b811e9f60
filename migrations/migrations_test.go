package migrations_test

import (
	"database/sql"
	"os"
	"sync"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/migrations"
)

func TestUpIsIdempotent(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	if pending, err := migrations.Pending(t.Context(), url); err != nil || !pending {
		t.Fatalf("an empty database: pending %v, %v", pending, err)
	}
	first, err := migrations.Up(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	second, err := migrations.Up(t.Context(), url)
	if err != nil || second != first {
		t.Fatalf("version %d, then %d, %v", first, second, err)
	}
	if pending, err := migrations.Pending(t.Context(), url); err != nil || pending {
		t.Fatalf("a migrated database: pending %v, %v", pending, err)
	}
}

// Several replicas start at once against an empty database.
func TestConcurrentUps(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyURL(t)
	versions := make([]int64, 4)
	var group sync.WaitGroup
	for n := range versions {
		group.Go(func() {
			v, err := migrations.Up(t.Context(), url)
			if err != nil {
				t.Errorf("Up %d: %v", n, err)
			}
			versions[n] = v
		})
	}
	group.Wait()
	for n, v := range versions {
		if v == 0 || v != versions[0] {
			t.Errorf("Up %d ended at version %d, Up 0 at %d", n, v, versions[0])
		}
	}
}

// Down leaves nothing behind, so that Up can begin again.
func TestDownAndUpAgain(t *testing.T) {
	t.Parallel()
	url := storetest.URL(t)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	var left int
	err = db.QueryRowContext(t.Context(), `
		SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose%')
		     + (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)`).Scan(&left)
	if err != nil || left != 0 {
		t.Fatalf("%d tables, indexes, sequences or functions are left, %v", left, err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

package storetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/migrations"
	"github.com/settlehq/settle/store"
)

// EmptyURL returns the URL of a new, empty database that ends with the test.
func EmptyURL(t testing.TB) string {
	t.Helper()
	return sandbox.Start(t).Database(t)
}

// URL returns the URL of a new, migrated database that ends with the test.
func URL(t testing.TB) string {
	t.Helper()
	return sandbox.Start(t, sandbox.WithMigrations(migrate)).Database(t)
}

func migrate(ctx context.Context, url string) error {
	_, err := migrations.Up(ctx, url)
	return err
}

// Open returns a Store on a new, migrated database; both end with the test.
func Open(t testing.TB, options ...store.Option) *store.Store {
	t.Helper()
	s, _ := OpenURL(t, options...)
	return s
}

// OpenURL is Open, and tells the database's URL.
func OpenURL(t testing.TB, options ...store.Option) (s *store.Store, url string) {
	t.Helper()
	url = URL(t)
	s, err := store.Open(t.Context(), url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, url
}

// SQL opens a plain connection to the database at url, for what the store
// would not do.
func SQL(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return conn
}

package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net/url"
	"reflect"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// databaseTimeout covers the migrations, and the wait for another test binary
// that runs them.
const databaseTimeout = 2 * time.Minute

// Database returns the URL of a database that belongs to this test alone:
// migrated if Start was given WithMigrations, empty otherwise. It is dropped
// when the test ends, whoever is still connected.
func (s *Sandbox) Database(t T) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), databaseTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.Descriptor.Postgres.URL)
	if err != nil {
		t.Fatalf("sandbox: %v", err)
	}
	defer closeConn(ctx, conn)
	template := "template0"
	if s.migrate != nil {
		if template, err = s.template(ctx, conn); err != nil {
			t.Fatalf("sandbox: migrated template: %v", err)
		}
	}
	name := fmt.Sprintf("settle_test_%d_%s", owner(), randomHex(6))
	if err := execDDL(ctx, conn, "CREATE DATABASE %s TEMPLATE %s", name, template); err != nil {
		t.Fatalf("sandbox: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), databaseTimeout)
		defer cancel()
		if err := dropDatabase(ctx, s.Descriptor.Postgres.URL, name); err != nil {
			t.Logf("sandbox: %v", err)
		}
	})
	return s.databaseURL(name)
}

func (s *Sandbox) databaseURL(name string) string {
	u, err := url.Parse(s.Descriptor.Postgres.URL)
	if err != nil {
		panic(fmt.Sprintf("sandbox: postgres url of the descriptor: %v", err))
	}
	u.Path = "/" + name
	return u.String()
}

// template returns the name of this run's migrated database, which it makes if
// it is the first to ask. The name appears only when the migrations are through:
// they run in a database of another name, under an advisory lock.
func (s *Sandbox) template(ctx context.Context, conn *pgx.Conn) (string, error) {
	// Of two functions in one run each gets its template.
	fn := runtime.FuncForPC(reflect.ValueOf(s.migrate).Pointer()).Name()
	h := fnv.New32a()
	_, _ = h.Write([]byte(fn))
	name := fmt.Sprintf("settle_template_%d_%08x", owner(), h.Sum32())
	if found, err := exists(ctx, conn, name); err != nil || found {
		return name, err
	}
	const lock = 0x5e771e // any number that nobody else takes
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
		return "", err
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lock) }()
	if found, err := exists(ctx, conn, name); err != nil || found {
		return name, err
	}
	if err := dropEarlier(ctx, conn); err != nil {
		return "", err
	}
	partial := name + "_partial"
	if err := execDDL(ctx, conn, "DROP DATABASE IF EXISTS %s WITH (FORCE)", partial); err != nil {
		return "", err
	}
	if err := execDDL(ctx, conn, "CREATE DATABASE %s TEMPLATE template0", partial); err != nil {
		return "", err
	}
	if err := s.migrate(ctx, s.databaseURL(partial)); err != nil {
		return "", fmt.Errorf("%s: %w", fn, err)
	}
	if err := execDDL(ctx, conn, "ALTER DATABASE %s RENAME TO %s", partial, name); err != nil {
		return "", fmt.Errorf("%s must close its connections: %w", fn, err)
	}
	return name, nil
}

var ofRun = regexp.MustCompile(`^settle_(?:test|template)_(\d+)_`)

// dropEarlier removes what runs that were killed left in a sandbox that lives on.
func dropEarlier(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, "SELECT datname FROM pg_database")
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		m := ofRun.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		if err != nil || !gone(pid) {
			continue
		}
		if err := execDDL(ctx, conn, "DROP DATABASE IF EXISTS %s WITH (FORCE)", name); err != nil {
			return err
		}
	}
	return nil
}

func dropDatabase(ctx context.Context, url, name string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer closeConn(ctx, conn)
	return execDDL(ctx, conn, "DROP DATABASE IF EXISTS %s WITH (FORCE)", name)
}

func exists(ctx context.Context, conn *pgx.Conn, name string) (found bool, err error) {
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&found)
	return found, err
}

// execDDL runs a statement about databases, whose names can't be parameters.
func execDDL(ctx context.Context, conn *pgx.Conn, format string, names ...string) error {
	quoted := make([]any, len(names))
	for i, name := range names {
		quoted[i] = pgx.Identifier{name}.Sanitize()
	}
	sql := fmt.Sprintf(format, quoted...)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// closeConn says goodbye even if ctx has ended.
func closeConn(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/settlehq/settle/store/db"
)

// Limits of a connection. A statement that waits for a row lock longer than
// lockTimeout fails with 55P03, which [Store.Tx] retries; one that runs longer
// than statementTimeout fails for good.
const (
	statementTimeout = 10 * time.Second
	lockTimeout      = 5 * time.Second
	idleInTxTimeout  = 60 * time.Second
	defaultMaxConns  = 20
)

// Bounds of what a Store remembers.
const (
	maxFacts     = 100_000
	maxMerchants = 10_000
	merchantTTL  = 5 * time.Second
)

// Store is a pool of connections to one database. It is safe for concurrent use.
type Store struct {
	pool    *pgxpool.Pool
	queries *db.Queries
	onRetry func(sqlstate string)
	tracer  pgx.QueryTracer
	facts   *cache // see Tx.Remember
	found   *cache // merchants by id
	hints   *announcer
}

// Option changes what Open does.
type Option func(*Store)

// OnRetry calls count each time a transaction is run again, with the SQLSTATE
// that made it necessary; it feeds a counter metric.
func OnRetry(count func(sqlstate string)) Option {
	return func(s *Store) { s.onRetry = count }
}

// Trace tells the tracer of every statement.
func Trace(t pgx.QueryTracer) Option {
	return func(s *Store) { s.tracer = t }
}

// Open connects to the database at url and pings it. The pool holds at most
// the url's pool_max_conns connections, or 20.
func Open(ctx context.Context, url string, options ...Option) (*Store, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		cfg.MaxConns = defaultMaxConns
	}
	set := func(name, value string) {
		if _, given := cfg.ConnConfig.RuntimeParams[name]; !given {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	set("application_name", "settle")
	set("statement_timeout", millis(statementTimeout))
	set("lock_timeout", millis(lockTimeout))
	set("idle_in_transaction_session_timeout", millis(idleInTxTimeout))

	s := &Store{onRetry: func(string) {}, facts: newCache(maxFacts, 0), found: newCache(maxMerchants, merchantTTL)}
	for _, o := range options {
		o(s)
	}
	cfg.ConnConfig.Tracer = s.tracer
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.queries = db.New(mapped{s.pool})
	if err := s.Ping(ctx); err != nil {
		s.pool.Close()
		return nil, err
	}
	s.hints = announce(s.queries)
	return s, nil
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }

// Close waits for borrowed connections and closes the pool.
func (s *Store) Close() {
	s.hints.close()
	s.pool.Close()
}

// Ping asks the database for an answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping store: %w", err)
	}
	return nil
}

// Stat describes the pool, for metrics.
func (s *Store) Stat() *pgxpool.Stat { return s.pool.Stat() }

// Queries runs single statements outside a transaction; use it for reads.
func (s *Store) Queries() *db.Queries { return s.queries }

// mapped passes every error of a query through mapError, so that callers of
// generated code see the same errors as callers of this package.
type mapped struct{ db.DBTX }

func (m mapped) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := m.DBTX.Exec(ctx, sql, args...)
	return tag, mapError(err)
}

func (m mapped) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := m.DBTX.Query(ctx, sql, args...)
	return mappedRows{rows}, mapError(err)
}

func (m mapped) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return mappedRow{m.DBTX.QueryRow(ctx, sql, args...)}
}

func (m mapped) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	n, err := m.DBTX.CopyFrom(ctx, table, columns, rows)
	return n, mapError(err)
}

type mappedRows struct{ pgx.Rows }

func (r mappedRows) Err() error             { return mapError(r.Rows.Err()) }
func (r mappedRows) Scan(dest ...any) error { return mapError(r.Rows.Scan(dest...)) }

type mappedRow struct{ pgx.Row }

func (r mappedRow) Scan(dest ...any) error { return mapError(r.Row.Scan(dest...)) }

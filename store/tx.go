package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/store/db"
)

// Retries of a transaction: full jitter, i.e. a random wait of up to
// retryBase * 2^n.
const (
	maxRetries = 5
	retryBase  = 10 * time.Millisecond
)

// retriable are the codes with which Postgres asks to run a transaction again:
// serialization failure, deadlock, lock timeout. All three leave no trace.
var retriable = map[string]bool{"40001": true, "40P01": true, "55P03": true}

// Tx is a running transaction. It embeds the generated queries. It is not safe
// for concurrent use and must not outlive the function it was given to.
type Tx struct {
	*db.Queries
	store       *Store
	afterCommit []func()
	clock       time.Time // the database's, when an intent was locked last; zero: never
}

// Tx runs fn in one READ COMMITTED transaction and commits it if fn returns
// nil. It runs fn again, at most 5 times, when Postgres reports a serialization
// failure, a deadlock or a lock timeout, so fn must have no effects outside the
// transaction. An error of the connection during commit leaves the outcome
// unknown; it is returned, and the caller finds out by reading.
func (s *Store) Tx(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	for n := 0; ; n++ {
		err := s.once(ctx, fn)
		state := SQLState(err)
		if err == nil || !retriable[state] || n == maxRetries {
			return err
		}
		s.onRetry(state)
		if !pause(ctx, rand.N(retryBase<<n)) {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (s *Store) once(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	tx := &Tx{store: s}
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(p pgx.Tx) error {
		tx.Queries = db.New(mapped{p})
		return fn(ctx, tx)
	})
	if err != nil {
		return mapError(err)
	}
	for _, f := range tx.afterCommit {
		f()
	}
	return nil
}

// Snapshot runs fn on one consistent picture of the database: a read-only
// REPEATABLE READ transaction whose statements may take up to timeout each.
func (s *Store) Snapshot(ctx context.Context, timeout time.Duration, fn func(ctx context.Context, q *db.Queries) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, options, func(p pgx.Tx) error {
		q := db.New(mapped{p})
		if err := q.SetLocalStatementTimeout(ctx, millis(timeout)); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		return fn(ctx, q)
	})
	return mapError(err)
}

// AfterCommit runs f once the transaction is committed, and never if it is
// rolled back. What f does may be lost in a crash, so it may only be a hint.
func (tx *Tx) AfterCommit(f func()) { tx.afterCommit = append(tx.afterCommit, f) }

// Remember keeps a fact that can never change, such as an account's id, for
// all later transactions of this Store once this one is committed. A Store
// remembers at most 100,000 facts, so the caller must be able to read each again.
func (tx *Tx) Remember(key, value any) {
	tx.AfterCommit(func() { tx.store.facts.put(key, value) })
}

// Recall returns what a committed transaction remembered under key.
func (tx *Tx) Recall(key any) (value any, ok bool) { return tx.store.facts.get(key) }

// now is the database's time for what this transaction writes: that of the last
// lock of an intent, which costs nothing, or else the clock is asked.
func (tx *Tx) now(ctx context.Context) (time.Time, error) {
	if !tx.clock.IsZero() {
		return tx.clock, nil
	}
	at, err := tx.ReadClock(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the clock: %w", err)
	}
	return at, nil
}

package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Errors of this package. They wrap the cause; ask with errors.Is.
var (
	// ErrNotFound: no such row, or it belongs to another merchant or mode.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a unique key is taken, or the row changed since it was read.
	ErrConflict = errors.New("conflict")
	// ErrIllegalTransition: the state machine does not list the status change.
	// The message names the intent and both statuses.
	ErrIllegalTransition = errors.New("illegal transition")
	// ErrRefused: a guard of the database refused the change. It means a bug,
	// or two processes that disagree; retrying does not help.
	ErrRefused = errors.New("refused by a database guard")

	// ErrKeyEnded: the API key is revoked or expired.
	ErrKeyEnded = errors.New("the key is revoked or expired already")

	// ErrReferenceConflict: a ledger reference exists with other content (LG001).
	ErrReferenceConflict = errors.New("ledger reference was posted with other content")
	// ErrInsufficientFunds: a floored ledger account cannot cover it (LG002).
	ErrInsufficientFunds = errors.New("insufficient funds")
	// ErrHoldInvalid: no such hold, resolved otherwise, or too small (LG003).
	ErrHoldInvalid = errors.New("ledger hold is invalid")
)

// bySQLState is the one table of what Postgres' codes mean to callers.
var bySQLState = map[string]error{
	"23505": ErrConflict, // unique_violation
	"23514": ErrRefused,  // check_violation; also raised by the guards
	"23001": ErrRefused,  // restrict_violation; raised by append-only and closed rows
	"23503": ErrRefused,  // foreign_key_violation
	"LG001": ErrReferenceConflict,
	"LG002": ErrInsufficientFunds,
	"LG003": ErrHoldInvalid,
}

// mapError adds the meaning of err to err. It leaves errors alone that it does
// not know or that were mapped already.
func mapError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return with(ErrNotFound, err)
	}
	if meaning := bySQLState[SQLState(err)]; meaning != nil {
		return with(meaning, err)
	}
	return err
}

func with(meaning, err error) error {
	if errors.Is(err, meaning) {
		return err
	}
	return fmt.Errorf("%w: %w", meaning, err)
}

// SQLState returns the five-character code with which Postgres refused, or "".
func SQLState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

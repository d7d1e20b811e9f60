// Package migrations holds the database schema as goose SQL files, embedded in
// the binary, and applies them. The guards of the product live here: legal
// status changes, closed terminal states, one live slot per intent, nonces and
// outcomes at most once, append-only books, and no change without its event.
// They hold whatever the Go code does.
//
// Callers: cmd/settle (settle migrate) and tests.
package migrations

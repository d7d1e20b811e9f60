// Package store is the only door to Postgres: the connection pool, the one
// transaction helper, the one id generator, and the queries, which sqlc
// generates into store/db from the .sql files in store/queries.
//
// Invariants:
//   - Whatever belongs together is written in one [Store.Tx]. It retries what
//     Postgres asks to retry (serialization failure, deadlock, lock timeout)
//     and nothing else.
//   - Every error of a query, generated ones included, says what it means:
//     [ErrNotFound], [ErrConflict], [ErrRefused] and the ledger's.
//   - An intent changes only through [Tx.SaveIntent], which writes the row and
//     its event together; Postgres refuses one without the other.
//   - A reader never sees another merchant's rows: queries for the API take
//     the merchant and the mode.
//
// Callers: ledger, treasury, webhooks, activities, api, cmd/settle.
package store

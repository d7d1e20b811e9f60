// Package payment is the domain: what an intent is, which states it may pass
// through, and how amounts are written. It is pure: no I/O, no clock, no
// randomness, and no import of any other package of this module, so that a
// workflow, an HTTP handler and a SQL row all mean the same thing.
//
// Invariants:
//   - An [Amount] is a non-negative integer in base units (10^-decimals of its
//     [Asset]); arithmetic is checked and never wraps.
//   - The legal status changes are the table in status.go, and nothing
//     else. Postgres holds the same table and refuses what it does not list.
//   - A terminal status never changes.
//
// Every other package may import payment.
package payment

// Package temporal is the sandbox's Temporal cluster: the real server (frontend,
// history, matching, worker) and its Web UI, embedded from their Go modules, over
// the sandbox's PostgreSQL.
//
// # Invariants
//
//   - When the part is ready, the namespace exists, Settle's search attributes
//     are registered and a visibility query that uses one of them has been
//     answered: a client that dials now needs no retry.
//   - Starting over existing databases changes nothing in them except missing
//     schema versions, a missing namespace and missing search attributes.
//   - Nothing is throttled: the server's rate limits are lifted, so that a
//     benchmark measures Settle and not a default.
//
// The number of history shards is fixed by the first start of a database
// (NumHistoryShards).
//
// Called by `sandbox part temporal`.
package temporal

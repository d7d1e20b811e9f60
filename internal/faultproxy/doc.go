// Package faultproxy stands between Settle and a node, and fails as nodes and
// the networks before them fail: it loses answers, answers for transactions
// that it threw away, refuses them or whole requests, hangs up, hangs, is slow, or says
// that nothing is known of a transaction. It speaks JSON-RPC over HTTP, single
// calls and batches, of Ethereum and Solana.
//
// Without a fault it changes nothing. A fault of the transport (a status, a
// hang-up, a wait) strikes a whole request as soon as one of its calls is of
// the method; a false answer replaces that of the call alone.
//
// Callers: internal/deployment and tests.
package faultproxy

// Command certify is what `make certify` runs inside a sandbox: it pays without
// pause on both chains while it kills and lies, and then counts from the
// chains' own records whether each accepted payment was made exactly once.
//
//	points   the worker dies at every named point, on each chain (points.go)
//	kills    worker, API, Temporal, Postgres and both chains' nodes are killed with -9 at random moments (kills.go)
//	network  answers are lost, sends swallowed, nodes silent, slow or forgetful, and workers die in between (network.go)
//	chains   blocks are replaced, mempools emptied, transactions dropped, forks abandoned (upsets.go)
//
// The result is one table (certificate.go), printed and written to
// docs/certificate.md. Every bad line of it must be 0; the exit code says so.
// That it can be otherwise is shown by tests, which pay an intent again behind
// the product's back, and corrupt the record in every other way.
//
// The same seed makes the same choices, not the same interleaving: what happens
// in between is up to real processes.
package main

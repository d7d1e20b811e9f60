// Command demo is what `make demo` runs inside a sandbox: it starts the API and
// a worker, sends twenty payments over both chains, shows them while they run,
// and then proves from the chains' own records that each was paid exactly
// once. It exits 0 only if everything checked out.
package main

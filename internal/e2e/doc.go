// Package e2e holds the tests that see Settle as its users do: the real
// binary as processes, the HTTP API, webhooks, Temporal, and both chains, all
// on the sandbox. There is no code here that is not a test.
package e2e

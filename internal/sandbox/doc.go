// Package sandbox is the client side of the sandbox (the module of that name):
// it joins a running one, or starts one for a test run, gives each test a
// database, a task queue and funded wallets of its own, and works the chains'
// test hooks. It stays light: Temporal's server and the Ethereum node are in
// the sandbox's own binary.
//
// All packages of one `go test ./...` share one sandbox: the first test binary
// that needs it starts it, and it ends with the go command. Callers: tests,
// internal/deployment and the demo.
package sandbox

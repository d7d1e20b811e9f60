// Package sandbox is the client side of the sandbox (the module of that name):
// it joins a running one, or starts one for a test run, gives each test a
// database, a task queue and funded wallets of its own, and works the chains'
// test hooks.
//
//	func TestPay(t *testing.T) {
//		t.Parallel()
//		sb := sandbox.Start(t, sandbox.WithMigrations(deployment.Migrations))
//		url, c, queue := sb.Database(t), sb.Temporal(t), sb.TaskQueue(t)
//		...
//	}
//
// # Invariants
//
//   - All packages of one `go test ./...` share one sandbox, and all tests may run
//     in parallel on it. The first test binary that needs it builds and starts it,
//     and it ends with the go command. SETTLE_SANDBOX, the path of a descriptor,
//     names another one to use; `make test` sets it.
//   - A database and a task queue belong to one test. The chains are shared;
//     StartEthereum and StartSolana give a test one of its own.
//   - It stays light: Temporal's server and the Ethereum node are in the sandbox's
//     own binary, and this package knows of it only its command line and the
//     descriptor that it writes.
//
// Callers: tests, internal/deployment and the demo.
package sandbox

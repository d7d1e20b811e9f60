// Package evm settles payments on Ethereum and on chains with its rules. It
// implements [chains.Chain] and [chains.Laner]; rules and their reasons are in
// docs/settlement.md.
//
// Two methods. With EIP-3009 (USDC and its like) the treasury's key signs an
// authorization whose nonce is derived from the intent, and any lane, an
// account that holds only gas, submits it: the token contract refuses a second
// payment of the same intent, whoever submits it. Tokens without EIP-3009 are
// paid by a plain transfer from a lane that holds the funds; there the lane's
// account nonce is the slot.
//
// Invariants:
//   - Every remote call is bounded by callTimeout, and a node is used only
//     after it has named the configured chain id.
//   - Sign does no I/O apart from the signer. The same order gives the same
//     authorization nonce, for ever.
//   - An EIP-3009 payment is found by the token's log, not by our transaction:
//     whoever submitted it, it is paid.
//   - Paid needs the exact Transfer in a canonical block at or below the
//     finalized one; Dead needs the finalized facts that it names in its proof.
//   - What is signed under a nonce that was signed for before makes the same call,
//     or is a transfer of nothing to the lane itself.
//   - Errors of nodes are classified by message, as data (classify.go). What no
//     line matches is unknown.
//
// Callers: activities and cmd/settle through [chains.Chain]; only whoever
// opens the chain imports this package.
package evm

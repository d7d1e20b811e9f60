// Package solana pays out an SPL token on Solana: it implements
// [chains.Chain] over JSON-RPC.
//
// One payment is one transaction: limits and price of what it uses, idempotent
// creation of the payee's associated token account, transferChecked from the
// treasury's associated token account, and a memo that is the intent's id. A
// lane (an account with lamports only) pays the fee; the treasury signs too.
//
// Solana has no account nonce: what makes a payment exclusive is the one
// signature, until its blockhash expires, and two signed variants of a payment
// are two payments. With a guard account (Config.Exclusive), which the
// transaction opens and which can be opened once, the chain lets one of several
// variants pay (S9). So the invariants are:
//
//   - Only the same bytes are sent again. Another variant may be signed only
//     after Scan reported Dead, or Reverted with SlotDead (S2, S3), or for the
//     guard account of the first. The caller keeps that rule; Sign cannot see
//     earlier attempts.
//   - Dead is concluded in this order: first the finalized block height is above
//     the last height at which the blockhash is valid, then a lookup of every
//     signature with full history finds none (S4). With two or more nodes
//     configured, two must say so; the same holds for Reverted. A guard account
//     must moreover be absent, or opened by somebody else.
//   - Paid needs the finalized transaction itself: our stored bytes, no error,
//     the memo, and the exact change of the payee's token balance (S7).
//   - An error of a node is unknown, whatever its code. Absence on a node that
//     lags, or lacks the history since the signing, proves nothing (S5).
//
// The rules named S1 to S12 are those of docs/settlement.md.
//
// Importers: activities and cmd/settle, through chains.Chain.
package solana

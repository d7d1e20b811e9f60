// Package chains is the only way Settle touches a network. A [Chain] turns an
// order into signed bytes without talking to anyone (Sign), hands stored bytes
// to nodes (Send), and looks for what became of them (Scan). It knows nothing
// of Postgres, Temporal or HTTP.
//
// Invariants (rules M1 to M8 of docs/settlement.md):
//   - Every answer is yes, no or unknown. A timeout, a transport error or an
//     answer that is not understood is unknown, and unknown never leads to an
//     irreversible step.
//   - Sign does no I/O: the network facts it needs (fees, blockhash) are the
//     cached Conditions. The caller stores the bytes before it calls Send.
//   - Send is repeatable: sending the same bytes again is always safe.
//   - Scan concludes from presence at a finalized block. Absence proves
//     nothing, except together with a fact that rules out every attempt.
//
// chains/evm and chains/solana implement Chain; chains/chaintest is the suite
// both must pass. [Watcher] serves all waiting payments of one chain and
// worker with batched calls. Importers: activities, cmd/settle.
package chains

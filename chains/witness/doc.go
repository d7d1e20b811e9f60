// Package witness keeps any single node from deciding about money. A chain
// family says how one node is looked at ([Look]); [Scanner] has several nodes
// looked at and lets count what they agree on, and [Anchor] notices when a
// finalized block changes.
//
// Invariants (settlement.md 2.1 M1 and M2, 2.4 F3 and F7, 2.5):
//   - With two nodes or more configured, nothing final is reported unless two
//     of them say the same of the same transaction in the same block. Both
//     proofs are kept.
//   - Dead and Reverted need that no node shows the payment on chain.
//   - A node that does not answer, or lags, delays the outcome and does not
//     change it.
//   - What one node says is checked against another from time to time even if
//     it says nothing final: a node that hides a payment is found out.
//   - After a change below finality nothing final is reported any more.
//
// With one node configured there is nobody to ask, and its word counts; its
// lies about payments are then bounded by what a family checks itself.
//
// Importers: chains/evm and chains/solana.
package witness

// Package treasury knows our own accounts on chain: the treasury of a chain,
// which holds the money, the lanes, which pay the network fees and own nonce
// sequences, and the keys of both.
//
// Invariants:
//   - Secrets are read from a file that only its owner may read, and never
//     leave the [Keyring]: not in logs, errors or JSON. Every key is checked to
//     belong to its address.
//   - A key is used by exactly one system. A nonce on chain that we did not
//     give out means that somebody else signs with our key: the lane is frozen
//     for a person to look at, never healed.
//   - Who replaces transactions of a lane holds its lease, and each write checks
//     that.
//
// Callers: cmd/settle at start, activities, chains (through the Signer
// interface) for signatures.
package treasury

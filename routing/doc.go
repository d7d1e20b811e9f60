// Package routing decides on which chain an intent is paid. [Score] is pure:
// the same request, networks and time give the same [Decision], and the
// Decision carries its inputs, so that "why this route" can be answered later
// as things were then.
//
// Invariants:
//   - Integers only; scores are basis points (0 to 10000).
//   - A candidate with a disqualifier is never chosen.
//   - Equal scores are broken by chain name, so that the answer is stable.
//
// Callers: activities (SelectRoute), api (quotes).
package routing

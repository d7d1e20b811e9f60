// Package model holds Settle's main promise against many thousand orders of
// events. It is a model-based property test: the real steps (activities.Steps)
// run on a real Postgres over a simulated Ethereum and a simulated Solana
// (internal/simchain), without Temporal and without waiting for a clock.
//
// A run is one world and a drawn list of actions, each of which is one thing
// that may happen:
//
//   - a payment's workflow does its next step, as workflows.Payment would; as
//     under Temporal the step may run twice, have its answer lost, be run again
//     later by a worker that everybody thinks is dead, or kill its worker;
//   - the worker's watchers and the upkeep look at a chain;
//   - chains go on, reorganize, forget, get expensive, jump in time; on Solana
//     payments are exclusive by their blockhash, or by a guard account, which may
//     be outbid;
//   - nodes lag, fail, hang up, lose answers, swallow transactions, and of
//     three one may lie;
//   - strangers use a lane's key or submit our authorization, issuers freeze
//     payees, and people decide what waits for them.
//
// Then everything is healed and the payments are driven to their ends.
//
// The promise, held at the end, and as far as it can be after each action: what
// the chains' own records say was paid for an intent is 0 or its amount; it is
// the amount if and only if the intent is settled; an intent that ended
// otherwise has a stored proof of death for each of its slots; nobody else was
// paid; the books have no difference, within and to the chains; events are
// without gap, and a terminal status stays. And every payment ends.
//
// That the test would notice is shown by planted bugs (bugs_test.go), each of
// which it must find:
//
//   - absence is death: what a node does not show for a while counts as dead;
//   - included is paid: a payment counts as made before its block is final;
//   - signs again: a lost answer is met with another transaction, not the same;
//   - a late death: the death of one slot, told again late, closes the next one;
//   - a fresh authorization: each signing for a slot gets a nonce of its own.
//
// Failures shrink, and are repeated by their seed.
package model

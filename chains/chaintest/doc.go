// Package chaintest is the conformance suite of [chains.Chain]: what every
// chain family must do with real money on a real (local) node before Settle
// trusts it. A family's test builds a [Harness] and calls [Run].
//
// The suite asserts the promises that callers build on:
//   - a Chain refuses the wrong network;
//   - Sign talks to nobody and is bound to the order's terms;
//   - bytes may be sent any number of times and pay once;
//   - Paid means exactly this amount, to this payee, at a finalized block;
//   - what was not seen is Unseen, and Dead only after a proof;
//   - a node that hangs or is gone is "unknown", in bounded time;
//   - a process that starts later finds what happened before it.
//
// It is test code: only _test.go files import it.
package chaintest

// Package api is the HTTP face for merchants ([Server]) and, on a listener of its
// own, for operators ([Admin]): gin routes the requests, huma checks them and
// generates openapi.yaml and admin.yaml from the same types.
//
// A payment is accepted in one Postgres transaction: intent, funds hold, first
// event and the stored answer commit together, or nothing does. The workflow
// is started right after the commit by the [Relay] of the same process; if that
// fails, any API process finds the intent by sweeping. Nothing here signs,
// sends, or talks to a chain.
//
// A batch is read and written as it arrives, shown when all of it is there, and paid by
// a workflow of its own, which the relay's sweep starts.
//
// Invariants:
//   - A 201 means that everything about the payment is in Postgres. A request
//     that is refused writes nothing.
//   - The same Idempotency-Key with the same body gets the same bytes again,
//     however many requests race; with another body it is refused.
//   - Every id in a path is looked up together with the key's merchant and
//     mode: what belongs to somebody else does not exist.
//   - Merchants' keys and operators' keys each work on their own API only. What
//     operators do is one function each, which the command line calls too, with
//     its entry in the audit log.
//   - Every error is a [Problem] (RFC 9457) with a code from the table in
//     codes.go. Domain errors become problems in one function, problemOf.
//   - A reader of events misses none: the log never shows one before those that
//     it has shown, and a stream reads rows, for which hints are no substitute.
//   - Redis only counts requests: without it they are not limited, and nothing
//     is slower or wrong.
//   - Every response carries Request-Id; the same id is in the log line, on
//     the intent and in the workflow's memo.
//
// Caller: cmd/settle. The chains are reached through [Destinations], which it
// wires.
package api

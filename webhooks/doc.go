// Package webhooks tells merchants what happened: it keeps their endpoints,
// signs the stored bytes of an event by Standard Webhooks, sends them without
// letting a merchant's URL reach into our network, and records every attempt.
//
// Invariants:
//   - At least once, unordered. The header webhook-id is the event's id and
//     stays the same over attempts, replays and endpoints; webhook-timestamp
//     is the attempt's own. Receivers dedupe on the id and order by
//     data.object.sequence.
//   - What is signed and sent are the bytes that were stored in the
//     transaction of the state change; nothing is rendered again.
//   - A delivery is one row per event and endpoint, written with the event.
//     HTTP is spoken outside any database transaction; afterwards the attempt
//     and the delivery's new state are written in one statement.
//   - No connection is made to an address that [Guard] refuses. The guard sees
//     the resolved address of each single dial, so DNS cannot be rebound.
//   - Our own failures (a missing master key, a worker that shuts down) leave
//     the delivery as it was: they count neither as attempts nor against the
//     endpoint.
//   - At most [PerEndpoint] requests to one endpoint are under way in a process,
//     and one if it keeps failing. No endpoint holds up a payment for more than
//     two seconds, or the record of another's delivery at all.
//   - An endpoint that is given up (410, or nothing but failures for
//     [DisableAfter]) is disabled together with the event that says so.
//
// Time belongs to Temporal: this package computes when a delivery is due next
// and never waits for it. [Deliverer.DeliverPending] is the first try, inside
// the payment's own workflow; what fails there, and what is asked for again
// ([Resend], [Replay], [Test]), gets a WebhookDelivery workflow that calls
// [Deliverer.DeliverOne] until it is done.
//
// Callers: activities (Deliverer), api (endpoints), cmd/settle.
package webhooks

// Package telemetry makes what Settle does visible: one zap logger per
// process, a correlation id that follows a payment from the HTTP request over
// the workflow to the chain, and one wide log line per unit of work.
//
// Invariants:
//   - Nothing here can fail a payment: logging never returns an error to the
//     work that it describes.
//   - Every line of one request carries the same request_id.
//   - No secret is logged: API keys appear by their public id only.
//
// Every other package except payment, routing and workflows may import it.
package telemetry

// Package receiver is a merchant's side of webhooks, as the handbook tells
// merchants to write it: verify with the stock Standard Webhooks library,
// dedupe by webhook-id, keep, answer fast. The demo runs it and tests assert
// with it; it can also be told to misbehave.
//
// Invariants:
//   - An event is kept once, however often it arrives, and only if one of the
//     receiver's secrets verifies its bytes and its timestamp is fresh.
//   - A request that the receiver was told to fail is not kept.
//
// It keeps everything in memory for as long as it lives and is not meant for
// production. Callers: cmd/settle (demo), tests.
package receiver

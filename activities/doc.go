// Package activities is what the workflows of payments and batches, and the upkeep of
// all payments, may do to the world, one file per step. Each step is thin and idempotent: it reads the database,
// decides, writes in one transaction, and only then has a side effect, which
// is always one of stored bytes. Temporal runs activities at least once and
// sometimes twice at the same time; the database's constraints make that safe.
//
// Invariants:
//   - Only committed bytes are sent. ReserveNonce signs and stores; Broadcast,
//     the watcher and SweepSlots send what is stored. TendLanes does both, with
//     the commit in between.
//   - Locks are taken in one order: the batch, the intent, then the lane.
//   - Inputs are ids, results are small; signed bytes never enter history.
//   - What a step finds already done it reports as done.
//   - Errors are retried for ever with capped backoff; what a person must see
//     is a status, never an error.
//
// Callers: worker registers them, workflows name them.
package activities

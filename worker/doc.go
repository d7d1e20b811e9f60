// Package worker puts the workflows and the steps on the task queue, with the
// limits of one process, and webhooks that are delivered again on a queue of
// their own. It runs the watchers of its chains beside them, and makes the
// schedules of the upkeep. Any number of workers may serve one task queue;
// none holds anything that another could not take over from Postgres and
// Temporal.
//
// Callers: cmd/settle and tests.
package worker

// Package workflows holds the deterministic code: what a payment does in which
// order, what it waits for, and nothing about how. It does no I/O, reads no
// clock but workflow.Now, and ranges over no map for effects; workflowcheck
// proves it. State that must survive is in Postgres; a workflow only drives.
//
// A change to a workflow that histories may already have run keeps the
// recorded ones in testdata replaying (workflow.GetVersion).
//
// It imports payment and, for their names and types, activities. Callers:
// worker registers the workflows; api and cmd/settle use the names.
package workflows

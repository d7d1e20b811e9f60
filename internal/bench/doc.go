// Command bench is what `make bench` runs inside a sandbox: how many payments
// per second this machine settles at saturation, through the API, both chains,
// the ledger and a webhook each, beside how many empty workflows per second
// the same Temporal server completes in the same run. Only the ratio means
// something on another machine.
package main

// Command bench is what `make bench` runs inside a sandbox: how many intents per
// second the API accepts, how many webhooks arrive and how late, how many
// payments are settled at saturation beside how many empty workflows the same
// Temporal server completes in the same run, and how much dead webhook endpoints
// slow a healthy one. docs/benchmarks.md says what each figure means; only ratios
// mean something on another machine.
package main

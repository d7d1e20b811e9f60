// Package deployment runs one Settle on a sandbox: a fresh database, funded
// wallets, a merchant with a key, a webhook receiver, and the real binary as
// an API process and as many worker processes as wanted, each of which can be
// killed and started again. The demo, the benchmarks and the end-to-end tests
// are its callers; they see what a merchant and an operator see.
package deployment

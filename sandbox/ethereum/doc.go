// Package ethereum runs the sandbox's Ethereum: a go-ethereum node in this
// process, with JSON-RPC over HTTP and WebSocket on loopback, the rules of
// mainnet up to Osaka, a block clock of its own, and test money.
//
// Invariants:
//   - One goroutine at a time makes blocks or rewinds them.
//   - "finalized" and "safe" are exactly Config.Finality blocks behind the head
//     and step back only when a test asks for a reorg deeper than that.
//   - The contracts' addresses depend on nothing but the code of this package.
//   - With Config.Dir every block is on disk when the next one begins: a kill
//     loses nothing but the pool.
//   - What the operator account sends (funding, token administration) is in a
//     block when the call returns.
//
// Besides the namespaces eth, net, web3, txpool and debug the endpoint serves
// "sandbox", see [API]. Everything here is for tests and demos: the operator's
// key is derived from a public string.
//
// Importers: the sandbox's command, and tests.
package ethereum

// Package rpcpool talks to the JSON-RPC nodes of one chain, any of which may
// hang, lag, limit, lie or belong to another network. It knows the protocol
// and the nodes, and nothing of any chain family: a family says how its nodes
// name their network and their height ([Config]).
//
//	pool, err := rpcpool.New(cfg)
//	err = pool.Connect(ctx)                    // which nodes are there?
//	err = pool.Read(ctx, height, read)         // the best node, then the next
//	votes := rpcpool.Ask(ctx, pool, 2, ...)    // what do two nodes say?
//	answers := pool.Broadcast(ctx, ...)        // everybody at once
//
// Invariants:
//   - A node is asked for anything else only after it named the configured
//     network, and never again after it named another, until it names the
//     right one.
//   - Every request is bounded in time ([Config.CallTimeout]) and in the size
//     of its answer ([Config.MaxResponse]).
//   - What a node did not answer is an error, never a value: the caller learns
//     "unknown". Errors never show a URL, since its path may hold a key.
//   - A read that needs a height is answered by nodes at or beyond it only.
//   - A node that fails costs its timeout a few times; then its breaker is open
//     and it costs nothing, but for one probe now and then.
//   - Deciding (health.go) is apart from I/O: a node's condition is a value
//     that events change, with the time as an input.
//
// Importers: chains/evm, chains/solana, and chains/witness, which makes several
// nodes agree about a payment.
package rpcpool

// Package ethereum is an Ethereum network without consensus: blocks come when
// the test says so, and nodes speak JSON-RPC over HTTP on the loopback
// interface, so that chains/evm runs against it unchanged. It is for tests that
// need many thousand orders of events; what it does is held against a real node
// by the conformance suite of chains/evm.
//
//	keys := ethereum.NewKeys("seed")
//	chain := ethereum.New(ethereum.Genesis{ChainID: 1, Time: now, Accounts: ...})
//	node := chain.Node()
//	defer node.Close()
//	evm.Open(ctx, evm.Config{RPCURLs: []string{node.URL}, Token: chain.Token().Hex(), ...}, keys)
//	chain.Mine(1)
//
// What is there: accounts with nonces and wei; one token with the interface,
// the checks and the words of USDC (EIP-20, EIP-3009, blacklist, pause); the
// pools of nodes with geth's rules and words; EIP-1559 prices; a finalized block
// a set number of blocks behind the head; reorgs. What is not: other contracts,
// base fees that move by themselves, peers, clocks.
//
// Rules:
//   - Every block keeps the state after it, so any block can be asked about,
//     and a reorg is only a cut. States are never changed once a block has them.
//   - Builders have a pool of their own. What a node accepts goes into its own
//     and theirs, and a block is made from theirs alone: a node that forgets
//     changes nothing of what may be in a block.
//   - Everything is deterministic: the same calls make the same chain.
package ethereum

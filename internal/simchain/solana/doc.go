// Package solana is a simulated Solana chain with nodes that speak JSON-RPC
// over HTTP on loopback, so that chains/solana runs on it unchanged: thousands
// of slots a second, and nothing happens that the test did not ask for.
//
//	keys := solana.NewKeys("seed")
//	chain := solana.New(solana.Genesis{Accounts: map[sol.PublicKey]solana.Account{
//		keys.Add("treasury"): {Lamports: 1e9, Tokens: 1e12},
//		keys.Add("lane"):     {Lamports: 1e11},
//	}})
//	node := chain.Node()
//	defer node.Close()
//	// chains/solana: Open with node.URL and keys, Refresh, Sign, Send ...
//	chain.Advance(1)  // a block with what was sent
//	chain.Advance(32) // it is finalized
//
// What it keeps of a real cluster, since payments rest on it:
//
//   - a transaction lands at most once, in a block at most 150 blocks above
//     that of its blockhash, on the same fork; else nothing tells its sender;
//   - signatures are verified, fees and rent are charged, and a transaction that
//     fails is in its block with its error, having paid the fee;
//   - processed, confirmed and finalized are different blocks; a fork abandons
//     only what is not finalized, and block heights are not slots.
//
// It executes what chains/solana signs (see programs) and refuses the rest.
// Compute units are not counted and votes do not exist. There are no clocks
// and no randomness: the same calls give the same chain.
//
// The suite of chains/chaintest that the real virtual machine passes holds for
// it too. It is test code: only _test.go files import it.
package solana

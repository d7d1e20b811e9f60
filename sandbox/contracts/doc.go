// Package contracts holds the sandbox's Solidity contracts and their Go
// bindings: TestUSDC, a token that answers as USDC does, and Multicall3 with
// the ABI of the contract of that name on public networks.
//
// The bindings and build/ are generated and checked in, so that only someone
// who changes a .sol file needs npm and abigen: run ./generate.sh. It also
// writes the product's bindings chains/evm/fiattoken and
// chains/evm/multicall3, which carry no bytecode.
//
// Importers: sandbox/ethereum.
package contracts

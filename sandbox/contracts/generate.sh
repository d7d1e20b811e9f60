#!/bin/sh
# Compiles the contracts and regenerates their Go bindings. Needs Node 20 or
# later, npm and Go; run it only after changing a .sol file, since the outputs
# (build/, *.go here, and chains/evm/fiattoken) are checked in.
set -eu
cd "$(dirname "$0")"

npm ci --ignore-scripts --no-audit --no-fund
node compile.js

abigen() { (cd .. && go run github.com/ethereum/go-ethereum/cmd/abigen --v2 "$@"); }
here=contracts
for contract in TestUSDC:testusdc Multicall3:multicall3; do
  type=${contract%%:*}
  file=${contract##*:}
  abigen --abi "$here/build/$type.abi" --bin "$here/build/$type.bin" --pkg contracts --type "$type" --out "$here/$file.go"
done
mkdir -p ../../chains/evm/fiattoken ../../chains/evm/multicall3
abigen --abi "$here/build/FiatToken.abi" --pkg fiattoken --type FiatToken --out ../chains/evm/fiattoken/fiattoken.go
abigen --abi "$here/build/Multicall3.abi" --pkg multicall3 --type Multicall3 --out ../chains/evm/multicall3/multicall3.go

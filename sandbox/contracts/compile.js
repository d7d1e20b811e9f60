// Compiles every .sol file of this folder with the pinned solc and writes
// build/<Contract>.abi and build/<Contract>.bin. Same input, same output.
'use strict';
const fs = require('fs');
const path = require('path');
const solc = require('solc');

const here = __dirname;
const build = path.join(here, 'build');
const sources = {};
for (const file of fs.readdirSync(here).filter((f) => f.endsWith('.sol')).sort()) {
  sources[file] = { content: fs.readFileSync(path.join(here, file), 'utf8') };
}

const input = {
  language: 'Solidity',
  sources,
  settings: {
    evmVersion: 'cancun',
    optimizer: { enabled: true, runs: 10000 },
    metadata: { bytecodeHash: 'none' },
    outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } },
  },
};
const readImport = (name) => ({ contents: fs.readFileSync(path.join(here, 'node_modules', name), 'utf8') });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));

for (const e of output.errors || []) console.error(e.formattedMessage);
if ((output.errors || []).some((e) => e.severity === 'error')) process.exit(1);

fs.mkdirSync(build, { recursive: true });
for (const file of Object.keys(sources)) {
  for (const [name, contract] of Object.entries(output.contracts[file])) {
    fs.writeFileSync(path.join(build, name + '.abi'), JSON.stringify(contract.abi) + '\n');
    if (contract.evm.bytecode.object) fs.writeFileSync(path.join(build, name + '.bin'), contract.evm.bytecode.object);
  }
}

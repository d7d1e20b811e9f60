// The fixed accounts of every sandbox chain: a faucet, and the test USDC mint
// with one key that may mint and freeze. The keys are public by design.
'use strict';

const crypto = require('node:crypto');
const codec = require('./codec');

const seeded = name => codec.keyPair(crypto.createHash('sha256').update(`settle sandbox ${name}`).digest());

const faucet = seeded('faucet');
const mintAuthority = seeded('usdc mint authority');
const mint = seeded('usdc mint');

const FAUCET_LAMPORTS = 500_000_000n * 1_000_000_000n;

/** An SPL Token mint account with 6 decimals and no supply (82 bytes). */
function mintData() {
  const data = Buffer.alloc(82);
  data.writeUInt32LE(1, 0);             // mint authority: some
  mintAuthority.publicKey.copy(data, 4);
  data[44] = 6;                         // decimals
  data[45] = 1;                         // initialized
  data.writeUInt32LE(1, 46);            // freeze authority: some
  mintAuthority.publicKey.copy(data, 50);
  return data;
}

/** Creates the fixed accounts that are absent. */
function createFixedAccounts(vm) {
  const tokenProgram = codec.unbase58(codec.TOKEN_PROGRAM, 32);
  const absent = key => !vm.account(key);
  if (absent(faucet.publicKey)) vm.create(faucet.publicKey, FAUCET_LAMPORTS, new Uint8Array(0), Buffer.alloc(32));
  if (absent(mintAuthority.publicKey)) vm.create(mintAuthority.publicKey, 1_000_000_000_000n, new Uint8Array(0), Buffer.alloc(32));
  if (absent(mint.publicKey)) vm.create(mint.publicKey, vm.rentExemption(82), mintData(), tokenProgram);
}

module.exports = { faucet, mintAuthority, mint, createFixedAccounts };

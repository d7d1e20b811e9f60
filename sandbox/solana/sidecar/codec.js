// Wire formats: base58, transactions in and out, token accounts. Pure functions.
'use strict';

const crypto = require('node:crypto');
const { RpcError, INVALID_PARAMS } = require('./errors');

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
const DIGIT = new Map([...ALPHABET].map((c, i) => [c, BigInt(i)]));

const SYSTEM_PROGRAM = '11111111111111111111111111111111';
const TOKEN_PROGRAM = 'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA';
const TOKEN_2022_PROGRAM = 'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb';
const COMPUTE_BUDGET_PROGRAM = 'ComputeBudget111111111111111111111111111111';
const MEMO_PROGRAM = 'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr';

/** Largest serialized transaction that the network takes, in bytes. */
const MAX_TRANSACTION = 1232;

function base58(bytes) {
  const buf = Buffer.from(bytes);
  let zeros = 0;
  while (zeros < buf.length && buf[zeros] === 0) zeros++;
  let n = BigInt('0x' + (buf.toString('hex') || '0'));
  let out = '';
  while (n > 0n) {
    out = ALPHABET[Number(n % 58n)] + out;
    n /= 58n;
  }
  return '1'.repeat(zeros) + out;
}

/** Decodes base58; with a length, anything of another length is refused. */
function unbase58(text, length) {
  const bad = () => new RpcError(INVALID_PARAMS, 'Invalid param: Invalid');
  if (typeof text !== 'string') throw bad();
  let zeros = 0;
  while (zeros < text.length && text[zeros] === '1') zeros++;
  let n = 0n;
  for (const c of text) {
    const d = DIGIT.get(c);
    if (d === undefined) throw bad();
    n = n * 58n + d;
  }
  let hex = n === 0n ? '' : n.toString(16);
  if (hex.length % 2) hex = '0' + hex;
  const out = Buffer.concat([Buffer.alloc(zeros), Buffer.from(hex, 'hex')]);
  if (length !== undefined && out.length !== length) throw new RpcError(INVALID_PARAMS, 'Invalid param: WrongSize');
  return out;
}

// Addresses repeat in nearly every transaction, and base58 is the slowest
// part of reading one.
const addresses = new Map();
function address(bytes) {
  const key = Buffer.from(bytes).toString('latin1');
  let text = addresses.get(key);
  if (text === undefined) {
    if (addresses.size >= 200_000) addresses.clear();
    text = base58(bytes);
    addresses.set(key, text);
  }
  return text;
}

/** Reads a serialized transaction (legacy or v0) as far as a node must understand it. */
function parseTransaction(raw) {
  const fail = why => new RpcError(INVALID_PARAMS, `failed to deserialize solana_transaction::versioned::VersionedTransaction: ${why}`);
  let at = 0;
  const need = n => {
    if (at + n > raw.length) throw fail('io error: unexpected end of file');
    at += n;
    return raw.subarray(at - n, at);
  };
  const compact = () => {
    let n = 0;
    for (let shift = 0; shift < 21; shift += 7) {
      const b = need(1)[0];
      n |= (b & 0x7f) << shift;
      if (!(b & 0x80)) return n;
    }
    throw fail('invalid length');
  };
  const signatures = Array.from({ length: compact() }, () => need(64));
  let version = 'legacy';
  if (raw[at] & 0x80) {
    version = need(1)[0] & 0x7f;
    if (version !== 0) throw fail(`unsupported version ${version}`);
  }
  const [required, readonlySigned, readonlyUnsigned] = need(3);
  const keyBytes = Array.from({ length: compact() }, () => need(32));
  const blockhash = base58(need(32));
  const instructions = Array.from({ length: compact() }, () => ({
    program: need(1)[0],
    accounts: [...need(compact())],
    data: need(compact()),
  }));
  if (version === 0 && compact() !== 0) throw fail('address lookup tables are not served by this sandbox');
  if (at !== raw.length || signatures.length !== required || required === 0 || keyBytes.length < required) throw fail('malformed');
  const keys = keyBytes.map(address);
  if (instructions.some(ix => ix.program >= keys.length || ix.accounts.some(a => a >= keys.length))) throw fail('account index out of range');
  return {
    raw, version, keys, keyBytes, blockhash, instructions,
    signatures: signatures.map(base58),
    header: { numRequiredSignatures: required, numReadonlySignedAccounts: readonlySigned, numReadonlyUnsignedAccounts: readonlyUnsigned },
    isWritable: i => (i < required ? i < required - readonlySigned : i < keys.length - readonlyUnsigned),
  };
}

/** Compute-unit limit and price (micro-lamports per unit) that a transaction asks for. */
function computeBudget(tx) {
  let limit = 0, price = 0n, asked = false;
  for (const ix of tx.instructions) {
    if (tx.keys[ix.program] !== COMPUTE_BUDGET_PROGRAM) {
      if (!asked) limit += 200_000;
    } else if (ix.data[0] === 2 && ix.data.length >= 5) {
      limit = ix.data.readUInt32LE(1);
      asked = true;
    } else if (ix.data[0] === 3 && ix.data.length >= 9) {
      price = ix.data.readBigUInt64LE(1);
    }
  }
  return { limit: Math.min(limit, 1_400_000), price };
}

/** Network fee in lamports: 5000 per signature plus the priority fee, rounded up. */
function feeOf(tx) {
  const { limit, price } = computeBudget(tx);
  return 5000 * tx.signatures.length + Number((price * BigInt(limit) + 999_999n) / 1_000_000n);
}

/** The memo as getSignaturesForAddress shows it: "[bytes] text; [bytes] text", or null. */
function memoOf(tx) {
  const memos = tx.instructions.filter(ix => tx.keys[ix.program] === MEMO_PROGRAM).map(ix => `[${ix.data.length}] ${ix.data.toString('utf8')}`);
  return memos.length ? memos.join('; ') : null;
}

/** The nonce account that a durable-nonce transaction advances, or null. */
function nonceAccountOf(tx) {
  const ix = tx.instructions[0];
  const advances = ix && tx.keys[ix.program] === SYSTEM_PROGRAM && ix.data.length === 4 && ix.data.readUInt32LE(0) === 4;
  return advances ? tx.keys[ix.accounts[0]] : null;
}

/** A transaction in the encoding a client asked for. */
function encodeTransaction(tx, encoding) {
  if (encoding === 'base64') return [tx.raw.toString('base64'), 'base64'];
  if (encoding === 'base58') return [base58(tx.raw), 'base58'];
  return {
    signatures: tx.signatures,
    message: {
      accountKeys: tx.keys,
      header: tx.header,
      recentBlockhash: tx.blockhash,
      instructions: tx.instructions.map(ix => ({ programIdIndex: ix.program, accounts: ix.accounts, data: base58(ix.data), stackHeight: null })),
      ...(tx.version === 'legacy' ? {} : { addressTableLookups: [] }),
    },
  };
}

/** A token account's mint, owner and amount, or null for anything else. */
function parseTokenAccount(programID, data) {
  if (programID !== TOKEN_PROGRAM && programID !== TOKEN_2022_PROGRAM) return null;
  if (data.length < 165 || data[108] === 0) return null;
  const buf = Buffer.from(data);
  return { mint: address(buf.subarray(0, 32)), owner: address(buf.subarray(32, 64)), amount: buf.readBigUInt64LE(64) };
}

/** An amount as agave's UiTokenAmount. */
function uiAmount(amount, decimals) {
  const digits = amount.toString().padStart(decimals + 1, '0');
  let text = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, '');
  if (fraction) text += '.' + fraction;
  return { amount: amount.toString(), decimals, uiAmount: Number(text), uiAmountString: text };
}

/** An ed25519 key pair from a 32-byte seed. */
function keyPair(seed) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  const key = crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = crypto.createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-32);
  return { publicKey, secretKey: Buffer.concat([seed, publicKey]), sign: message => crypto.sign(null, message, key) };
}

/** A signed transfer of lamports; the note makes two equal transfers different transactions. */
function transferTransaction(from, to, lamports, blockhash, note) {
  const data = Buffer.alloc(12);
  data.writeUInt32LE(2, 0);
  data.writeBigUInt64LE(BigInt(lamports), 4);
  const memo = Buffer.from(note);
  const message = Buffer.concat([
    Buffer.from([1, 0, 2, 4]), from.publicKey, to, unbase58(SYSTEM_PROGRAM, 32), unbase58(MEMO_PROGRAM, 32), unbase58(blockhash, 32),
    Buffer.from([2, 2, 2, 0, 1, data.length]), data,
    Buffer.from([3, 0, memo.length]), memo,
  ]);
  return Buffer.concat([Buffer.from([1]), from.sign(message), message]);
}

module.exports = {
  SYSTEM_PROGRAM, TOKEN_PROGRAM, MAX_TRANSACTION,
  base58, unbase58, address, parseTransaction, computeBudget, feeOf, memoOf, nonceAccountOf, encodeTransaction,
  parseTokenAccount, uiAmount, keyPair, transferTransaction,
};

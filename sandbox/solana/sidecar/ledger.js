// The ledger guarantees what a client of a real cluster relies on:
//   - a transaction lands at most once, and only while its blockhash is at
//     most 150 blocks old and was issued on this fork;
//   - confirmed is one block behind the tip, finalized 32, and finalized never
//     goes back: a fork can abandon only what is not finalized;
//   - every account can be read as of any block that is not finalized yet.
// The last two rest on undo records: each block keeps the accounts it changed
// as they were before, until it is finalized.
'use strict';

const crypto = require('node:crypto');
const codec = require('./codec');

const MAX_AGE = 150;          // blocks that a blockhash stays valid
const FINALITY = 32;          // blocks
const MAX_TRANSACTIONS = 120_000; // kept in history, oldest blocks go first
const MAX_BLOCKS = 200_000;
const MAX_LOGGED = 10_000;    // newest transactions that keep their logs

class Ledger {
  constructor({ vm, genesisHash, onBlock = () => {}, onFork = () => {} }) {
    this.vm = vm;
    this.genesisHash = genesisHash;
    this.onBlock = onBlock;
    this.onFork = onFork;
    this.blocks = new Map();    // slot -> block, canonical, oldest first
    this.byHeight = new Map();  // height -> block
    this.hashes = new Map();    // blockhash -> height, canonical and recent
    this.txs = new Map();       // signature -> record, oldest first
    this.logged = [];           // signatures whose records have logs
    this.mints = new Map();     // mint -> decimals
    this.finalizedHeight = 0;
    this.tip = null;
    this.paused = false;
    this.waiting = [];          // received while paused
    this.dropNext = 0;
    this.count = 0;             // transactions ever
  }

  /** Opens the first block of a new chain, with enough ancestors to have a finalized one. */
  genesis() {
    this.open({ slot: 100, height: 60, parent: 99 });
    for (let i = 0; i < FINALITY; i++) this.advance();
  }

  /** Opens a block on top of restored history, all of which counts as finalized. */
  resume() {
    this.finalizedHeight = this.tip.height;
    this.open({ slot: this.tip.slot + 1, height: this.tip.height + 1, parent: this.tip.slot });
  }

  open({ slot, height, parent }) {
    const time = Math.floor(Date.now() / 1000);
    const hash = codec.base58(crypto.randomBytes(32));
    this.vm.enterSlot(slot, time);
    this.adopt({ slot, height, parent, hash, time, signatures: [], undo: new Map(), fees: new Map() });
    this.finalizedHeight = Math.max(this.finalizedHeight, height - FINALITY);
    const finalized = this.byHeight.get(this.finalizedHeight);
    if (finalized) finalized.undo = null;
    this.prune();
  }

  /** Makes a block the tip; also used for blocks read from disk. */
  adopt(block) {
    this.tip = block;
    this.blocks.set(block.slot, block);
    this.byHeight.set(block.height, block);
    this.hashes.set(block.hash, block.height);
    const old = this.byHeight.get(block.height - MAX_AGE - FINALITY);
    if (old) {
      this.hashes.delete(old.hash);
      old.fees = null;
    }
  }

  /** Ends the open block and begins the next. */
  advance() {
    this.onBlock(this.tip);
    const { slot, height } = this.tip;
    this.open({ slot: slot + 1, height: height + 1, parent: slot });
  }

  tick() { if (!this.paused) this.advance(); }

  setPaused(paused) {
    this.paused = paused;
    if (paused) return;
    const waiting = this.waiting;
    this.waiting = [];
    for (const tx of waiting) this.land(tx);
  }

  /** Whether a transaction may still land by its blockhash or durable nonce. */
  fresh(tx) {
    const height = this.hashes.get(tx.blockhash);
    if (height !== undefined && this.tip.height - height <= MAX_AGE) return true;
    const nonce = codec.nonceAccountOf(tx);
    const account = nonce && this.vm.account(codec.unbase58(nonce, 32));
    const data = account && Buffer.from(account.data());
    return Boolean(data) && data.length >= 72 && codec.base58(data.subarray(40, 72)) === tx.blockhash;
  }

  /** Takes a transaction as the leader does: no word about what becomes of it. */
  receive(tx) {
    if (this.dropNext > 0) this.dropNext--;
    else if (this.paused) this.waiting.push(tx);
    else this.land(tx);
  }

  land(tx) {
    const signature = tx.signatures[0];
    if (this.txs.has(signature) || !this.fresh(tx)) return;
    const { tip, vm } = this;
    for (let i = 0; i < tx.keys.length; i++) {
      if (tx.isWritable(i) && !tip.undo.has(tx.keys[i])) tip.undo.set(tx.keys[i], vm.account(tx.keyBytes[i]));
    }
    const pre = tx.keyBytes.map(k => vm.lamports(k));
    const preTokens = this.tokenBalances(tx);
    const { err, logs, units } = vm.execute(tx.raw);
    const post = tx.keyBytes.map(k => vm.lamports(k));
    // What cannot pay its fee never enters a block; everything else does, and
    // pays, even if it fails.
    if (err && post[0] >= pre[0]) return;
    this.record({
      signature, slot: tip.slot, height: tip.height, time: tip.time, raw: tx.raw, version: tx.version, keys: tx.keys, memo: codec.memoOf(tx),
      err, logs, units, fee: err ? pre[0] - post[0] : codec.feeOf(tx), pre, post, preTokens, postTokens: this.tokenBalances(tx),
    }, tip);
    const { price } = codec.computeBudget(tx);
    for (let i = 0; i < tx.keys.length; i++) {
      if (!tx.isWritable(i)) continue;
      const least = tip.fees.get(tx.keys[i]);
      if (least === undefined || price < least) tip.fees.set(tx.keys[i], price);
    }
  }

  record(record, block) {
    block.signatures.push(record.signature);
    this.txs.set(record.signature, record);
    this.count++;
    if (!record.logs) return;
    this.logged.push(record.signature);
    if (this.logged.length < 2 * MAX_LOGGED) return;
    for (const old of this.logged.splice(0, MAX_LOGGED)) {
      const r = this.txs.get(old);
      if (r) r.logs = null;
    }
  }

  /** Token accounts among a transaction's keys: [index, mint, owner, program, amount, decimals]. */
  tokenBalances(tx) {
    const out = [];
    for (let i = 0; i < tx.keys.length; i++) {
      const account = this.vm.account(tx.keyBytes[i]);
      if (!account || account.executable()) continue;
      const program = codec.address(account.owner());
      const token = codec.parseTokenAccount(program, account.data());
      if (token) out.push([i, token.mint, token.owner, program, token.amount.toString(), this.decimals(token.mint)]);
    }
    return out;
  }

  decimals(mint) {
    let n = this.mints.get(mint);
    if (n === undefined) {
      const account = this.vm.account(codec.unbase58(mint, 32));
      n = account ? account.data()[44] : 0;
      this.mints.set(mint, n);
    }
    return n;
  }

  /** Height of the newest block at a commitment level. */
  heightAt(commitment) {
    if (commitment === 'processed') return this.tip.height;
    if (commitment === 'confirmed') return Math.max(this.tip.height - 1, this.finalizedHeight);
    return this.finalizedHeight;
  }

  blockAt(commitment) { return this.byHeight.get(this.heightAt(commitment)); }

  level(height) {
    if (height <= this.heightAt('finalized')) return 'finalized';
    return height <= this.heightAt('confirmed') ? 'confirmed' : 'processed';
  }

  /** The account as of the newest block at a commitment level, or null. */
  accountAt(keyText, commitment) {
    for (let h = this.heightAt(commitment) + 1; h <= this.tip.height; h++) {
      const undo = this.byHeight.get(h).undo;
      if (undo?.has(keyText)) return undo.get(keyText);
    }
    return this.vm.account(codec.unbase58(keyText, 32));
  }

  firstSlot() { return this.blocks.keys().next().value; }

  /**
   * Abandons the newest blocks, the open one included, with their transactions
   * and blockhashes, and goes on above them. Returns the lost signatures.
   */
  fork(depth) {
    const keep = this.tip.height - depth;
    if (depth < 1 || keep < this.finalizedHeight) throw new Error(`cannot fork ${depth} blocks deep: only ${this.tip.height - this.finalizedHeight} are not finalized`);
    const slot = this.tip.slot + 1;
    const lost = [];
    for (let h = this.tip.height; h > keep; h--) {
      const block = this.byHeight.get(h);
      for (const [key, account] of block.undo) this.vm.restore(codec.unbase58(key, 32), account);
      for (const signature of block.signatures) this.txs.delete(signature);
      lost.push(...block.signatures);
      this.byHeight.delete(h);
      this.blocks.delete(block.slot);
      this.hashes.delete(block.hash);
    }
    this.tip = this.byHeight.get(keep);
    this.onFork(this.tip);
    this.open({ slot, height: keep + 1, parent: this.tip.slot });
    return lost;
  }

  prune() {
    while ((this.txs.size > MAX_TRANSACTIONS || this.blocks.size > MAX_BLOCKS) && this.blocks.size > 2 * MAX_AGE) {
      const slot = this.firstSlot();
      const block = this.blocks.get(slot);
      for (const signature of block.signatures) this.txs.delete(signature);
      this.byHeight.delete(block.height);
      this.blocks.delete(slot);
    }
  }
}

module.exports = { Ledger, MAX_AGE, FINALITY, MAX_TRANSACTIONS };

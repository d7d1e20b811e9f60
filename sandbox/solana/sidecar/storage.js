// What a killed sidecar keeps: every closed block. Two files in the directory:
//
//   blocks.ndjson   one line per block, appended when it closes
//   snapshot.bin    the accounts as of one block, rewritten every few seconds
//
// On load, blocks above the snapshot are executed again. So kill -9 loses only
// the open block, which no client has seen confirmed, and no clean shutdown
// is needed. After a restart everything kept counts as finalized.
// Logs of old transactions are not kept.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const codec = require('./codec');
const { MAX_TRANSACTIONS } = require('./ledger');

const SNAPSHOT_EVERY_MS = 5000;
const SNAPSHOT_EVERY_TRANSACTIONS = 5000; // bounds the work of a load

class Storage {
  constructor(dir) {
    fs.mkdirSync(dir, { recursive: true });
    this.blocksFile = path.join(dir, 'blocks.ndjson');
    this.snapshotFile = path.join(dir, 'snapshot.bin');
    this.unsaved = 0;
    this.savedAt = Date.now();
  }

  /** The last snapshot as {genesisHash, slot, accounts}, or null in a new directory. */
  readSnapshot() {
    if (!fs.existsSync(this.snapshotFile)) return null;
    const bytes = fs.readFileSync(this.snapshotFile);
    const end = bytes.indexOf(10);
    return { ...JSON.parse(bytes.subarray(0, end).toString()), accounts: bytes.subarray(end + 1) };
  }

  /** Fills the ledger from blocks.ndjson; its VM holds the snapshot of snapshotSlot. */
  restore(ledger, snapshotSlot) {
    let lines = [];
    if (fs.existsSync(this.blocksFile)) lines = fs.readFileSync(this.blocksFile, 'utf8').split('\n');
    let kept = [];
    for (const line of lines) {
      let block;
      try {
        block = JSON.parse(line);
      } catch {
        continue; // the torn last line of a killed process
      }
      if (block.fork !== undefined) kept = kept.filter(b => b.slot <= block.fork);
      else kept.push(block);
    }
    let transactions = kept.reduce((n, b) => n + b.txs.length, 0);
    const first = kept.findIndex(b => (transactions -= b.txs.length) < MAX_TRANSACTIONS);
    if (first > 0) kept = kept.slice(first);
    for (const { txs, ...header } of kept) {
      const replay = header.slot > snapshotSlot;
      if (replay) ledger.vm.enterSlot(header.slot, header.time);
      const block = { ...header, signatures: [], undo: null, fees: new Map() };
      ledger.adopt(block);
      for (const tx of txs) {
        const raw = Buffer.from(tx.raw, 'base64');
        if (replay) ledger.vm.execute(raw);
        const parsed = codec.parseTransaction(raw);
        ledger.record({
          ...tx, raw, signature: parsed.signatures[0], slot: block.slot, height: block.height, time: block.time,
          version: parsed.version, keys: parsed.keys, memo: codec.memoOf(parsed), logs: null,
        }, block);
      }
    }
    if (kept.length === lines.length - 1 && lines.at(-1) === '') return; // all of it counts, none of it is torn
    fs.writeFileSync(this.blocksFile + '.tmp', kept.map(b => JSON.stringify(b) + '\n').join(''));
    fs.renameSync(this.blocksFile + '.tmp', this.blocksFile);
  }

  /** Begins to append to what restore left, or to an empty file. */
  open(restored) { this.fd = fs.openSync(this.blocksFile, restored ? 'a' : 'w'); }

  appendBlock(ledger, block) {
    const txs = block.signatures.map(s => {
      const { raw, err, units, fee, pre, post, preTokens, postTokens } = ledger.txs.get(s);
      return { raw: raw.toString('base64'), err, units, fee, pre, post, preTokens, postTokens };
    });
    const { slot, height, parent, hash, time } = block;
    fs.writeSync(this.fd, JSON.stringify({ slot, height, parent, hash, time, txs }) + '\n');
    this.unsaved += txs.length;
    if (this.unsaved >= SNAPSHOT_EVERY_TRANSACTIONS || (this.unsaved > 0 && Date.now() - this.savedAt >= SNAPSHOT_EVERY_MS)) this.save(ledger, slot);
  }

  appendFork(ledger, tip) {
    fs.writeSync(this.fd, JSON.stringify({ fork: tip.slot }) + '\n');
    this.save(ledger, tip.slot);
  }

  /** Writes the accounts as of the block that just closed. */
  save(ledger, slot) {
    const head = Buffer.from(JSON.stringify({ genesisHash: ledger.genesisHash, slot }) + '\n');
    fs.writeFileSync(this.snapshotFile + '.tmp', Buffer.concat([head, ledger.vm.snapshot()]));
    fs.renameSync(this.snapshotFile + '.tmp', this.snapshotFile);
    this.unsaved = 0;
    this.savedAt = Date.now();
  }
}

module.exports = { Storage };

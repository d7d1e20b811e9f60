// The virtual machine: litesvm executes the real SPL programs. This module
// hides its API, so that the rest deals in bytes and JSON errors.
'use strict';

/** litesvm ships one package per platform; npm installs the one that fits. */
function loadNative() {
  const libc = process.platform === 'linux' ? (process.report.getReport().header.glibcVersionRuntime ? '-gnu' : '-musl') : '';
  const name = `litesvm-${process.platform}-${process.arch}${libc}`;
  try {
    return require(name);
  } catch (e) {
    if (e.code !== 'MODULE_NOT_FOUND') throw e;
    throw new Error(`${name} is not installed: run "npm ci" in ${__dirname}`);
  }
}

const native = loadNative();
const names = enumeration => new Map(Object.entries(enumeration).map(([name, number]) => [number, name]));
const transactionErrors = names(native.TransactionErrorFieldless);
const instructionErrors = names(native.InstructionErrorFieldless);

/** A TransactionError of litesvm in agave's JSON form. */
function errorJSON(e) {
  if (typeof e === 'number') return transactionErrors.get(e) || `TransactionError${e}`;
  switch (e.constructor.name) {
    case 'TransactionErrorInstructionError': {
      const inner = e.err();
      if (typeof inner === 'number') return { InstructionError: [e.index, instructionErrors.get(inner) || `InstructionError${inner}`] };
      if (inner.constructor.name === 'InstructionErrorCustom') return { InstructionError: [e.index, { Custom: inner.code }] };
      return { InstructionError: [e.index, 'BorshIoError'] };
    }
    case 'TransactionErrorDuplicateInstruction':
      return { DuplicateInstruction: e.index };
    case 'TransactionErrorInsufficientFundsForRent':
      return { InsufficientFundsForRent: { account_index: e.accountIndex } };
    default:
      return { ProgramExecutionTemporarilyRestricted: { account_index: e.accountIndex } };
  }
}

function result(r) {
  const failed = r instanceof native.FailedTransactionMetadata;
  const meta = failed || r instanceof native.SimulatedTransactionInfo ? r.meta() : r;
  return { err: failed ? errorJSON(r.err()) : null, logs: meta.logs(), units: Number(meta.computeUnitsConsumed()) };
}

/** One bank of accounts. */
class VM {
  /** A new machine, or the one that snapshot() wrote. */
  constructor(snapshot) {
    if (snapshot) {
      this.svm = native.LiteSvm.fromBytes(snapshot);
    } else {
      this.svm = new native.LiteSvm();
      this.svm.setFeatureSet(native.FeatureSet.allEnabled());
      this.svm.setBuiltins();
      this.svm.setLamports(10n ** 18n);
      this.svm.setSysvars();
      this.svm.setDefaultPrograms();
      this.svm.setPrecompiles();
    }
    // The ledger decides about duplicates and blockhash age: it knows forks.
    this.svm.setTransactionHistory(0n);
    this.svm.setBlockhashCheck(false);
    this.svm.setSigverify(true);
  }

  snapshot() { return this.svm.toBytes(); }

  /** Makes the slot and its wall-clock time visible to programs, and lets durable nonces advance. */
  enterSlot(slot, unixTime) {
    this.svm.warpToSlot(BigInt(slot));
    const clock = this.svm.getClock();
    clock.unixTimestamp = BigInt(unixTime);
    this.svm.setClock(clock);
    this.svm.expireBlockhash();
  }

  execute(raw) { return result(this.svm.sendVersionedTransaction(raw)); }

  simulate(raw, verify = true) {
    this.svm.setSigverify(verify);
    try {
      return result(this.svm.simulateVersionedTransaction(raw));
    } finally {
      this.svm.setSigverify(true);
    }
  }

  /** Lamports, 0 without an account. */
  lamports(key) { return Number(this.svm.getBalance(key) ?? 0n); }

  /** The native account object or null. Reads are copies, so it stays as it is. */
  account(key) { return this.svm.getAccount(key); }

  /** Puts back what account() returned; null deletes. */
  restore(key, account) { this.svm.setAccount(key, account ?? new native.Account(0n, new Uint8Array(0), Buffer.alloc(32), false, 0n)); }

  create(key, lamports, data, owner) { this.svm.setAccount(key, new native.Account(BigInt(lamports), data, owner, false, 0n)); }

  rentExemption(size) { return Number(this.svm.minimumBalanceForRentExemption(BigInt(size))); }
}

module.exports = { VM };

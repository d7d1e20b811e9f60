// The JSON-RPC methods: names, parameters, results and errors as agave has
// them, for what payments need. The test_* methods at the end steer the chain.
'use strict';

const codec = require('./codec');
const { RpcError, INVALID_PARAMS, preflightFailure } = require('./errors');
const { faucet } = require('./accounts');
const { MAX_AGE } = require('./ledger');

const VERSION = '3.1.0-litesvm';
const SLOTS_PER_EPOCH = 432_000;
const LEVELS = ['processed', 'confirmed', 'finalized'];

/** Builds the method table over a ledger. */
function methods(ledger) {
  let airdrops = 0;

  // --- what answers have in common

  const commitmentOf = config => {
    const c = config?.commitment ?? 'finalized';
    if (!LEVELS.includes(c)) throw new RpcError(INVALID_PARAMS, `Invalid params: unknown variant \`${c}\`, expected one of ${LEVELS.join(', ')}.`);
    return c;
  };
  /** The block to answer from; refuses if it is older than the client demands. */
  const blockFor = config => {
    const block = ledger.blockAt(commitmentOf(config));
    if (config?.minContextSlot > block.slot) throw new RpcError(-32016, 'Minimum context slot has not been reached', { contextSlot: block.slot });
    return block;
  };
  const withContext = (config, value) => ({ context: { slot: blockFor(config).slot, apiVersion: VERSION }, value });
  const key = text => {
    codec.unbase58(text, 32);
    return text;
  };
  const accountJSON = (text, config) => {
    const account = ledger.accountAt(key(text), commitmentOf(config));
    if (!account) return null;
    const data = Buffer.from(account.data());
    const { offset = 0, length = data.length } = config?.dataSlice ?? {};
    const part = data.subarray(offset, offset + length);
    const encoded = config?.encoding === 'base58' ? [codec.base58(part), 'base58'] : [part.toString('base64'), 'base64'];
    return { data: encoded, executable: account.executable(), lamports: Number(account.lamports()), owner: codec.address(account.owner()), rentEpoch: 18446744073709552000, space: data.length };
  };
  const status = err => (err ? { Err: err } : { Ok: null });

  // --- transactions

  const decode = (encoded, config, fallback) => {
    const encoding = config?.encoding ?? fallback;
    if (encoding !== 'base64' && encoding !== 'base58') throw new RpcError(INVALID_PARAMS, `unsupported encoding: ${encoding}. Supported encodings: base58, base64`);
    if (typeof encoded !== 'string') throw new RpcError(INVALID_PARAMS, 'Invalid params: transaction must be a string');
    const raw = encoding === 'base64' ? Buffer.from(encoded, 'base64') : codec.unbase58(encoded);
    if (raw.length > codec.MAX_TRANSACTION) throw new RpcError(INVALID_PARAMS, `decoded solana_transaction::versioned::VersionedTransaction too large: ${raw.length} bytes (max: ${codec.MAX_TRANSACTION} bytes)`);
    return codec.parseTransaction(raw);
  };
  const preflight = tx => {
    if (!ledger.fresh(tx)) throw preflightFailure('BlockhashNotFound', [], 0);
    if (ledger.txs.has(tx.signatures[0])) throw preflightFailure('AlreadyProcessed', [], 0);
    const { err, logs, units } = ledger.vm.simulate(tx.raw);
    if (err === 'SignatureFailure') throw new RpcError(-32003, 'Transaction signature verification failure');
    if (err) throw preflightFailure(err, logs, units);
  };
  const visible = (signature, config) => {
    const record = ledger.txs.get(signature);
    return record && record.height <= ledger.heightAt(commitmentOf(config)) ? record : null;
  };
  const tokenBalanceJSON = ([accountIndex, mint, owner, programId, amount, decimals]) => ({ accountIndex, mint, owner, programId, uiTokenAmount: codec.uiAmount(BigInt(amount), decimals) });
  const transactionJSON = (record, config) => {
    if (record.version !== 'legacy' && config?.maxSupportedTransactionVersion === undefined) {
      throw new RpcError(-32015, 'Transaction version (0) is not supported by the requesting client. Please try the request again with the following configuration parameter: "maxSupportedTransactionVersion": 0');
    }
    return {
      transaction: codec.encodeTransaction(codec.parseTransaction(record.raw), config?.encoding ?? 'json'),
      version: record.version,
      meta: {
        err: record.err, status: status(record.err), fee: record.fee, preBalances: record.pre, postBalances: record.post,
        preTokenBalances: record.preTokens.map(tokenBalanceJSON), postTokenBalances: record.postTokens.map(tokenBalanceJSON),
        innerInstructions: null, logMessages: record.logs, loadedAddresses: { readonly: [], writable: [] }, computeUnitsConsumed: record.units, rewards: null,
      },
    };
  };
  const blockForHistory = (slot, config) => {
    const newest = ledger.blockAt(config?.commitment === 'confirmed' ? 'confirmed' : 'finalized').slot;
    if (slot > newest) throw new RpcError(-32004, `Block not available for slot ${slot}`);
    if (slot < ledger.firstSlot()) throw new RpcError(-32001, `Block ${slot} cleaned up, does not exist on node. First available block: ${ledger.firstSlot()}`);
    const block = ledger.blocks.get(slot);
    if (!block) throw new RpcError(-32007, `Slot ${slot} was skipped, or missing due to ledger jump to recent snapshot`);
    return block;
  };

  return {
    getVersion: () => ({ 'solana-core': VERSION, 'feature-set': 0 }),
    getHealth: () => 'ok',
    getGenesisHash: () => ledger.genesisHash,
    getSlot: ([config]) => blockFor(config).slot,
    getBlockHeight: ([config]) => blockFor(config).height,
    getFirstAvailableBlock: () => ledger.firstSlot(),
    minimumLedgerSlot: () => ledger.firstSlot(),
    getTransactionCount: () => ledger.count,
    getEpochInfo: ([config]) => {
      const { slot, height } = blockFor(config);
      return { absoluteSlot: slot, blockHeight: height, epoch: Math.floor(slot / SLOTS_PER_EPOCH), slotIndex: slot % SLOTS_PER_EPOCH, slotsInEpoch: SLOTS_PER_EPOCH, transactionCount: ledger.count };
    },

    getLatestBlockhash: ([config]) => {
      const { hash, height } = blockFor(config);
      return withContext(config, { blockhash: hash, lastValidBlockHeight: height + MAX_AGE });
    },
    isBlockhashValid: ([hash, config]) => {
      const height = ledger.hashes.get(hash);
      return withContext(config, height !== undefined && height <= blockFor(config).height && blockFor(config).height - height <= MAX_AGE);
    },
    getFeeForMessage: ([message, config]) => {
      const body = Buffer.from(message, 'base64');
      const required = body[body[0] & 0x80 ? 1 : 0];
      const tx = codec.parseTransaction(Buffer.concat([Buffer.from([required]), Buffer.alloc(64 * required), body]));
      return withContext(config, ledger.fresh(tx) ? codec.feeOf(tx) : null);
    },
    getRecentPrioritizationFees: ([accounts = []]) => {
      const out = [];
      for (let h = Math.max(0, ledger.tip.height - MAX_AGE); h < ledger.tip.height; h++) {
        const block = ledger.byHeight.get(h);
        if (!block) continue;
        const fees = accounts.map(a => block.fees?.get(a) ?? 0n);
        out.push({ slot: block.slot, prioritizationFee: Number(fees.reduce((a, b) => (a > b ? a : b), 0n)) });
      }
      return out;
    },
    getMinimumBalanceForRentExemption: ([size]) => ledger.vm.rentExemption(size),

    getBalance: ([address, config]) => withContext(config, accountJSON(address, config)?.lamports ?? 0),
    getAccountInfo: ([address, config]) => withContext(config, accountJSON(address, config)),
    getMultipleAccounts: ([list, config]) => {
      if (list.length > 100) throw new RpcError(INVALID_PARAMS, 'Too many inputs provided; max 100');
      return withContext(config, list.map(a => accountJSON(a, config)));
    },
    getTokenAccountBalance: ([address, config]) => {
      const account = ledger.accountAt(key(address), commitmentOf(config));
      if (!account) throw new RpcError(INVALID_PARAMS, 'Invalid param: could not find account');
      const token = codec.parseTokenAccount(codec.address(account.owner()), account.data());
      if (!token) throw new RpcError(INVALID_PARAMS, 'Invalid param: not a Token account');
      return withContext(config, codec.uiAmount(token.amount, ledger.decimals(token.mint)));
    },
    getTokenAccountsByOwner: ([owner, filter, config]) => {
      const program = filter?.programId ?? codec.TOKEN_PROGRAM;
      const value = [];
      for (const entry of ledger.vm.svm.getProgramAccounts(codec.unbase58(program, 32))) {
        const token = codec.parseTokenAccount(program, entry.account().data());
        if (!token || token.owner !== owner || (filter?.mint && token.mint !== filter.mint)) continue;
        const pubkey = codec.address(entry.address);
        const account = accountJSON(pubkey, config);
        if (account) value.push({ pubkey, account });
      }
      return withContext(config, value);
    },

    requestAirdrop: ([address, lamports]) => {
      const raw = codec.transferTransaction(faucet, codec.unbase58(address, 32), lamports, ledger.tip.hash, `airdrop ${++airdrops}`);
      const tx = codec.parseTransaction(raw);
      ledger.receive(tx);
      return tx.signatures[0];
    },
    simulateTransaction: ([encoded, config]) => {
      const tx = decode(encoded, config, 'base58');
      const answer = (err, logs, units) => withContext(config, { err, logs, unitsConsumed: units, accounts: null, innerInstructions: null, returnData: null, replacementBlockhash: null });
      if (!config?.replaceRecentBlockhash && !ledger.fresh(tx)) return answer('BlockhashNotFound', [], 0);
      const { err, logs, units } = ledger.vm.simulate(tx.raw, Boolean(config?.sigVerify));
      if (err === 'SignatureFailure') throw new RpcError(-32003, 'Transaction signature verification failure');
      return answer(err, logs, units);
    },
    sendTransaction: ([encoded, config]) => {
      const tx = decode(encoded, config, 'base58');
      blockFor({ commitment: config?.preflightCommitment, minContextSlot: config?.minContextSlot });
      if (!config?.skipPreflight) preflight(tx);
      ledger.receive(tx);
      return tx.signatures[0];
    },
    getSignatureStatuses: ([signatures]) => {
      if (signatures.length > 256) throw new RpcError(INVALID_PARAMS, 'Too many inputs provided; max 256');
      return withContext({ commitment: 'processed' }, signatures.map(s => {
        const record = ledger.txs.get(s);
        if (!record) return null;
        const level = ledger.level(record.height);
        return { slot: record.slot, confirmations: level === 'finalized' ? null : ledger.tip.height - record.height, err: record.err, status: status(record.err), confirmationStatus: level };
      }));
    },
    getTransaction: ([signature, config]) => {
      if (typeof config === 'string') config = { encoding: config };
      const record = visible(signature, config);
      return record && { slot: record.slot, blockTime: record.time, ...transactionJSON(record, config) };
    },
    getSignaturesForAddress: ([address, config]) => {
      blockFor(config);
      const limit = config?.limit ?? 1000;
      const out = [];
      let passed = config?.before === undefined;
      for (let h = ledger.heightAt(commitmentOf(config)); ledger.byHeight.has(h) && out.length < limit; h--) {
        const { signatures } = ledger.byHeight.get(h);
        for (let i = signatures.length - 1; i >= 0 && out.length < limit; i--) {
          const signature = signatures[i];
          if (signature === config?.until) return out;
          const { keys, slot, err, memo, time } = ledger.txs.get(signature);
          if (passed && keys.includes(address)) out.push({ signature, slot, err, memo, blockTime: time, confirmationStatus: ledger.level(h) });
          if (signature === config?.before) passed = true;
        }
      }
      return out;
    },

    getBlockTime: ([slot]) => blockForHistory(slot, { commitment: 'confirmed' }).time,
    getBlock: ([slot, config]) => {
      if (typeof config === 'string') config = { encoding: config };
      const block = blockForHistory(slot, config);
      const details = config?.transactionDetails ?? 'full';
      return {
        blockhash: block.hash, previousBlockhash: ledger.blocks.get(block.parent)?.hash ?? codec.SYSTEM_PROGRAM, parentSlot: block.parent, blockHeight: block.height, blockTime: block.time,
        ...(details === 'signatures' && { signatures: block.signatures }),
        ...(details === 'full' && { transactions: block.signatures.map(s => transactionJSON(ledger.txs.get(s), config)) }),
        ...(config?.rewards !== false && { rewards: [] }),
      };
    },
    getBlocks: ([start, end, config]) => {
      if (typeof end === 'object') [end, config] = [undefined, end];
      const newest = ledger.blockAt(config?.commitment === 'confirmed' ? 'confirmed' : 'finalized').slot;
      const out = [];
      for (let s = Math.max(start, ledger.firstSlot()); s <= Math.min(end ?? newest, newest); s++) if (ledger.blocks.has(s)) out.push(s);
      return out;
    },

    // --- test hooks

    /** Stops or restarts the clock. Transactions sent meanwhile wait. */
    test_pause: ([paused]) => {
      ledger.setPaused(Boolean(paused));
      return ledger.tip.slot;
    },
    /** Loses the next n sent transactions: their senders get a signature all the same. */
    test_dropNext: ([n]) => (ledger.dropNext = n),
    /** Loses the transactions that wait for the end of a pause; returns how many. */
    test_dropPending: () => ledger.waiting.splice(0).length,
    /** Closes n blocks at once. */
    test_advance: ([n]) => {
      for (let i = 0; i < n; i++) ledger.advance();
      return ledger.tip.slot;
    },
    /** Dies like after kill -9, once the answer is out. */
    test_crash: () => {
      setImmediate(() => process.kill(process.pid, 'SIGKILL'));
      return 0;
    },
    /** Abandons the newest n blocks; returns the signatures that are gone. */
    test_fork: ([depth]) => {
      try {
        return ledger.fork(depth);
      } catch (e) {
        throw new RpcError(INVALID_PARAMS, e.message);
      }
    },
  };
}

module.exports = { methods };

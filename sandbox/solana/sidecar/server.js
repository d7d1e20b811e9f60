// A Solana node for tests and demos: JSON-RPC over HTTP on loopback, backed by
// a real virtual machine. It prints one JSON line when it is ready and exits
// when its standard input ends, so that a killed parent leaves nothing behind.
//
//   node server.js --port 0 --slot-ms 400 [--dir state]
'use strict';

const http = require('node:http');
const crypto = require('node:crypto');
const { parseArgs } = require('node:util');
const codec = require('./codec');
const { VM } = require('./vm');
const { Ledger } = require('./ledger');
const { Storage } = require('./storage');
const { methods } = require('./methods');
const { RpcError } = require('./errors');
const { mint, mintAuthority, createFixedAccounts } = require('./accounts');

const MAX_BODY = 8 << 20; // bytes

function openLedger(dir) {
  if (!dir) {
    const vm = new VM();
    createFixedAccounts(vm);
    const ledger = new Ledger({ vm, genesisHash: codec.base58(crypto.randomBytes(32)) });
    ledger.genesis();
    return { ledger, close: () => {} };
  }
  const storage = new Storage(dir);
  const saved = storage.readSnapshot();
  const vm = new VM(saved?.accounts);
  createFixedAccounts(vm);
  const ledger = new Ledger({ vm, genesisHash: saved?.genesisHash ?? codec.base58(crypto.randomBytes(32)) });
  if (saved) storage.restore(ledger, saved.slot);
  storage.open(Boolean(saved));
  ledger.onBlock = block => storage.appendBlock(ledger, block);
  ledger.onFork = tip => storage.appendFork(ledger, tip);
  if (ledger.tip) ledger.resume();
  else ledger.genesis();
  const close = () => {
    ledger.advance();
    storage.save(ledger, ledger.tip.slot - 1);
  };
  if (!saved) close(); // a chain without a snapshot would be another one after a crash
  return { ledger, close };
}

function answer(table, request) {
  const reply = { jsonrpc: '2.0', id: request?.id ?? null };
  try {
    if (typeof request?.method !== 'string') throw new RpcError(-32600, 'Invalid request');
    const method = Object.hasOwn(table, request.method) && table[request.method];
    if (!method) throw new RpcError(-32601, 'Method not found');
    reply.result = method(request.params ?? []);
  } catch (e) {
    if (!(e instanceof RpcError)) process.stderr.write(`${request?.method}: ${e.stack}\n`);
    reply.error = e instanceof RpcError ? { code: e.code, message: e.message, data: e.data } : { code: -32603, message: 'Internal error' };
  }
  return reply;
}

function serve(table) {
  return http.createServer((request, response) => {
    const chunks = [];
    let size = 0;
    request.on('data', chunk => {
      size += chunk.length;
      if (size <= MAX_BODY) chunks.push(chunk);
      else request.destroy();
    });
    request.on('end', () => {
      let body;
      try {
        body = JSON.parse(Buffer.concat(chunks).toString());
      } catch {
        body = undefined;
      }
      const reply = body === undefined
        ? { jsonrpc: '2.0', id: null, error: { code: -32700, message: 'Parse error' } }
        : Array.isArray(body) ? body.map(r => answer(table, r)) : answer(table, body);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(reply));
    });
  });
}

function main() {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '0' }, 'slot-ms': { type: 'string', default: '400' }, dir: { type: 'string' } } });
  const { ledger, close } = openLedger(values.dir);
  const clock = setInterval(() => ledger.tick(), Number(values['slot-ms']));
  const server = serve(methods(ledger));
  server.keepAliveTimeout = 60_000;

  let stopping = false;
  const stop = () => {
    if (stopping) return;
    stopping = true;
    clearInterval(clock);
    close();
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', () => {}); // Ctrl-C reaches the whole group; the parent decides
  process.stdin.on('end', stop).on('close', stop).on('error', stop).resume();
  process.stdout.on('error', stop);

  server.on('error', e => {
    process.stderr.write(`cannot listen on port ${values.port}: ${e.message}\n`);
    process.exit(1);
  });
  server.listen(Number(values.port), '127.0.0.1', () => {
    const { port } = server.address();
    process.stdout.write(JSON.stringify({
      http_url: `http://127.0.0.1:${port}`,
      genesis_hash: ledger.genesisHash,
      usdc_mint: codec.base58(mint.publicKey),
      mint_authority: codec.base58(mintAuthority.secretKey),
      detail: `litesvm 1.5.0 on Node ${process.versions.node}, ${values['slot-ms']} ms slots`,
    }) + '\n');
  });
}

try {
  main();
} catch (e) {
  process.stderr.write(`${e.message}\n`);
  process.exit(1);
}

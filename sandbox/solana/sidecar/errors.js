// Error codes and words as agave gives them, since clients classify by both.
'use strict';

/** An error that becomes a JSON-RPC error object. */
class RpcError extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

const INVALID_PARAMS = -32602;

// Display texts of TransactionError that clients meet; others show their name.
const WORDS = {
  AlreadyProcessed: 'This transaction has already been processed',
  BlockhashNotFound: 'Blockhash not found',
  AccountNotFound: 'Attempt to debit an account but found no record of a prior credit.',
  InsufficientFundsForFee: 'Insufficient funds for fee',
  InvalidAccountForFee: 'This account may not be used to pay transaction fees',
  SanitizeFailure: 'Transaction failed to sanitize accounts offsets correctly',
  SignatureFailure: 'Transaction did not pass signature verification',
};

/** The display text of a TransactionError in its JSON form. */
function describe(err) {
  if (typeof err === 'string') return WORDS[err] || err;
  if (err.InstructionError) {
    const [index, inner] = err.InstructionError;
    const what = typeof inner === 'object' && 'Custom' in inner ? `custom program error: 0x${inner.Custom.toString(16)}` : JSON.stringify(inner);
    return `Error processing Instruction ${index}: ${what}`;
  }
  return JSON.stringify(err);
}

/** sendTransaction's answer when the simulation before sending fails. */
function preflightFailure(err, logs, unitsConsumed) {
  return new RpcError(-32002, `Transaction simulation failed: ${describe(err)}`, {
    accounts: null, err, innerInstructions: null, logs, replacementBlockhash: null, returnData: null, unitsConsumed,
  });
}

module.exports = { RpcError, INVALID_PARAMS, preflightFailure };

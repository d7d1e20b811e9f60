-- name: InsertIntent :one
INSERT INTO payment_intents (
  id, merchant_id, mode, idempotency_key, asset, amount, destinations, priority, max_fee, deadline,
  reference, metadata, status, substatus, hold_id, request_id, version, created_at, updated_at
) VALUES (
  @id, @merchant_id, @mode, @idempotency_key, @asset, @amount, @destinations, @priority, @max_fee, @deadline,
  @reference, @metadata, @status, @substatus, @hold_id, @request_id, 1, statement_timestamp(), statement_timestamp()
)
RETURNING *;

-- The row lock is NO KEY: it excludes every other writer of the intent, and
-- does not wait for rows that merely refer to it.
-- name: LockIntent :one
SELECT * FROM payment_intents WHERE id = @id FOR NO KEY UPDATE;

-- name: UpdateIntent :one
UPDATE payment_intents
   SET status = @status, substatus = @substatus, review_reason = @review_reason, review_detail = @review_detail,
       approved = @approved, chain = @chain, address = @address, tx_hash = @tx_hash,
       failure_code = @failure_code, failure_message = @failure_message,
       version = version + 1, updated_at = clock_timestamp()
 WHERE id = @id AND version = @version
RETURNING *;

-- name: InsertEvent :exec
INSERT INTO events (id, intent_id, merchant_id, mode, sequence, type, body, created_at)
VALUES (@id, @intent_id, @merchant_id, @mode, @sequence, @type, @body, @created_at);

-- name: InsertStart :exec
INSERT INTO intent_starts (intent_id, next_at) VALUES (@intent_id, clock_timestamp() + interval '5 seconds');

-- name: DeleteStart :exec
DELETE FROM intent_starts WHERE intent_id = @intent_id;

-- Each sweep takes other rows than its neighbours, and pushes them back by
-- 10 s * 2^tries, at most 5 minutes.
-- name: TakeDueStarts :many
WITH due AS (
  SELECT intent_id FROM intent_starts
   WHERE next_at <= clock_timestamp()
   ORDER BY next_at
   LIMIT @max_rows
   FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE intent_starts s
     SET tries = s.tries + 1,
         next_at = clock_timestamp() + least(interval '5 minutes', interval '10 seconds' * power(2, least(s.tries, 10)))
    FROM due WHERE s.intent_id = due.intent_id
  RETURNING s.intent_id
)
SELECT p.* FROM payment_intents p JOIN taken ON p.id = taken.intent_id ORDER BY p.created_at, p.id;

-- name: GetIntent :one
SELECT * FROM payment_intents WHERE id = @id;

-- name: GetMerchantIntent :one
SELECT * FROM payment_intents WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode;

-- Absent bounds become infinities rather than OR branches, so that one plan
-- walks the index payment_intents_list from the cursor on.
-- name: ListIntents :many
SELECT * FROM payment_intents
 WHERE merchant_id = @merchant_id AND mode = @mode
   AND (created_at, id) < (coalesce(sqlc.narg(after_created_at)::timestamptz, 'infinity'), coalesce(sqlc.narg(after_id)::text, ''))
   AND created_at >= coalesce(sqlc.narg(created_after)::timestamptz, '-infinity')
   AND created_at < coalesce(sqlc.narg(created_before)::timestamptz, 'infinity')
   AND (sqlc.narg(statuses)::text[] IS NULL OR status = ANY (sqlc.narg(statuses)::text[]))
   AND (sqlc.narg(chain)::text IS NULL OR chain = sqlc.narg(chain)::text)
   AND (sqlc.narg(reference)::text IS NULL OR reference = sqlc.narg(reference)::text)
 ORDER BY created_at DESC, id DESC
 LIMIT @max_rows;

-- name: ListIntentEvents :many
SELECT id, sequence, type, body, created_at FROM events
 WHERE intent_id = @intent_id AND merchant_id = @merchant_id AND mode = @mode AND sequence > @after_sequence
 ORDER BY sequence
 LIMIT @max_rows;

-- name: ListIntentAttempts :many
SELECT * FROM attempts WHERE intent_id = @intent_id ORDER BY seq;

-- name: ListIntentSlots :many
SELECT * FROM slots WHERE intent_id = @intent_id ORDER BY created_at, id;

-- The signed bytes stay out: whoever holds them can send them.
-- name: ListIntentTransactions :many
SELECT ta.slot_id, t.id, t.chain, t.hash, t.sender, t.nonce, t.gas_limit, t.fee_cap, t.tip_cap, t.max_fee,
       t.created_at, t.send_intent_at, t.last_sent_at
  FROM slots s
  JOIN transaction_attempts ta ON ta.slot_id = s.id
  JOIN transactions t ON t.id = ta.transaction_id
 WHERE s.intent_id = @intent_id
 ORDER BY t.created_at, t.id;

-- name: ListIntentTransactionResults :many
SELECT r.* FROM slots s
  JOIN transaction_attempts ta ON ta.slot_id = s.id
  JOIN transaction_results r ON r.transaction_id = ta.transaction_id
 WHERE s.intent_id = @intent_id;

-- name: ListIntentOutcomes :many
SELECT * FROM outcomes WHERE intent_id = @intent_id ORDER BY recorded_at, slot_id;

-- name: ListIntentTransfers :many
SELECT id, reference, phase, hold_amount, pending_id, effective_at, recorded_at FROM ledger_transfers
 WHERE intent_id = @intent_id::text
 ORDER BY recorded_at, reference;

-- name: ListIntentEntries :many
SELECT e.transfer_id, e.seq, a.kind, a.owner, e.asset, e.amount::text AS amount
  FROM ledger_transfers t
  JOIN ledger_entries e ON e.transfer_id = t.id
  JOIN ledger_accounts a ON a.id = e.account_id
 WHERE t.intent_id = @intent_id::text
 ORDER BY t.recorded_at, t.reference, e.seq;

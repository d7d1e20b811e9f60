-- The intent, its first event, the row that its start hangs on and the stored
-- answer to the request (none without a route), in one round trip.
-- name: InsertIntent :exec
WITH intent AS (
  INSERT INTO payment_intents (
    id, merchant_id, mode, idempotency_key, asset, amount, destinations, allowed_chains, priority, max_fee, deadline,
    reference, metadata, quote_id, retry_of, status, substatus, hold_id, payer_authorization, request_id, batch_id, batch_line, version, created_at, updated_at
  ) VALUES (
    @id, @merchant_id, @mode, @idempotency_key, @asset, @amount, @destinations, @allowed_chains, @priority, sqlc.narg(max_fee), sqlc.narg(deadline),
    @reference, @metadata, sqlc.narg(quote_id), sqlc.narg(retry_of), @status, @substatus, sqlc.narg(hold_id), sqlc.narg(payer_authorization), @request_id, sqlc.narg(batch_id), sqlc.narg(batch_line), 1, @at, @at
  )
), event AS (
  INSERT INTO events (id, intent_id, merchant_id, mode, sequence, type, body, created_at)
  VALUES (@event_id, @id, @merchant_id, @mode, 1, @event_type, @event_body, @at)
), start AS (
  INSERT INTO intent_starts (intent_id, next_at) VALUES (@id, clock_timestamp() + interval '5 seconds')
)
INSERT INTO idempotency_keys (merchant_id, mode, route, key, request_hash, resource_id, status, body)
SELECT @merchant_id, @mode, @answer_route, @idempotency_key, @answer_request_hash::bytea, @id, @answer_status::int, @answer_body::bytea
 WHERE @answer_route::text <> '';

-- The row lock is NO KEY: it excludes every other writer of the intent, and
-- does not wait for rows that merely refer to it. A row that was waited for is
-- read again, and the clock with it.
-- name: LockIntent :one
SELECT sqlc.embed(p), clock_timestamp()::timestamptz AS at FROM payment_intents p WHERE p.id = @id FOR NO KEY UPDATE OF p;

-- name: ReadClock :one
SELECT clock_timestamp()::timestamptz AS at;

-- A change and its event, in one round trip; 0 rows if the intent is not at
-- the version any more.
-- name: UpdateIntent :execrows
WITH changed AS (
  UPDATE payment_intents AS p
     SET status = @status, substatus = @substatus, review_reason = @review_reason, review_detail = @review_detail,
         approved = @approved, chain = @chain, address = @address, tx_hash = @tx_hash,
         failure_code = @failure_code, failure_message = @failure_message,
         version = p.version + 1, updated_at = @at,
         closed_at = CASE WHEN @closed::boolean THEN @at::timestamptz END
   WHERE p.id = @id AND p.version = @version
  RETURNING p.id, p.merchant_id, p.mode, p.version, p.updated_at
)
INSERT INTO events (id, intent_id, merchant_id, mode, sequence, type, body, created_at)
SELECT @event_id, c.id, c.merchant_id, c.mode, c.version, @event_type, @event_body, c.updated_at FROM changed c;

-- The sweep comes to the intent in 5 seconds.
-- name: UpsertStart :exec
INSERT INTO intent_starts (intent_id, next_at) VALUES (@intent_id, clock_timestamp() + interval '5 seconds')
ON CONFLICT (intent_id) DO UPDATE SET next_at = excluded.next_at, tries = 0;

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

-- How many intents no step of a workflow has taken up yet, counted up to a bound.
-- name: CountStarts :one
SELECT count(*) FROM (SELECT 1 FROM intent_starts LIMIT @max_rows) x;

-- name: GetIntent :one
SELECT * FROM payment_intents WHERE id = @id;

-- name: GetMerchantIntent :one
SELECT * FROM payment_intents WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode;

-- The payment that orders another one again; no rows: none does.
-- name: GetRetry :one
SELECT id FROM payment_intents WHERE retry_of = @intent_id::text;

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
   AND metadata @> @metadata::jsonb
 ORDER BY created_at DESC, id DESC
 LIMIT @max_rows;

-- name: ListIntentAttempts :many
SELECT * FROM attempts WHERE intent_id = @intent_id ORDER BY seq;

-- name: ListIntentSlots :many
SELECT * FROM slots WHERE intent_id = @intent_id ORDER BY created_at, id;

-- The signed bytes stay out: whoever holds them can send them.
-- name: ListIntentTransactions :many
SELECT ta.slot_id, t.id, t.chain, t.hash, t.sender, t.nonce, t.gas_limit, t.fee_cap, t.tip_cap, t.max_fee,
       t.purpose, t.created_at, t.send_intent_at, t.last_sent_at
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

-- Open intents that nobody has changed for a while, oldest first, behind a
-- cursor: for idle_seconds, or if they are sent, and so looked after anyway, for
-- sent_idle_seconds.
-- name: IdleIntents :many
SELECT p.* FROM payment_intents p
 WHERE p.closed_at IS NULL
   AND (p.created_at, p.id) > (@after_created_at::timestamptz, @after_id::text)
   AND p.updated_at < clock_timestamp() - make_interval(secs => @idle_seconds::float8)
   AND (p.updated_at < clock_timestamp() - make_interval(secs => @sent_idle_seconds::float8)
        OR p.status NOT IN ('submitted', 'confirming'))
 ORDER BY p.created_at, p.id
 LIMIT @max_rows;

-- name: InsertAttempt :one
INSERT INTO attempts (id, intent_id, seq, chain, address, route)
SELECT @id, @intent_id, coalesce(max(a.seq), 0) + 1, @chain, @address, @route FROM attempts a WHERE a.intent_id = @intent_id
RETURNING *;

-- name: LiveSlots :many
-- The live slots of intents with every transaction ever signed for them, oldest
-- first, and what a finalized block says of each. No rows: no live slot.
SELECT sqlc.embed(s), p.status, p.substatus, p.version, p.updated_at, p.address, p.amount,
       t.id AS tx_id, t.hash, t.raw, t.sender, t.nonce AS lane_nonce, t.purpose, t.send_intent_at, t.last_sent_at, r.succeeded
FROM slots s
JOIN payment_intents p ON p.id = s.intent_id
JOIN transaction_attempts ta ON ta.slot_id = s.id
JOIN transactions t ON t.id = ta.transaction_id
LEFT JOIN transaction_results r ON r.transaction_id = t.id
WHERE s.intent_id = ANY (@intent_ids::text[]) AND s.state = 'live'
ORDER BY s.intent_id, t.created_at, t.id;

-- name: ClosedSlots :many
-- Closed slots of a chain of which something may still land, with every
-- transaction ever signed for them, oldest first: decisive is the one that the
-- outcome names, booked says that its result is stored. In order of their ids.
SELECT sqlc.embed(s), a.address, p.amount, t.id AS tx_id, t.hash, t.raw,
       (o.tx_hash = t.hash)::boolean AS decisive, (r.transaction_id IS NOT NULL)::boolean AS booked
FROM slots s
JOIN payment_intents p ON p.id = s.intent_id
JOIN attempts a ON a.id = s.attempt_id
JOIN outcomes o ON o.slot_id = s.id
JOIN transaction_attempts ta ON ta.slot_id = s.id
JOIN transactions t ON t.id = ta.transaction_id
LEFT JOIN transaction_results r ON r.transaction_id = t.id
WHERE s.id IN (
  SELECT x.id FROM slots x WHERE x.chain = @chain AND x.state <> 'live' AND x.final_at IS NULL AND x.id > @after_id
  ORDER BY x.id LIMIT @max_rows)
ORDER BY s.id, t.created_at, t.id;

-- name: FinishSlot :execrows
-- Nothing that was signed for a closed slot can land any more.
UPDATE slots SET final_at = clock_timestamp() WHERE id = @id AND state <> 'live' AND final_at IS NULL;

-- name: OldLiveSlots :many
-- Intents with a live slot of some age on a chain, in order of their ids.
SELECT intent_id FROM slots
WHERE chain = @chain AND state = 'live' AND intent_id > @after_id AND created_at < clock_timestamp() - make_interval(secs => @age_seconds::float8)
ORDER BY intent_id LIMIT @max_rows;

-- name: FencedSlots :many
-- Intents whose live authorization is to be canceled, and no cancellation is
-- under way. One that failed is repeated after retry_ms.
SELECT s.intent_id FROM slots s
WHERE s.chain = @chain AND s.state = 'live' AND s.kind = 'eip3009' AND s.fence <> ''
  AND NOT EXISTS (
    SELECT 1 FROM transaction_attempts ta JOIN transactions t ON t.id = ta.transaction_id
    LEFT JOIN transaction_results r ON r.transaction_id = t.id
    WHERE ta.slot_id = s.id AND t.purpose = 'cancel'
      AND (r.recorded_at IS NULL OR r.recorded_at > clock_timestamp() - make_interval(secs => @retry_seconds::float8)))
ORDER BY s.intent_id LIMIT 100;

-- name: FenceSlot :execrows
UPDATE slots SET fence = @fence WHERE id = @id AND state = 'live' AND fence = '';

-- name: ClaimResends :many
-- The newest payment of each slot that is live, not fenced, was sent once and
-- by nobody for a while; it counts as sent now.
UPDATE transactions t SET last_sent_at = clock_timestamp()
FROM (
  SELECT DISTINCT ON (s.id) s.id AS slot_id, s.intent_id, x.id
  FROM slots s JOIN transaction_attempts ta ON ta.slot_id = s.id JOIN transactions x ON x.id = ta.transaction_id
  WHERE s.id = ANY (@slot_ids::text[]) AND s.state = 'live' AND s.fence = '' AND x.purpose = 'payment'
  ORDER BY s.id, x.created_at DESC, x.id DESC
) newest
WHERE t.id = newest.id AND t.last_sent_at < clock_timestamp() - make_interval(secs => @resend_after_seconds::float8)
RETURNING newest.intent_id, t.hash, t.raw;

-- name: ClaimResend :execrows
-- One transaction, unless somebody has sent it lately.
UPDATE transactions SET last_sent_at = clock_timestamp()
WHERE id = @id AND last_sent_at < clock_timestamp() - make_interval(secs => @resend_after_seconds::float8);

-- name: HasLiveSlot :one
SELECT EXISTS (SELECT 1 FROM slots WHERE intent_id = $1 AND state = 'live');

-- name: SlotTransactions :many
-- Every transaction ever signed for a slot, oldest first.
SELECT t.* FROM transaction_attempts ta JOIN transactions t ON t.id = ta.transaction_id
WHERE ta.slot_id = $1
ORDER BY t.created_at, t.id;

-- name: TakeNonce :one
-- Picks the lane with room that fewest others hold right now and moves its
-- nonce. SKIP LOCKED spreads concurrent reservations over the lanes.
UPDATE lanes SET next_nonce = next_nonce + 1, updated_at = clock_timestamp()
WHERE (chain, address) = (
  SELECT l.chain, l.address FROM lanes l
  WHERE l.chain = @chain AND l.address = ANY (@lanes::text[]) AND l.state = 'active'
    AND (SELECT count(*) FROM lane_nonces n WHERE n.chain = l.chain AND n.lane = l.address AND n.included_at IS NULL) < l.max_in_flight
  ORDER BY l.updated_at
  LIMIT 1
  FOR UPDATE SKIP LOCKED)
RETURNING address, (next_nonce - 1)::bigint AS nonce;

-- name: InsertLaneNonce :exec
INSERT INTO lane_nonces (chain, lane, nonce, purpose) VALUES ($1, $2, $3, $4);

-- name: InsertSlot :exec
INSERT INTO slots (id, attempt_id, intent_id, chain, kind, authority, nonce, from_height, expires_at, expires_height, "authorization")
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: InsertTransaction :exec
INSERT INTO transactions (id, chain, hash, raw, sender, nonce, gas_limit, fee_cap, tip_cap, max_fee, purpose)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: LinkTransaction :exec
INSERT INTO transaction_attempts (transaction_id, attempt_id, slot_id) VALUES ($1, $2, $3);

-- name: MarkSending :exec
-- Committed before the first byte leaves: afterwards NULL really means "never left us".
UPDATE transactions SET send_intent_at = coalesce(send_intent_at, clock_timestamp()), last_sent_at = clock_timestamp()
WHERE id = ANY (@ids::text[]);

-- name: MarkLanesIncluded :exec
UPDATE lane_nonces n SET included_at = clock_timestamp()
FROM transaction_attempts ta JOIN transactions t ON t.id = ta.transaction_id
WHERE ta.slot_id = ANY (@slot_ids::text[]) AND n.chain = t.chain AND n.lane = t.sender AND n.nonce = t.nonce AND n.included_at IS NULL;

-- name: InsertOutcome :exec
INSERT INTO outcomes (slot_id, intent_id, result, chain, tx_hash, block_hash, block_height, log_index, amount, address, fee, fee_payer, proof, effective_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

-- name: Outcome :one
SELECT * FROM outcomes WHERE slot_id = $1;

-- name: CloseSlot :exec
-- final says that no other transaction of the slot can land any more.
UPDATE slots SET state = @state, closed_at = clock_timestamp(), final_at = CASE WHEN @final::boolean THEN clock_timestamp() END
WHERE id = @id AND state = 'live';

-- name: InsertTransactionResult :execrows
INSERT INTO transaction_results (transaction_id, succeeded, reason, block_hash, block_height, fee, effective_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (transaction_id) DO NOTHING;

-- name: TransactionByHash :one
SELECT id, sender FROM transactions WHERE chain = $1 AND hash = $2;

-- name: CommittedOnChain :one
-- What live slots may still take out of a chain's treasury, base units.
SELECT coalesce(sum(p.amount), 0)::numeric AS committed
FROM slots s JOIN payment_intents p ON p.id = s.intent_id
WHERE s.chain = $1 AND s.state = 'live';

-- name: OpenAttempt :one
-- The newest attempt, unless its slot is dead: then a new route is due.
SELECT * FROM attempts a
WHERE a.intent_id = $1 AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.attempt_id = a.id AND s.state = 'dead')
ORDER BY a.seq DESC LIMIT 1;

-- name: DeadSlots :many
-- Where an intent was tried in vain, and how that ended.
SELECT chain, fence FROM slots WHERE intent_id = $1 AND state = 'dead' ORDER BY created_at, id;

-- name: SlotState :one
SELECT state FROM slots WHERE id = $1;

-- name: PickLane :one
-- For chains without lane nonces: any active lane may pay the fee.
SELECT address FROM lanes WHERE chain = @chain AND address = ANY (@lanes::text[]) AND state = 'active' ORDER BY random() LIMIT 1;

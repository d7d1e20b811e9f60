-- name: InsertWallet :exec
INSERT INTO wallets (chain, address, role) VALUES (@chain, @address, @role) ON CONFLICT (chain, address, role) DO NOTHING;

-- name: InsertLane :execrows
INSERT INTO lanes (chain, address, next_nonce, max_in_flight) VALUES (@chain, @address, @next_nonce, @max_in_flight)
ON CONFLICT (chain, address) DO NOTHING;

-- name: LockLane :one
SELECT next_nonce FROM lanes WHERE chain = @chain AND address = @address FOR NO KEY UPDATE;

-- name: SetLaneLimit :exec
UPDATE lanes SET max_in_flight = @max_in_flight, updated_at = clock_timestamp()
 WHERE chain = @chain AND address = @address AND max_in_flight <> @max_in_flight;

-- name: FreezeLane :execrows
UPDATE lanes SET state = 'frozen', reason = @reason, updated_at = clock_timestamp()
 WHERE chain = @chain AND address = @address AND state <> 'frozen';

-- name: PauseLane :execrows
UPDATE lanes SET state = 'paused', reason = @reason, updated_at = clock_timestamp()
 WHERE chain = @chain AND address = @address AND state = 'active';

-- Takes back a pause for one reason, and no other.
-- name: ResumeLane :execrows
UPDATE lanes SET state = 'active', reason = '', updated_at = clock_timestamp()
 WHERE chain = @chain AND address = @address AND state = 'paused' AND starts_with(reason, @reason::text);

-- The lease of a lane that is not frozen and that nobody else holds, for 30
-- seconds by the database's clock. No rows: not to be had.
-- name: LeaseLane :one
UPDATE lanes SET lease_epoch = lease_epoch + (lease_owner <> @owner)::int, lease_owner = @owner,
       lease_until = clock_timestamp() + interval '30 seconds'
 WHERE chain = @chain AND address = @address AND state <> 'frozen' AND (lease_owner = @owner OR lease_until < clock_timestamp())
RETURNING lease_epoch, next_nonce, state;

-- Locks a lane for whoever holds its lease. No rows: somebody else may by now.
-- name: HoldLane :one
SELECT next_nonce FROM lanes
 WHERE chain = @chain AND address = @address AND lease_owner = @owner AND lease_epoch = @epoch AND lease_until > clock_timestamp()
   AND state <> 'frozen'
   FOR NO KEY UPDATE;

-- What the newest block has used is in flight no more; what a reorg gave back
-- is again, unless its use is final.
-- name: MarkNoncesIncluded :exec
UPDATE lane_nonces SET included_at = clock_timestamp()
 WHERE chain = @chain AND lane = @lane AND nonce < @latest AND included_at IS NULL;

-- name: MarkNoncesOpen :exec
UPDATE lane_nonces SET included_at = NULL
 WHERE chain = @chain AND lane = @lane AND nonce >= @latest AND included_at IS NOT NULL AND final_at IS NULL;

-- name: MarkNoncesFinal :exec
UPDATE lane_nonces n SET final_at = clock_timestamp(), included_at = coalesce(n.included_at, clock_timestamp())
 WHERE n.chain = @chain AND n.lane = @lane AND n.nonce < @final AND n.final_at IS NULL
   AND EXISTS (SELECT 1 FROM transactions t JOIN transaction_results r ON r.transaction_id = t.id
                WHERE t.chain = n.chain AND t.sender = n.lane AND t.nonce = n.nonce);

-- Nonces of a range that are not known to be used for good, in order, each
-- with everything that was signed under it, oldest first; without a tx_id if
-- that is nothing. sent_seconds is how long ago a transaction left us first, -1
-- if it never did.
-- name: OpenNonces :many
SELECT n.nonce, coalesce(t.id, '')::text AS tx_id, coalesce(t.hash, '')::text AS hash, t.raw, coalesce(t.purpose, '')::text AS purpose,
       coalesce(t.fee_cap, 0)::numeric AS fee_cap, coalesce(t.max_fee, 0)::numeric AS max_fee,
       coalesce(extract(epoch FROM clock_timestamp() - t.send_intent_at), -1)::float8 AS sent_seconds,
       coalesce(a.id, '')::text AS attempt_id, coalesce(a.seq, 0)::int AS seq,
       coalesce(s.id, '')::text AS slot_id, coalesce(s.intent_id, '')::text AS intent_id, coalesce(s.state, '')::text AS slot_state, coalesce(s.fence, '')::text AS fence
  FROM lane_nonces n
  LEFT JOIN transactions t ON t.chain = n.chain AND t.sender = n.lane AND t.nonce = n.nonce
  LEFT JOIN transaction_attempts ta ON ta.transaction_id = t.id
  LEFT JOIN attempts a ON a.id = ta.attempt_id
  LEFT JOIN slots s ON s.id = ta.slot_id
 WHERE n.chain = @chain AND n.lane = @lane AND n.nonce >= @first AND n.nonce < @behind AND n.final_at IS NULL
 ORDER BY n.nonce, t.created_at, t.id
 LIMIT 500;

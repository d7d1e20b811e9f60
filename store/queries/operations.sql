-- Waits for a concurrent transaction that inserts the same key; 0 rows mean
-- that it won. The answer is filled in before commit.
-- name: ClaimIdempotencyKey :execrows
INSERT INTO idempotency_keys (merchant_id, mode, route, key, request_hash, resource_id, status, body)
VALUES (@merchant_id, @mode, @route, @key, @request_hash, '', 0, '')
ON CONFLICT (merchant_id, mode, route, key) DO NOTHING;

-- name: StoreIdempotencyAnswer :execrows
UPDATE idempotency_keys SET resource_id = @resource_id, status = @status, body = @body
 WHERE merchant_id = @merchant_id AND mode = @mode AND route = @route AND key = @key AND status = 0;

-- name: InsertIdempotencyKey :execrows
INSERT INTO idempotency_keys (merchant_id, mode, route, key, request_hash, resource_id, status, body)
VALUES (@merchant_id, @mode, @route, @key, @request_hash, @resource_id, @status, @body)
ON CONFLICT (merchant_id, mode, route, key) DO NOTHING;

-- name: GetIdempotencyKey :one
SELECT request_hash, resource_id, status, body, created_at FROM idempotency_keys
 WHERE merchant_id = @merchant_id AND mode = @mode AND route = @route AND key = @key;

-- name: DeleteOldIdempotencyKeys :execrows
DELETE FROM idempotency_keys WHERE created_at < @before;

-- name: InsertAudit :exec
INSERT INTO audit_log (actor, action, object_id, reason, request_id, detail)
VALUES (@actor, @action, @object_id, @reason, @request_id, @detail);

-- name: ListAudit :many
SELECT * FROM audit_log WHERE object_id = @object_id ORDER BY id;

-- name: PageAudit :many
SELECT * FROM audit_log
 WHERE (sqlc.narg(object_id)::text IS NULL OR object_id = sqlc.narg(object_id)::text)
   AND id < coalesce(sqlc.narg(before)::bigint, 9223372036854775807)
 ORDER BY id DESC
 LIMIT @max_rows;

-- An older observation never replaces a newer one.
-- name: UpsertConditions :exec
INSERT INTO chain_health (chain, worker, conditions, observed_at) VALUES (@chain, @worker, @conditions, @observed_at)
ON CONFLICT (chain, worker) DO UPDATE SET conditions = excluded.conditions, observed_at = excluded.observed_at
 WHERE chain_health.observed_at <= excluded.observed_at;

-- name: ListLatestConditions :many
SELECT DISTINCT ON (chain) chain, conditions, observed_at FROM chain_health ORDER BY chain, observed_at DESC;

-- name: SetLocalStatementTimeout :exec
SELECT set_config('statement_timeout', @timeout::text, true);

-- name: InsertMerchant :one
INSERT INTO merchants (id, name, review_above, max_amount) VALUES (@id, @name, @review_above, @max_amount) RETURNING *;

-- name: GetMerchant :one
SELECT * FROM merchants WHERE id = @id;

-- name: InsertAPIKey :one
INSERT INTO api_keys (id, merchant_id, mode, pepper_id, hash, scopes, name, expires_at)
VALUES (@id, @merchant_id, @mode, @pepper_id, @hash, @scopes, @name, @expires_at)
RETURNING *;

-- name: GetAPIKey :one
SELECT * FROM api_keys WHERE id = @id;

-- A key that is revoked already keeps its first time.
-- name: RevokeAPIKey :one
UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()) WHERE id = @id RETURNING *;

-- Several processes note the use of one key; once a minute is enough.
-- name: NoteAPIKeyUse :exec
UPDATE api_keys SET last_used_at = clock_timestamp()
 WHERE id = @id AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute');

-- name: InsertBlockedAddress :exec
INSERT INTO blocked_addresses (chain, address, reason) VALUES (@chain, @address, @reason)
ON CONFLICT (address, chain) DO UPDATE SET reason = excluded.reason;

-- name: GetBlockedAddress :one
SELECT reason FROM blocked_addresses
 WHERE address = @address AND chain IN (@chain, '*')
 ORDER BY chain DESC
 LIMIT 1;

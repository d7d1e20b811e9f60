-- name: InsertMerchant :one
INSERT INTO merchants (id, name, review_above, max_amount) VALUES (@id, @name, @review_above, @max_amount) RETURNING *;

-- name: GetMerchant :one
SELECT * FROM merchants WHERE id = @id;

-- name: ListMerchants :many
SELECT * FROM merchants
 WHERE (created_at, id) < (coalesce(sqlc.narg(after_created_at)::timestamptz, 'infinity'), coalesce(sqlc.narg(after_id)::text, ''))
 ORDER BY created_at DESC, id DESC
 LIMIT sqlc.narg(max_rows);

-- name: UpdateMerchant :one
UPDATE merchants SET name = @name, review_above = @review_above, max_amount = @max_amount WHERE id = @id RETURNING *;

-- name: InsertAPIKey :one
INSERT INTO api_keys (id, merchant_id, mode, pepper_id, hash, scopes, name, expires_at)
VALUES (@id, @merchant_id, @mode, @pepper_id, @hash, @scopes, @name, @expires_at)
RETURNING *;

-- name: GetAPIKey :one
SELECT * FROM api_keys WHERE id = @id;

-- name: LockAPIKey :one
SELECT sqlc.embed(k), clock_timestamp()::timestamptz AS at FROM api_keys k WHERE k.id = @id FOR UPDATE;

-- An operator's key has no merchant.
-- name: GetPrincipal :one
SELECT sqlc.embed(k), m.name, m.review_above, m.max_amount, m.created_at
  FROM api_keys k LEFT JOIN merchants m ON m.id = k.merchant_id WHERE k.id = @id;

-- name: ListAPIKeys :many
SELECT * FROM api_keys
 WHERE @merchant_id::text IN ('', merchant_id)
   AND (created_at, id) < (coalesce(sqlc.narg(after_created_at)::timestamptz, 'infinity'), coalesce(sqlc.narg(after_id)::text, ''))
 ORDER BY created_at DESC, id DESC
 LIMIT sqlc.narg(max_rows);

-- name: ExpireAPIKey :one
UPDATE api_keys SET expires_at = @expires_at WHERE id = @id RETURNING *;

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

-- name: DeleteBlockedAddress :execrows
DELETE FROM blocked_addresses WHERE chain = @chain AND address = @address;

-- name: ListBlockedAddresses :many
SELECT * FROM blocked_addresses ORDER BY created_at, chain, address;

-- name: GetBlockedAddress :one
SELECT reason FROM blocked_addresses
 WHERE address = @address AND chain IN (@chain, '*')
 ORDER BY chain DESC
 LIMIT 1;

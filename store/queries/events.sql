-- name: ListIntentEvents :many
SELECT id, sequence, type, body, created_at FROM events
 WHERE intent_id = @intent_id AND merchant_id = @merchant_id AND mode = @mode AND sequence > @after_sequence
 ORDER BY sequence
 LIMIT @max_rows;

-- name: GetMerchantEvent :one
SELECT id, sequence, type, body, created_at FROM events WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode;

-- The log in an order that never changes: by the transaction that wrote a row,
-- then by position. It ends before the oldest transaction that still runs,
-- because that one may yet add rows which belong before everything newer.
-- name: ListEvents :many
SELECT id, sequence, type, body, created_at, xact::text::bigint AS at_xact, position::bigint AS at_position FROM events
 WHERE merchant_id = @merchant_id AND mode = @mode
   AND (xact, position) > (CAST(@after_xact::text AS xid8), @after_position::bigint)
   AND xact < pg_snapshot_xmin(pg_current_snapshot())
   AND (sqlc.narg(intent_id)::text IS NULL OR intent_id = sqlc.narg(intent_id)::text)
   AND (sqlc.narg(types)::text[] IS NULL OR type = ANY (sqlc.narg(types)::text[]))
 ORDER BY events.xact, events.position
 LIMIT @max_rows;

-- Whatever the log does not show yet is of this transaction or a later one.
-- name: LogEnd :one
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS at_xact;

-- A hint, which may be lost: it need not wait for the disk.
-- name: Notify :exec
SELECT set_config('synchronous_commit', 'off', true), pg_notify('settle_events', @payload::text);

-- name: InsertBatch :exec
INSERT INTO batches (id, merchant_id, mode, idempotency_key, asset, request_id) VALUES (@id, @merchant_id, @mode, @idempotency_key, @asset, @request_id);

-- name: InsertBatchLines :copyfrom
INSERT INTO batch_lines (batch_id, line, amount, destinations, allowed_chains, priority, max_fee, deadline, reference, metadata, errors)
VALUES (@batch_id, @line, @amount, @destinations, @allowed_chains, @priority, @max_fee, @deadline, @reference, @metadata, @errors);

-- A reference stands for one line: any further one is an error, added to those
-- that the line has.
-- name: MarkDuplicateLines :exec
UPDATE batch_lines l SET errors = coalesce(l.errors, '[]'::jsonb) || @error::jsonb
  FROM (SELECT d.line, row_number() OVER (PARTITION BY d.reference ORDER BY d.line) AS n
          FROM batch_lines d WHERE d.batch_id = @batch_id AND d.reference <> '') x
 WHERE l.batch_id = @batch_id AND l.line = x.line AND x.n > 1;

-- The upload is complete: from now on the batch is shown.
-- name: SealBatch :one
UPDATE batches b
   SET status = CASE WHEN s.invalid = 0 THEN 'ready' ELSE 'invalid' END, reference = @reference, metadata = @metadata,
       lines = s.lines, invalid_lines = s.invalid, amount = s.amount, created_at = clock_timestamp()
  FROM (SELECT count(*) AS lines, count(l.errors) AS invalid, coalesce(sum(l.amount) FILTER (WHERE l.errors IS NULL), 0) AS amount
          FROM batch_lines l WHERE l.batch_id = @id) s
 WHERE b.id = @id AND b.status = 'validating'
RETURNING b.*;

-- name: DeleteUpload :exec
DELETE FROM batches WHERE id = @id AND status = 'validating';

-- Uploads whose process died.
-- name: DeleteAbandonedUploads :execrows
DELETE FROM batches WHERE status = 'validating' AND created_at < clock_timestamp() - make_interval(secs => @older_seconds::float8);

-- name: GetMerchantBatch :one
SELECT * FROM batches WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode AND status <> 'validating';

-- name: LockBatch :one
SELECT * FROM batches WHERE id = @id AND status <> 'validating' FOR NO KEY UPDATE;

-- name: ListBatches :many
SELECT * FROM batches
 WHERE merchant_id = @merchant_id AND mode = @mode AND status <> 'validating'
   AND (created_at, id) < (coalesce(sqlc.narg(after_created_at)::timestamptz, 'infinity'), coalesce(sqlc.narg(after_id)::text, ''))
   AND (sqlc.narg(statuses)::text[] IS NULL OR status = ANY (sqlc.narg(statuses)::text[]))
 ORDER BY created_at DESC, id DESC
 LIMIT @max_rows;

-- name: StartBatch :one
UPDATE batches SET status = 'processing', hold_id = @hold_id, started_at = @at, look_at = @at WHERE id = @id RETURNING *;

-- name: EndBatch :one
UPDATE batches SET status = @status, ended_at = clock_timestamp() WHERE id = @id RETURNING *;

-- The batch's workflow runs: until it has not been heard of for so long, nobody
-- needs to start it.
-- name: HearOfBatch :one
UPDATE batches
   SET look_at = CASE WHEN status = 'processing' THEN clock_timestamp() + make_interval(secs => @quiet_seconds::float8) ELSE look_at END
 WHERE id = @id AND status <> 'validating' RETURNING *;

-- name: TakeDueBatches :many
UPDATE batches SET look_at = clock_timestamp() + interval '10 seconds'
 WHERE id IN (SELECT d.id FROM batches d WHERE d.status = 'processing' AND d.look_at <= clock_timestamp()
               ORDER BY d.look_at LIMIT @max_rows FOR NO KEY UPDATE SKIP LOCKED)
RETURNING *;

-- Payments are made in the order of lines, so that the newest tells how far it is.
-- name: LastBatchLine :one
SELECT coalesce(max(batch_line), 0)::int AS line FROM payment_intents WHERE batch_id = @batch_id::text;

-- name: CountOpenInBatch :one
SELECT count(*) FROM payment_intents WHERE batch_id = @batch_id::text AND closed_at IS NULL;

-- name: BatchLinesAfter :many
SELECT * FROM batch_lines WHERE batch_id = @batch_id AND line > @after_line ORDER BY line LIMIT @max_rows;

-- name: BatchProgress :many
SELECT status, count(*) AS lines, coalesce(sum(amount), 0)::numeric AS amount FROM batch_line_states WHERE batch_id = @batch_id GROUP BY status ORDER BY status;

-- name: BatchLineStates :many
SELECT * FROM batch_line_states
 WHERE batch_id = @batch_id AND line > @after_line AND (sqlc.narg(statuses)::text[] IS NULL OR status = ANY (sqlc.narg(statuses)::text[]))
 ORDER BY line LIMIT @max_rows;

-- name: BatchErrors :many
SELECT line, reference, errors FROM batch_lines WHERE batch_id = @batch_id AND line > @after_line AND errors IS NOT NULL ORDER BY line LIMIT @max_rows;

-- Lines with what became of them, network fee (native base units) included.
-- name: BatchResults :many
SELECT sqlc.embed(s), coalesce(o.fee, 0)::numeric AS fee
  FROM batch_line_states s LEFT JOIN outcomes o ON o.intent_id = s.intent_id AND o.result = 'paid'
 WHERE s.batch_id = @batch_id AND s.line > @after_line
 ORDER BY s.line LIMIT @max_rows;

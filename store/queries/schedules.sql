-- name: InsertSchedule :one
INSERT INTO schedules (id, merchant_id, mode, idempotency_key, ordered, once_at, cron, time_zone, ends_at, catch_up_seconds, request_id)
VALUES (@id, @merchant_id, @mode, @idempotency_key, @ordered, sqlc.narg(once_at), @cron, @time_zone, sqlc.narg(ends_at), @catch_up_seconds, @request_id)
RETURNING *;

-- name: GetMerchantSchedule :one
SELECT * FROM schedules WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode;

-- name: LockSchedule :one
SELECT * FROM schedules WHERE id = @id FOR NO KEY UPDATE;

-- name: ListSchedules :many
SELECT * FROM schedules
 WHERE merchant_id = @merchant_id AND mode = @mode
   AND (sqlc.narg(statuses)::text[] IS NULL OR status = ANY (sqlc.narg(statuses)::text[]))
   AND (sqlc.narg(after_created_at)::timestamptz IS NULL OR (created_at, id) < (sqlc.narg(after_created_at)::timestamptz, sqlc.narg(after_id)::text))
 ORDER BY created_at DESC, id DESC
 LIMIT @max_rows;

-- One that is over is taken from Temporal by the next sweep.
-- name: UpdateScheduleStatus :one
UPDATE schedules
   SET status = @status, updated_at = clock_timestamp(),
       next_at = CASE WHEN @status::text IN ('completed', 'canceled') THEN clock_timestamp() ELSE next_at END
 WHERE id = @id
RETURNING *;

-- Each sweep takes other rows than its neighbours, and pushes them back.
-- name: TakeDueSchedules :many
UPDATE schedules SET next_at = clock_timestamp() + interval '15 seconds'
 WHERE id IN (SELECT s.id FROM schedules s WHERE s.next_at <= clock_timestamp() ORDER BY s.next_at LIMIT @max_rows FOR UPDATE SKIP LOCKED)
RETURNING *;

-- What Temporal was told holds unless the status has changed since. A schedule
-- that pays once is looked at again when its time has passed, in case Temporal
-- was told too late.
-- name: ScheduleTold :exec
UPDATE schedules SET next_at = CASE WHEN NOT @over::boolean THEN CASE WHEN once_at IS NOT NULL THEN greatest(once_at, clock_timestamp()) + CASE status WHEN 'paused' THEN interval '1 hour' ELSE interval '15 seconds' END END END
 WHERE id = @id AND (status IN ('completed', 'canceled')) = @over::boolean;

-- name: TellSchedule :exec
UPDATE schedules SET next_at = clock_timestamp() WHERE id = @id;

-- Later than this nothing of a schedule is paid, whenever it was due.
-- name: CompleteEndedSchedules :exec
UPDATE schedules SET status = 'completed', updated_at = clock_timestamp(), next_at = clock_timestamp()
 WHERE ends_at IS NOT NULL AND status IN ('active', 'paused') AND ends_at + make_interval(secs => catch_up_seconds + 60) < clock_timestamp()
   AND NOT EXISTS (SELECT 1 FROM schedule_runs r WHERE r.schedule_id = schedules.id AND r.status IN ('held', 'due'));

-- name: GetScheduleRun :one
SELECT * FROM schedule_runs WHERE schedule_id = @schedule_id AND due_at = @due_at;

-- name: ListScheduleRuns :many
SELECT * FROM schedule_runs
 WHERE schedule_id = @schedule_id AND (sqlc.narg(before)::timestamptz IS NULL OR due_at < sqlc.narg(before)::timestamptz)
 ORDER BY due_at DESC
 LIMIT @max_rows;

-- name: SkippedRuns :many
SELECT due_at FROM schedule_runs WHERE schedule_id = @schedule_id AND status = 'skipped' AND due_at > @after ORDER BY due_at;

-- name: SaveScheduleRun :one
INSERT INTO schedule_runs (schedule_id, due_at, status, intent_id, failure_code, failure_message)
VALUES (@schedule_id, @due_at, @status, sqlc.narg(intent_id), @failure_code, @failure_message)
ON CONFLICT (schedule_id, due_at) DO UPDATE
   SET status = excluded.status, intent_id = excluded.intent_id, failure_code = excluded.failure_code,
       failure_message = excluded.failure_message, next_at = NULL, updated_at = clock_timestamp()
RETURNING *;

-- What was due while the schedule was paused is now due, or never.
-- name: DecideWaitingRuns :exec
UPDATE schedule_runs
   SET status = @status, next_at = CASE WHEN @status::text = 'due' THEN clock_timestamp() END, updated_at = clock_timestamp()
 WHERE schedule_id = @schedule_id AND status IN ('held', 'due');

-- name: TakeDueRuns :many
UPDATE schedule_runs SET next_at = clock_timestamp() + interval '30 seconds'
 WHERE (schedule_id, due_at) IN (SELECT r.schedule_id, r.due_at FROM schedule_runs r WHERE r.next_at <= clock_timestamp() ORDER BY r.next_at LIMIT @max_rows FOR UPDATE SKIP LOCKED)
RETURNING *;

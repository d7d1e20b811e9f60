-- Serializes what counts a merchant's rows before it adds one. No rows: no such merchant.
-- name: LockMerchant :one
SELECT id FROM merchants WHERE id = @merchant_id FOR NO KEY UPDATE;

-- No rows: the merchant has max_endpoints in this mode already. Needs LockMerchant.
-- name: InsertWebhookEndpoint :one
INSERT INTO webhook_endpoints (id, merchant_id, mode, url, description, event_types, api_version, secret, secret_key_id)
SELECT @id, @merchant_id, @mode, @url, @description, @event_types::text[], @api_version, @secret, @secret_key_id
 WHERE (SELECT count(*) FROM webhook_endpoints e
         WHERE e.merchant_id = @merchant_id AND e.mode = @mode AND e.state = 'enabled') < @max_endpoints::int
RETURNING *;

-- name: ListWebhookEndpoints :many
SELECT * FROM webhook_endpoints WHERE merchant_id = @merchant_id AND mode = @mode AND state <> 'deleted' ORDER BY created_at, id;

-- name: GetWebhookEndpoint :one
SELECT * FROM webhook_endpoints WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode AND state <> 'deleted';

-- What is not given stays. Another URL begins with a clean record.
-- name: UpdateWebhookEndpoint :one
UPDATE webhook_endpoints w
   SET url = coalesce(sqlc.narg(url), w.url), description = coalesce(sqlc.narg(description), w.description),
       event_types = coalesce(sqlc.narg(event_types)::text[], w.event_types),
       failures = CASE WHEN coalesce(sqlc.narg(url), w.url) = w.url THEN w.failures ELSE 0 END,
       failing_since = CASE WHEN coalesce(sqlc.narg(url), w.url) = w.url THEN w.failing_since END,
       updated_at = clock_timestamp()
 WHERE w.id = @id AND w.merchant_id = @merchant_id AND w.mode = @mode AND w.state <> 'deleted'
RETURNING *;

-- No rows: as many are enabled as may be. Needs LockMerchant.
-- name: EnableWebhookEndpoint :one
UPDATE webhook_endpoints w
   SET state = 'enabled', disabled_reason = '', failures = 0, failing_since = NULL, updated_at = clock_timestamp()
 WHERE w.id = @id AND w.state = 'disabled'
   AND (SELECT count(*) FROM webhook_endpoints e
         WHERE e.merchant_id = w.merchant_id AND e.mode = w.mode AND e.state = 'enabled') < @max_endpoints::int
RETURNING *;

-- No rows: the merchant has no such endpoint in this mode.
-- name: DisableWebhookEndpoint :one
UPDATE webhook_endpoints
   SET state = 'disabled',
       disabled_reason = CASE WHEN state = 'disabled' THEN disabled_reason ELSE 'merchant' END,
       updated_at = CASE WHEN state = 'disabled' THEN updated_at ELSE clock_timestamp() END
 WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode AND state <> 'deleted'
RETURNING *;

-- No rows: it is disabled already.
-- name: GiveUpWebhookEndpoint :one
UPDATE webhook_endpoints SET state = 'disabled', disabled_reason = @reason, updated_at = clock_timestamp()
 WHERE id = @id AND state = 'enabled'
RETURNING *;

-- What is still due at it is discarded when its turn comes; its log stays.
-- name: DeleteWebhookEndpoint :execrows
UPDATE webhook_endpoints SET state = 'deleted', updated_at = clock_timestamp()
 WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode AND state <> 'deleted';

-- name: LockWebhookEndpoint :one
SELECT * FROM webhook_endpoints WHERE id = @id AND state <> 'deleted' FOR NO KEY UPDATE;

-- name: LockMerchantWebhookEndpoint :one
SELECT * FROM webhook_endpoints WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode AND state <> 'deleted' FOR NO KEY UPDATE;

-- The previous secret signs for overlap_seconds more; both NULL: no more.
-- name: RotateWebhookSecret :one
UPDATE webhook_endpoints
   SET secret = @secret, secret_key_id = @secret_key_id, previous_secret = sqlc.narg(previous_secret),
       previous_secret_until = clock_timestamp() + make_interval(secs => sqlc.narg(overlap_seconds)::float8),
       updated_at = clock_timestamp()
 WHERE id = @id
RETURNING *;

-- name: ListWebhookEndpointsToReseal :many
SELECT id FROM webhook_endpoints WHERE state <> 'deleted' AND secret_key_id <> @secret_key_id ORDER BY id;

-- A previous secret that has expired is forgotten.
-- name: ResealWebhookSecrets :exec
UPDATE webhook_endpoints
   SET secret = @secret, secret_key_id = @secret_key_id,
       previous_secret = CASE WHEN previous_secret_until > clock_timestamp() THEN sqlc.narg(previous_secret)::bytea END,
       previous_secret_until = CASE WHEN previous_secret_until > clock_timestamp() THEN previous_secret_until END
 WHERE id = @id;

-- An event that is about no payment; its number within its object is always 1.
-- name: InsertEvent :exec
INSERT INTO events (id, merchant_id, mode, sequence, type, body, created_at)
VALUES (@id, @merchant_id, @mode, 1, @type, @body, @created_at);

-- name: InsertDelivery :exec
INSERT INTO webhook_deliveries (event_id, endpoint_id) VALUES (@event_id, @endpoint_id);

-- name: EventRecipients :many
SELECT endpoint_id FROM webhook_deliveries WHERE event_id = @event_id ORDER BY endpoint_id;

-- Everything that an intent's open deliveries need, in the order to send them.
-- Those are behind that probes others wait before at their endpoint.
-- name: PendingDeliveries :many
SELECT d.event_id, d.endpoint_id, d.intent_id, d.attempts, d.scheduled_from, d.next_due, e.body,
       (@probes::integer <= (
         SELECT count(*) FROM (SELECT FROM webhook_deliveries q
           WHERE q.endpoint_id = d.endpoint_id AND q.state = 'pending' AND q.event_id < d.event_id LIMIT @probes::integer) ahead))::boolean AS behind,
       w.url, w.mode, w.secret, w.state AS endpoint_state, w.failures,
       (CASE WHEN w.previous_secret_until > clock_timestamp() THEN w.previous_secret END)::bytea AS previous_secret
  FROM webhook_deliveries d
  JOIN events e ON e.id = d.event_id
  JOIN webhook_endpoints w ON w.id = d.endpoint_id
 WHERE d.intent_id = @intent_id::text AND d.state = 'pending'
 ORDER BY d.endpoint_id, e.sequence;

-- One delivery in any state; due_in_ms says how far ahead it is due by the
-- database's clock, negative if it has been due for a while.
-- name: Delivery :one
SELECT d.event_id, d.endpoint_id, d.intent_id, d.state, d.attempts, d.scheduled_from, d.next_due, e.body,
       w.url, w.mode, w.secret, w.state AS endpoint_state, w.failures,
       (CASE WHEN w.previous_secret_until > clock_timestamp() THEN w.previous_secret END)::bytea AS previous_secret,
       (extract(epoch FROM coalesce(d.next_due, d.created_at) - clock_timestamp()) * 1000)::bigint AS due_in_ms
  FROM webhook_deliveries d
  JOIN events e ON e.id = d.event_id
  JOIN webhook_endpoints w ON w.id = d.endpoint_id
 WHERE d.event_id = @event_id AND d.endpoint_id = @endpoint_id;

-- Appends one attempt per element of the arrays and moves its delivery on, in
-- one statement. Rows are locked in key order before any changes, and the
-- number of an attempt is counted under that lock, so that two runs of the
-- same delivery get different numbers and cannot deadlock. "delivered" wins
-- over every other state; otherwise a delivery that has ended stays as it
-- ended. The record of each endpoint that fails, or did, is kept up: health has
-- one row per endpoint, with the failures behind its last success, if any.
-- name: RecordAttempts :many
WITH tried AS (
  SELECT unnest(@event_ids::text[]) AS event_id, unnest(@endpoint_ids::text[]) AS endpoint_id,
         unnest(@states::text[]) AS state, unnest(@retry_in_ms::bigint[]) AS retry_in_ms,
         unnest(@statuses::int[]) AS status, unnest(@errors::text[]) AS error, unnest(@responses::bytea[]) AS response,
         unnest(@durations_ms::int[]) AS duration_ms, unnest(@sent_at::timestamptz[]) AS sent_at
), locked AS (
  SELECT d.event_id, d.endpoint_id FROM webhook_deliveries d JOIN tried t ON t.event_id = d.event_id AND t.endpoint_id = d.endpoint_id
   ORDER BY d.event_id, d.endpoint_id FOR NO KEY UPDATE OF d
), moved AS (
  UPDATE webhook_deliveries d
     SET attempts = d.attempts + 1,
         state = CASE WHEN d.state = 'pending' OR t.state = 'delivered' THEN t.state ELSE d.state END,
         next_due = CASE WHEN d.state = 'pending' AND t.state = 'pending'
                         THEN clock_timestamp() + t.retry_in_ms * interval '1 millisecond' END,
         updated_at = clock_timestamp()
    FROM locked l JOIN tried t ON t.event_id = l.event_id AND t.endpoint_id = l.endpoint_id
   WHERE d.event_id = l.event_id AND d.endpoint_id = l.endpoint_id
  RETURNING d.event_id, d.endpoint_id, d.attempts, d.state, d.next_due
), recorded AS (
  INSERT INTO webhook_attempts (event_id, endpoint_id, attempt, status, error, response, duration_ms, next_due, sent_at)
  SELECT m.event_id, m.endpoint_id, m.attempts, t.status, t.error, t.response, t.duration_ms, m.next_due, t.sent_at
    FROM moved m JOIN tried t ON t.event_id = m.event_id AND t.endpoint_id = m.endpoint_id
), health AS (
  SELECT unnest(@health_ids::text[]) AS id, unnest(@succeeded::boolean[]) AS succeeded,
         unnest(@failures::int[]) AS failures, unnest(@failing_since::timestamptz[]) AS since
), watched AS (
  SELECT w.id FROM webhook_endpoints w JOIN health h ON h.id = w.id
   WHERE h.failures > 0 OR w.failures > 0
   ORDER BY w.id FOR NO KEY UPDATE OF w
), judged AS (
  UPDATE webhook_endpoints w
     SET failures = CASE WHEN h.succeeded THEN 0 ELSE w.failures END + h.failures,
         failing_since = CASE WHEN h.failures = 0 THEN NULL WHEN h.succeeded THEN h.since ELSE coalesce(w.failing_since, h.since) END
    FROM watched l JOIN health h ON h.id = l.id
   WHERE w.id = l.id
  RETURNING w.id, w.failures, extract(epoch FROM clock_timestamp() - w.failing_since) AS failing_seconds
)
SELECT m.event_id, m.endpoint_id, m.attempts, m.state, m.next_due,
       coalesce(j.failures, 0)::int AS failures, coalesce(j.failing_seconds, 0)::float8 AS failing_seconds
  FROM moved m LEFT JOIN judged j ON j.id = m.endpoint_id;

-- Ends deliveries whose endpoint was disabled before they were tried.
-- name: DiscardDeliveries :exec
UPDATE webhook_deliveries d
   SET state = 'discarded', next_due = NULL, updated_at = clock_timestamp()
  FROM (SELECT unnest(@event_ids::text[]) AS event_id, unnest(@endpoint_ids::text[]) AS endpoint_id) x
 WHERE d.event_id = x.event_id AND d.endpoint_id = x.endpoint_id AND d.state = 'pending';

-- The delivery log of one delivery, oldest first.
-- name: DeliveryAttempts :many
SELECT attempt, status, error, response, duration_ms, next_due, sent_at
  FROM webhook_attempts WHERE event_id = @event_id AND endpoint_id = @endpoint_id ORDER BY attempt;

-- Makes one delivery due now, with the whole schedule before it, whatever
-- became of it. One that is due already stays as it is.
-- name: ResendDelivery :exec
INSERT INTO webhook_deliveries AS d (event_id, endpoint_id, intent_id)
SELECT e.id, w.id, e.intent_id FROM events e JOIN webhook_endpoints w ON w.merchant_id = e.merchant_id AND w.mode = e.mode
 WHERE e.id = @event_id AND w.id = @endpoint_id
ON CONFLICT (event_id, endpoint_id) DO UPDATE
   SET state = 'pending', next_due = clock_timestamp(), scheduled_from = d.attempts, updated_at = clock_timestamp()
 WHERE d.state <> 'pending' OR d.next_due > clock_timestamp();

-- Does the same for the events of a time span that the endpoint subscribes to,
-- oldest first, behind a cursor. which: failed (ended without delivery, or
-- waiting for the next attempt after a failure), missing (never due at it) or
-- all.
-- name: ReplayDeliveries :many
INSERT INTO webhook_deliveries AS d (event_id, endpoint_id, intent_id)
SELECT e.id, w.id, e.intent_id
  FROM webhook_endpoints w
  JOIN events e ON e.merchant_id = w.merchant_id AND e.mode = w.mode
  LEFT JOIN webhook_deliveries old ON old.event_id = e.id AND old.endpoint_id = w.id
 WHERE w.id = @endpoint_id AND e.created_at >= @since AND e.created_at < @until AND e.id > @after_event_id
   AND subscribes(w.event_types, e.type)
   AND CASE @which::text
       WHEN 'missing' THEN old.event_id IS NULL
       WHEN 'failed' THEN old.state IN ('exhausted', 'discarded') OR (old.state = 'pending' AND old.attempts > 0 AND old.next_due > clock_timestamp())
       ELSE true END
 ORDER BY e.id
 LIMIT @max_rows
ON CONFLICT (event_id, endpoint_id) DO UPDATE
   SET state = 'pending', next_due = clock_timestamp(), scheduled_from = d.attempts, updated_at = clock_timestamp()
RETURNING d.event_id;

-- A page of the delivery log of an endpoint, newest event first.
-- name: ListEndpointDeliveries :many
SELECT d.event_id, d.endpoint_id, d.intent_id, d.state, d.attempts, d.next_due, d.created_at, d.updated_at, e.type AS event_type
  FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
 WHERE d.endpoint_id = @endpoint_id
   AND (sqlc.narg(before_event_id)::text IS NULL OR d.event_id < sqlc.narg(before_event_id)::text)
   AND (sqlc.narg(states)::text[] IS NULL OR d.state = ANY (sqlc.narg(states)::text[]))
 ORDER BY d.event_id DESC
 LIMIT @max_rows;

-- Where an event went; at most one row per endpoint the merchant ever had.
-- name: ListEventDeliveries :many
SELECT d.event_id, d.endpoint_id, d.intent_id, d.state, d.attempts, d.next_due, d.created_at, d.updated_at, e.type AS event_type
  FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
 WHERE d.event_id = @event_id
   AND (sqlc.narg(states)::text[] IS NULL OR d.state = ANY (sqlc.narg(states)::text[]))
 ORDER BY d.endpoint_id;

-- Deliveries that should have been tried long ago, of each endpoint in turn the
-- oldest first, and of one that keeps failing the oldest only; those of open
-- intents are left to their payments.
-- name: OverdueDeliveries :many
SELECT o.event_id, o.endpoint_id
  FROM webhook_endpoints w
  CROSS JOIN LATERAL (
    SELECT d.event_id, d.endpoint_id, row_number() OVER (ORDER BY d.event_id) AS place
      FROM webhook_deliveries d LEFT JOIN payment_intents p ON p.id = d.intent_id
     WHERE d.endpoint_id = w.id AND d.state = 'pending' AND (d.intent_id IS NULL OR p.closed_at IS NOT NULL OR p.status = 'manual_review')
       AND coalesce(d.next_due, d.created_at) < clock_timestamp() - make_interval(secs => @overdue_seconds::float8)
     ORDER BY d.event_id
     LIMIT CASE WHEN w.state = 'enabled' AND w.failures >= @failing_after::integer THEN 1 ELSE @max_rows::integer END
  ) o
 ORDER BY o.place, o.event_id, o.endpoint_id
 LIMIT @max_rows::integer;

-- Every attempt at every endpoint for the events of an intent, oldest first.
-- name: ListIntentWebhookAttempts :many
SELECT a.event_id, a.endpoint_id, a.attempt, a.status, a.error, a.sent_at, e.type AS event_type
  FROM events e JOIN webhook_attempts a ON a.event_id = e.id
 WHERE e.intent_id = @intent_id
 ORDER BY a.sent_at, a.event_id, a.endpoint_id, a.attempt
 LIMIT @max_rows;

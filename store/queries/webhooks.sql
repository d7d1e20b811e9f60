-- Serializes what counts a merchant's rows before it adds one. No rows: no such merchant.
-- name: LockMerchant :one
SELECT id FROM merchants WHERE id = @merchant_id FOR NO KEY UPDATE;

-- No rows: the merchant has max_endpoints in this mode already. Needs LockMerchant.
-- name: InsertWebhookEndpoint :one
INSERT INTO webhook_endpoints (id, merchant_id, mode, url, event_types, api_version, secret, secret_key_id)
SELECT @id, @merchant_id, @mode, @url, @event_types::text[], @api_version, @secret, @secret_key_id
 WHERE (SELECT count(*) FROM webhook_endpoints e
         WHERE e.merchant_id = @merchant_id AND e.mode = @mode AND e.state = 'enabled') < @max_endpoints::int
RETURNING *;

-- name: ListWebhookEndpoints :many
SELECT * FROM webhook_endpoints WHERE merchant_id = @merchant_id AND mode = @mode ORDER BY created_at, id;

-- No rows: the merchant has no such endpoint in this mode.
-- name: DisableWebhookEndpoint :one
UPDATE webhook_endpoints
   SET state = 'disabled', updated_at = CASE WHEN state = 'disabled' THEN updated_at ELSE clock_timestamp() END
 WHERE id = @id AND merchant_id = @merchant_id AND mode = @mode
RETURNING *;

-- Everything that an intent's open deliveries need, in the order to send them.
-- name: PendingDeliveries :many
SELECT d.event_id, d.endpoint_id, d.intent_id, d.attempts, d.next_due, e.body,
       w.url, w.mode, w.secret, w.state AS endpoint_state
  FROM webhook_deliveries d
  JOIN events e ON e.id = d.event_id
  JOIN webhook_endpoints w ON w.id = d.endpoint_id
 WHERE d.intent_id = @intent_id AND d.state = 'pending'
 ORDER BY d.endpoint_id, e.sequence;

-- One delivery in any state; due_in_ms says how far next_due lies ahead by the database's clock.
-- name: Delivery :one
SELECT d.event_id, d.endpoint_id, d.intent_id, d.state, d.attempts, d.next_due, e.body,
       w.url, w.mode, w.secret, w.state AS endpoint_state,
       coalesce(extract(epoch FROM d.next_due - clock_timestamp()) * 1000, 0)::bigint AS due_in_ms
  FROM webhook_deliveries d
  JOIN events e ON e.id = d.event_id
  JOIN webhook_endpoints w ON w.id = d.endpoint_id
 WHERE d.event_id = @event_id AND d.endpoint_id = @endpoint_id;

-- Appends one attempt per element of the arrays and moves its delivery on, in
-- one statement. Rows are locked in key order before any changes, and the
-- number of an attempt is counted under that lock, so that two runs of the
-- same delivery get different numbers and cannot deadlock. "delivered" wins
-- over every other state; otherwise a delivery that has ended stays as it
-- ended. A delivery that is given up as discarded takes its endpoint with it.
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
), gone AS (
  UPDATE webhook_endpoints w SET state = 'disabled', updated_at = clock_timestamp()
   WHERE w.state = 'enabled' AND w.id IN (SELECT t.endpoint_id FROM tried t WHERE t.state = 'discarded')
)
SELECT m.event_id, m.endpoint_id, m.attempts, m.state, m.next_due FROM moved m;

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

-- Deliveries of ended intents that should have been tried long ago.
-- name: OverdueDeliveries :many
SELECT d.event_id, d.endpoint_id FROM webhook_deliveries d JOIN payment_intents p ON p.id = d.intent_id
 WHERE d.state = 'pending' AND p.closed_at IS NOT NULL
   AND coalesce(d.next_due, d.created_at) < clock_timestamp() - make_interval(secs => @overdue_seconds::float8)
 ORDER BY d.created_at, d.event_id, d.endpoint_id
 LIMIT @max_rows;

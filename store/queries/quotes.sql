-- name: InsertQuote :one
INSERT INTO quotes (id, merchant_id, mode, decision, chain, fee, expires_at)
VALUES (@id, @merchant_id, @mode, @decision, @chain, @fee, clock_timestamp() + make_interval(secs => @valid_seconds::float8))
RETURNING *;

-- name: GetQuote :one
SELECT * FROM quotes WHERE id = @id;

-- With the payment that it made; '' if it was not used.
-- name: GetMerchantQuote :one
SELECT sqlc.embed(q), coalesce(p.id, '')::text AS used_by
  FROM quotes q LEFT JOIN payment_intents p ON p.quote_id = q.id
 WHERE q.id = @id AND q.merchant_id = @merchant_id AND q.mode = @mode;

-- Whom the merchant has paid whose address has the same ends and is another,
-- the first one first.
-- name: ListLookAlikes :many
SELECT address, chain, intent_id, paid_at FROM recipients
 WHERE merchant_id = @merchant_id AND mode = @mode AND ends = address_ends(@address::text) AND address <> @address::text
 ORDER BY paid_at, address
 LIMIT @max_rows;

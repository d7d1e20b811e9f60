-- name: PutSponsorship :exec
INSERT INTO sponsorships (merchant_id, max_fee, max_fee_per_day) VALUES (@merchant_id, @max_fee, @max_fee_per_day)
ON CONFLICT (merchant_id) DO UPDATE SET max_fee = excluded.max_fee, max_fee_per_day = excluded.max_fee_per_day;

-- name: DeleteSponsorship :execrows
DELETE FROM sponsorships WHERE merchant_id = @merchant_id;

-- name: GetSponsorship :one
SELECT max_fee, max_fee_per_day FROM sponsorships WHERE merchant_id = @merchant_id;

-- Adds a payment's highest fee to its merchant's day, if the day's limit allows
-- it; else, or without sponsorship, no row. The day's row is locked from here
-- on, so that the sum and its check are one.
-- name: CommitSponsoredFee :execrows
INSERT INTO sponsored_days AS d (merchant_id, day, committed)
SELECT s.merchant_id, (clock_timestamp() AT TIME ZONE 'UTC')::date, @max_fee::numeric
  FROM sponsorships s WHERE s.merchant_id = @merchant_id AND s.max_fee_per_day >= @max_fee::numeric
ON CONFLICT (merchant_id, day) DO UPDATE SET committed = d.committed + excluded.committed
 WHERE d.committed + excluded.committed <= (SELECT s.max_fee_per_day FROM sponsorships s WHERE s.merchant_id = d.merchant_id);

-- A transaction that takes the same authorization at the same time is waited
-- for; 0 rows if it is taken.
-- name: TakeAuthorization :execrows
INSERT INTO sponsored_authorizations (chain, token, payer, nonce, intent_id) VALUES (@chain, @token, @payer, @nonce, @intent_id)
ON CONFLICT (chain, token, payer, nonce) DO NOTHING;

-- name: AuthorizationOwner :one
SELECT p.id, p.merchant_id, p.mode FROM sponsored_authorizations a JOIN payment_intents p ON p.id = a.intent_id
 WHERE a.chain = @chain AND a.token = @token AND a.payer = @payer AND a.nonce = @nonce;

-- name: LedgerAccount :one
SELECT ledger_account(sqlc.arg(kind)::text, sqlc.arg(owner)::text, sqlc.arg(asset)::text)::bigint AS id;

-- name: LedgerHold :one
SELECT hold_id::uuid AS id, posted::numeric AS posted, held::numeric AS held, at::timestamptz AS at
  FROM ledger_hold_merchant(sqlc.arg(reference)::text, sqlc.arg(owner)::text, sqlc.arg(asset)::text, sqlc.arg(amount)::numeric, sqlc.narg(intent_id)::text);

-- Amounts are decimal text.
-- name: LedgerHoldParts :many
SELECT intent::text AS intent_id, part::uuid AS id FROM ledger_hold_parts(sqlc.arg(hold_id)::uuid, sqlc.arg(intent_ids)::text[], sqlc.arg(amounts)::text[]::numeric[]);

-- name: LedgerVoid :one
SELECT ledger_void(sqlc.arg(reference)::text, sqlc.arg(hold_id)::uuid, sqlc.narg(intent_id)::text)::uuid AS id;

-- Amounts are signed decimal text: positive debits, negative credits.
-- name: LedgerPost :one
SELECT ledger_post(sqlc.arg(reference)::text, sqlc.narg(hold_id)::uuid, sqlc.narg(intent_id)::text, sqlc.narg(effective_at)::timestamptz,
                   sqlc.arg(accounts)::bigint[], sqlc.arg(amounts)::text[]::numeric[])::uuid AS id;

-- name: FlooredBalance :one
SELECT (credits_posted - debits_posted)::numeric AS posted, debits_pending AS held FROM ledger_accounts
 WHERE kind = @kind AND owner = @owner AND asset = @asset AND floored;

-- Sums of entries: positive is a debit balance.
-- name: PlatformBalances :many
SELECT a.kind, a.owner, a.asset, coalesce(sum(e.amount), 0)::text AS balance
  FROM ledger_accounts a LEFT JOIN ledger_entries e ON e.account_id = a.id
 WHERE NOT a.floored
 GROUP BY a.id
 ORDER BY a.owner, a.kind, a.asset;

-- name: CountLedger :one
SELECT (SELECT count(*) FROM ledger_transfers) AS transfers,
       (SELECT count(*) FROM ledger_entries) AS entries,
       (SELECT count(*) FROM payment_intents) AS intents,
       (SELECT count(*) FROM events) AS events,
       clock_timestamp()::timestamptz AS at;

-- The replay of the books: each query lists breaches of one rule as
-- (object, expected, found), at most max_rows of them, and none if all is well.

-- name: CheckTransferSums :many
SELECT (t.reference || ' ' || e.asset)::text AS object, '0'::text AS expected, sum(e.amount)::text AS found
  FROM ledger_entries e JOIN ledger_transfers t ON t.id = e.transfer_id
 GROUP BY t.reference, e.asset HAVING sum(e.amount) <> 0
 ORDER BY 1 LIMIT @max_rows;

-- name: CheckTransferEntries :many
SELECT t.reference AS object,
       (CASE WHEN t.phase IN ('hold', 'void') THEN '0 entries' ELSE '2 entries or more' END)::text AS expected,
       (count(e.transfer_id)::text || ' entries')::text AS found
  FROM ledger_transfers t LEFT JOIN ledger_entries e ON e.transfer_id = t.id
 GROUP BY t.id
HAVING (t.phase IN ('hold', 'void') AND count(e.transfer_id) > 0) OR (t.phase NOT IN ('hold', 'void') AND count(e.transfer_id) < 2)
 ORDER BY 1 LIMIT @max_rows;

-- name: CheckAssetSums :many
SELECT asset AS object, '0'::text AS expected, sum(amount)::text AS found
  FROM ledger_entries GROUP BY asset HAVING sum(amount) <> 0 ORDER BY 1 LIMIT @max_rows;

-- What is owed and what is held meet in the conversion accounts of a chain.
-- name: CheckConversions :many
SELECT ('conversion ' || a.owner || ' ' || split_part(a.asset, '.', 1))::text AS object, '0'::text AS expected, sum(e.amount)::text AS found
  FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id
 WHERE a.kind = 'conversion'
 GROUP BY a.owner, split_part(a.asset, '.', 1) HAVING sum(e.amount) <> 0
 ORDER BY 1 LIMIT @max_rows;

-- name: CheckBalances :many
WITH sums AS (
  SELECT account_id, count(*) AS entries,
         coalesce(sum(amount) FILTER (WHERE amount > 0), 0) AS debits, coalesce(-sum(amount) FILTER (WHERE amount < 0), 0) AS credits
    FROM ledger_entries GROUP BY account_id
), open_holds AS (
  SELECT h.hold_account AS account_id, sum(h.hold_amount - coalesce(parts.amount, 0)) AS pending
    FROM ledger_transfers h
    LEFT JOIN (SELECT part_of, sum(hold_amount) AS amount FROM ledger_transfers WHERE part_of IS NOT NULL GROUP BY part_of) parts ON parts.part_of = h.id
   WHERE h.phase = 'hold' AND NOT EXISTS (SELECT 1 FROM ledger_transfers r WHERE r.pending_id = h.id)
   GROUP BY h.hold_account
), replayed AS (
  SELECT a.id, a.kind, a.owner, a.asset,
         format('debits %s, credits %s, pending %s, version %s', a.debits_posted, a.credits_posted, a.debits_pending, a.version) AS found,
         CASE WHEN a.floored
              THEN format('debits %s, credits %s, pending %s, version %s', coalesce(s.debits, 0), coalesce(s.credits, 0), coalesce(o.pending, 0), coalesce(s.entries, 0))
              ELSE 'debits 0, credits 0, pending 0, version 0' END AS expected
    FROM ledger_accounts a LEFT JOIN sums s ON s.account_id = a.id LEFT JOIN open_holds o ON o.account_id = a.id
)
SELECT (kind || ' ' || owner || ' ' || asset)::text AS object, expected::text AS expected, found::text AS found
  FROM replayed WHERE found <> expected ORDER BY id LIMIT @max_rows;

-- name: CheckAccountVersions :many
WITH chain AS (
  SELECT e.account_id, e.account_version, e.balance_after,
         row_number() OVER w AS version, sum(-e.amount) OVER w AS balance
    FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id
   WHERE a.floored
  WINDOW w AS (PARTITION BY e.account_id ORDER BY e.account_version ROWS UNBOUNDED PRECEDING)
)
SELECT ('account ' || account_id || ' entry ' || version)::text AS object,
       format('version %s, balance %s', version, balance)::text AS expected,
       format('version %s, balance %s', account_version, balance_after)::text AS found
  FROM chain WHERE account_version IS DISTINCT FROM version OR balance_after IS DISTINCT FROM balance
 ORDER BY account_id, version LIMIT @max_rows;

-- name: CheckFloors :many
SELECT ('account ' || e.account_id || ' entry ' || e.account_version)::text AS object, '0 or more'::text AS expected, e.balance_after::text AS found
  FROM ledger_entries e WHERE e.balance_after < 0 ORDER BY e.account_id, e.account_version LIMIT @max_rows;

-- A hold is resolved at most once, by a transfer that spends no more than it.
-- name: CheckHolds :many
WITH resolved AS (
  SELECT r.pending_id, count(*) AS times, bool_and(h.phase = 'hold') AS of_holds, max(h.reference) AS reference, max(h.hold_amount) AS held,
         coalesce(max((SELECT sum(e.amount) FROM ledger_entries e WHERE e.transfer_id = r.id AND e.account_id = h.hold_account)), 0) AS spent
    FROM ledger_transfers r JOIN ledger_transfers h ON h.id = r.pending_id
   GROUP BY r.pending_id
)
SELECT reference::text AS object, format('resolved at most once, at most %s', held)::text AS expected,
       format('resolved %s times, %s%s', times, spent, CASE WHEN of_holds THEN '' ELSE ', not a hold' END)::text AS found
  FROM resolved WHERE times > 1 OR NOT of_holds OR spent > held ORDER BY 1 LIMIT @max_rows;

-- An intent's hold is its amount of its merchant's account in its mode; it is open as long
-- as the intent is, then posted if it was settled and void otherwise. A sponsored one holds nothing.
-- name: CheckIntentHolds :many
WITH judged AS (
  SELECT p.id,
         format('%s of %s:%s: %s', p.amount, p.merchant_id, p.mode,
                CASE WHEN p.status = 'settled' THEN 'post'
                     WHEN p.status IN ('failed', 'canceled', 'expired', 'rejected') THEN 'void' ELSE 'open' END) AS expected,
         format('%s of %s: %s', h.hold_amount, a.owner, coalesce(r.phase, 'open')) AS found
    FROM payment_intents p
    LEFT JOIN ledger_transfers h ON h.id = p.hold_id AND h.phase = 'hold'
    LEFT JOIN ledger_accounts a ON a.id = h.hold_account
    LEFT JOIN ledger_transfers r ON r.pending_id = h.id
   WHERE p.payer_authorization IS NULL
)
SELECT id AS object, expected::text AS expected, found::text AS found FROM judged WHERE found <> expected ORDER BY id LIMIT @max_rows;

-- A batch's hold is its amount of its merchant's account in its mode, there since it was
-- started and open until it ended; its parts are its payments, and no more than it.
-- name: CheckBatchHolds :many
WITH parts AS (
  SELECT part_of, sum(hold_amount) AS amount, count(*) AS n FROM ledger_transfers WHERE part_of IS NOT NULL GROUP BY part_of
), payments AS (
  SELECT batch_id, sum(amount) AS amount, count(*) AS n FROM payment_intents WHERE batch_id IS NOT NULL GROUP BY batch_id
), judged AS (
  SELECT b.id,
         CASE WHEN b.hold_id IS NULL THEN 'none'
              ELSE format('%s of %s:%s: %s, %s parts of %s', b.amount, b.merchant_id, b.mode,
                          CASE WHEN b.status = 'processing' THEN 'open' ELSE 'void' END, coalesce(p.n, 0), coalesce(p.amount, 0)) END AS expected,
         CASE WHEN b.hold_id IS NULL AND NOT EXISTS (SELECT 1 FROM ledger_transfers x WHERE x.reference = b.id || ':hold') THEN 'none'
              ELSE format('%s of %s: %s, %s parts of %s%s', h.hold_amount, a.owner, coalesce(r.phase, 'open'), coalesce(x.n, 0), coalesce(x.amount, 0),
                          CASE WHEN x.amount > h.hold_amount THEN ', more than it' ELSE '' END) END AS found
    FROM batches b
    LEFT JOIN ledger_transfers h ON h.id = b.hold_id AND h.phase = 'hold'
    LEFT JOIN ledger_accounts a ON a.id = h.hold_account
    LEFT JOIN ledger_transfers r ON r.pending_id = h.id
    LEFT JOIN parts x ON x.part_of = h.id
    LEFT JOIN payments p ON p.batch_id = b.id
)
SELECT id AS object, expected::text AS expected, found::text AS found FROM judged WHERE found <> expected ORDER BY id LIMIT @max_rows;

-- name: CheckHoldsWithoutIntent :many
SELECT h.reference AS object, 'an intent or a batch'::text AS expected, 'none'::text AS found
  FROM ledger_transfers h
 WHERE h.phase = 'hold' AND NOT EXISTS (SELECT 1 FROM payment_intents p WHERE p.id = h.intent_id AND p.hold_id = h.id)
   AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.hold_id = h.id)
 ORDER BY 1 LIMIT @max_rows;

-- A settled intent has one paid outcome of its amount; every other has none.
-- name: CheckOutcomes :many
WITH judged AS (
  SELECT p.id,
         CASE WHEN p.status = 'settled' THEN format('paid once, %s', p.amount) ELSE 'not paid' END AS expected,
         CASE count(o.slot_id) WHEN 0 THEN 'not paid' WHEN 1 THEN format('paid once, %s', max(o.amount))
              ELSE format('paid %s times, %s', count(o.slot_id), sum(o.amount)) END AS found
    FROM payment_intents p LEFT JOIN outcomes o ON o.intent_id = p.id AND o.result = 'paid'
   GROUP BY p.id
)
SELECT id AS object, expected::text AS expected, found::text AS found FROM judged WHERE found <> expected ORDER BY id LIMIT @max_rows;

-- A settled intent has one transfer that takes its amount from its merchant;
-- every other, and a sponsored one, has none.
-- name: CheckSettlements :many
WITH taken AS (
  SELECT t.intent_id, count(DISTINCT t.id) AS transfers, sum(e.amount) AS amount, string_agg(DISTINCT t.reference, ' ') AS refs
    FROM ledger_transfers t
    JOIN ledger_entries e ON e.transfer_id = t.id
    JOIN ledger_accounts a ON a.id = e.account_id AND a.kind = 'merchant_available'
   WHERE t.intent_id IS NOT NULL
   GROUP BY t.intent_id
), judged AS (
  SELECT p.id,
         CASE WHEN p.status = 'settled' AND p.payer_authorization IS NULL THEN format('1 transfer %s:settle, %s', p.id, p.amount) ELSE 'no transfer' END AS expected,
         CASE WHEN t.intent_id IS NULL THEN 'no transfer' ELSE format('%s transfer %s, %s', t.transfers, t.refs, t.amount) END AS found
    FROM payment_intents p LEFT JOIN taken t ON t.intent_id = p.id
)
SELECT id AS object, expected::text AS expected, found::text AS found FROM judged WHERE found <> expected ORDER BY id LIMIT @max_rows;

-- A slot is closed by its outcome and by nothing else, and no live slot
-- outlives its intent.
-- name: CheckSlots :many
SELECT s.id AS object, coalesce(o.result, 'live')::text AS expected, s.state AS found
  FROM slots s LEFT JOIN outcomes o ON o.slot_id = s.id
 WHERE s.state <> coalesce(o.result, 'live')
UNION ALL
SELECT s.id, 'closed, since ' || p.id || ' is ' || p.status, s.state
  FROM slots s JOIN payment_intents p ON p.id = s.intent_id
 WHERE s.state = 'live' AND p.status IN ('settled', 'failed', 'canceled', 'expired', 'rejected')
 ORDER BY 1 LIMIT @max_rows;

-- name: CheckEventSequences :many
WITH judged AS (
  SELECT p.id, format('1..%s, %s events', p.version, p.version) AS expected,
         format('%s..%s, %s events', min(e.sequence), max(e.sequence), count(e.id)) AS found
    FROM payment_intents p LEFT JOIN events e ON e.intent_id = p.id
   GROUP BY p.id
)
SELECT id AS object, expected::text AS expected, found::text AS found FROM judged WHERE found <> expected ORDER BY id LIMIT @max_rows;

-- name: CheckEventSnapshots :many
WITH judged AS (
  SELECT p.id, format('%s at %s', p.status, p.version) AS expected,
         format('%s at %s', b.body #>> '{data,object,status}', b.body #>> '{data,object,sequence}') AS found
    FROM payment_intents p JOIN events e ON e.intent_id = p.id AND e.sequence = p.version,
         LATERAL (SELECT convert_from(e.body, 'UTF8')::jsonb AS body) b
)
SELECT id AS object, expected::text AS expected, found::text AS found FROM judged WHERE found <> expected ORDER BY id LIMIT @max_rows;

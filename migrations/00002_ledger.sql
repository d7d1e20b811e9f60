-- +goose Up

-- Double entry, one asset per account. An entry's amount is signed: positive
-- is a debit, negative a credit, and every transfer sums to zero per asset.
-- Platform accounts take their ids from a higher sequence, so that the total
-- order of locks (ascending id) takes hot rows last.
CREATE SEQUENCE ledger_merchant_account_id START 1;
CREATE SEQUENCE ledger_platform_account_id START 1000000000000;

CREATE TABLE ledger_accounts (
  id              bigint PRIMARY KEY,
  kind            text NOT NULL CHECK (kind IN (
                    'merchant_available', -- what we owe a merchant; owner = merchant:mode; floored
                    'custody',            -- tokens in the treasury of a chain; owner = chain
                    'conversion',         -- bridges USDC owed and USDC.<chain> held; owner = chain
                    'gas_tank',           -- native coins of a chain's lanes; owner = chain
                    'gas_expense',        -- network fees spent; owner = chain
                    'equity')),           -- our own money; owner = chain
  owner           text NOT NULL,
  asset           text NOT NULL,          -- USDC (owed), USDC.<chain> (held), ETH, SOL
  floored         boolean NOT NULL,       -- its balance is kept in the row and may not go below zero
  debits_posted   numeric(78,0) NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
  credits_posted  numeric(78,0) NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
  debits_pending  numeric(78,0) NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
  version         bigint NOT NULL DEFAULT 0, -- counts the account's entries, gapless; floored accounts only
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (kind, owner, asset),
  UNIQUE (id, asset),
  CHECK (NOT floored OR credits_posted >= debits_posted + debits_pending)
) WITH (fillfactor = 50);

-- Phases: single (no hold), hold (reserves), post (spends a hold), void (releases it).
CREATE TABLE ledger_transfers (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  reference    text NOT NULL UNIQUE,           -- <object>:<step>; makes every posting idempotent
  request_hash bytea NOT NULL,                 -- of the posting's content
  phase        text NOT NULL CHECK (phase IN ('single', 'hold', 'post', 'void')),
  hold_account bigint REFERENCES ledger_accounts,
  hold_amount  numeric(78,0) CHECK (hold_amount > 0),
  pending_id   uuid UNIQUE REFERENCES ledger_transfers, -- resolves a hold, at most once
  part_of      uuid REFERENCES ledger_transfers,        -- a hold that was taken out of another one
  intent_id    text,
  effective_at timestamptz NOT NULL,           -- block time of what happened
  recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK ((phase IN ('post', 'void')) = (pending_id IS NOT NULL)),
  CHECK ((phase = 'hold') = (hold_account IS NOT NULL AND hold_amount IS NOT NULL)),
  CHECK (part_of IS NULL OR phase = 'hold')
);
CREATE INDEX ledger_transfers_part ON ledger_transfers (part_of) INCLUDE (hold_amount) WHERE part_of IS NOT NULL;
CREATE INDEX ledger_transfers_intent ON ledger_transfers (intent_id) WHERE intent_id IS NOT NULL;

CREATE TABLE ledger_entries (
  transfer_id     uuid NOT NULL REFERENCES ledger_transfers,
  seq             smallint NOT NULL CHECK (seq > 0),
  account_id      bigint NOT NULL,
  asset           text NOT NULL,
  amount          numeric(78,0) NOT NULL CHECK (amount <> 0),
  balance_after   numeric(78,0),               -- credits - debits; floored accounts only
  account_version bigint,
  PRIMARY KEY (transfer_id, seq),
  FOREIGN KEY (account_id, asset) REFERENCES ledger_accounts (id, asset)
);
CREATE UNIQUE INDEX ledger_entries_version ON ledger_entries (account_id, account_version) WHERE account_version IS NOT NULL;
CREATE INDEX ledger_entries_account ON ledger_entries (account_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- At commit every posted transfer has two entries or more and sums to zero per
-- asset. The trigger sits on transfers, which an empty transfer would escape
-- otherwise, and on entries, where a late stray entry would.
-- +goose StatementBegin
CREATE FUNCTION ledger_check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  tid uuid := CASE TG_TABLE_NAME WHEN 'ledger_transfers' THEN (to_jsonb(NEW)->>'id')::uuid ELSE (to_jsonb(NEW)->>'transfer_id')::uuid END;
  ph text;
BEGIN
  SELECT phase INTO ph FROM ledger_transfers WHERE id = tid;
  IF ph IN ('hold', 'void') THEN
    IF EXISTS (SELECT 1 FROM ledger_entries WHERE transfer_id = tid) THEN
      RAISE EXCEPTION 'transfer % is a % and may not have entries', tid, ph USING ERRCODE = '23514';
    END IF;
  ELSIF (SELECT count(*) FROM ledger_entries WHERE transfer_id = tid) < 2
     OR EXISTS (SELECT 1 FROM ledger_entries WHERE transfer_id = tid GROUP BY asset HAVING sum(amount) <> 0) THEN
    RAISE EXCEPTION 'transfer % does not balance', tid USING ERRCODE = '23514';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_transfers DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger_check_balanced();
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON ledger_entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger_check_balanced();

-- Errors of the functions below, by SQLSTATE:
--   LG001 reference_conflict  the reference exists with other content
--   LG002 insufficient_funds  the floored account cannot cover it
--   LG003 hold_invalid        no such hold, resolved otherwise, or too small

-- Opens an account of the closed set of kinds, or returns the one that exists.
-- +goose StatementBegin
CREATE FUNCTION ledger_account(p_kind text, p_owner text, p_asset text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  aid bigint;
  is_floored boolean := p_kind = 'merchant_available';
BEGIN
  SELECT id INTO aid FROM ledger_accounts WHERE kind = p_kind AND owner = p_owner AND asset = p_asset;
  IF FOUND THEN RETURN aid; END IF;
  INSERT INTO ledger_accounts (id, kind, owner, asset, floored)
  VALUES (nextval(CASE WHEN is_floored THEN 'ledger_merchant_account_id'::regclass ELSE 'ledger_platform_account_id'::regclass END),
          p_kind, p_owner, p_asset, is_floored)
  ON CONFLICT (kind, owner, asset) DO NOTHING;
  SELECT id INTO STRICT aid FROM ledger_accounts WHERE kind = p_kind AND owner = p_owner AND asset = p_asset;
  RETURN aid;
END $$;
-- +goose StatementEnd

-- Inserts a transfer row, or returns NULL in is_new=false with the existing id
-- if the same posting was made before (that is what makes retries safe).
-- +goose StatementBegin
CREATE FUNCTION ledger_claim(p_reference text, p_hash bytea, p_phase text, p_account bigint, p_amount numeric,
                             p_pending uuid, p_intent text, p_effective timestamptz,
                             OUT transfer_id uuid, OUT is_new boolean) LANGUAGE plpgsql AS $$
DECLARE
  stored bytea;
BEGIN
  INSERT INTO ledger_transfers (reference, request_hash, phase, hold_account, hold_amount, pending_id, intent_id, effective_at)
  VALUES (p_reference, p_hash, p_phase, p_account, p_amount, p_pending, p_intent, coalesce(p_effective, clock_timestamp()))
  ON CONFLICT (reference) DO NOTHING
  RETURNING id INTO transfer_id;
  is_new := FOUND;
  IF NOT is_new THEN
    SELECT t.id, t.request_hash INTO STRICT transfer_id, stored FROM ledger_transfers t WHERE t.reference = p_reference;
    IF stored IS DISTINCT FROM p_hash THEN
      RAISE EXCEPTION 'reference % was posted with other content', p_reference USING ERRCODE = 'LG001';
    END IF;
  END IF;
EXCEPTION WHEN unique_violation THEN -- pending_id: the hold is resolved already
  RAISE EXCEPTION 'hold % is resolved already', p_pending USING ERRCODE = 'LG003';
END $$;
-- +goose StatementEnd

-- Reserves p_amount of a floored account. Returns the hold's id.
-- +goose StatementBegin
CREATE FUNCTION ledger_hold(p_reference text, p_account bigint, p_amount numeric, p_intent text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  c record;
BEGIN
  SELECT * INTO c FROM ledger_claim(p_reference, sha256(convert_to(concat_ws('|', 'hold', p_account, p_amount), 'UTF8')),
                                    'hold', p_account, p_amount, NULL, p_intent, NULL);
  IF NOT c.is_new THEN RETURN c.transfer_id; END IF;
  UPDATE ledger_accounts SET debits_pending = debits_pending + p_amount
   WHERE id = p_account AND floored AND credits_posted - debits_posted - debits_pending >= p_amount;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'account % cannot cover %', p_account, p_amount USING ERRCODE = 'LG002';
  END IF;
  RETURN c.transfer_id;
END $$;
-- +goose StatementEnd

-- Reserves p_amount of what a merchant has in one mode, and tells what that leaves and the
-- time, so that the caller can render its answer without another round trip
-- while the account is locked.
-- +goose StatementBegin
CREATE FUNCTION ledger_hold_merchant(p_reference text, p_owner text, p_asset text, p_amount numeric, p_intent text,
                                     OUT hold_id uuid, OUT posted numeric, OUT held numeric, OUT at timestamptz) LANGUAGE plpgsql AS $$
DECLARE
  aid bigint := ledger_account('merchant_available', p_owner, p_asset);
BEGIN
  hold_id := ledger_hold(p_reference, aid, p_amount, p_intent);
  SELECT credits_posted - debits_posted, debits_pending INTO STRICT posted, held FROM ledger_accounts WHERE id = aid;
  at := clock_timestamp();
END $$;
-- +goose StatementEnd

-- Takes parts out of a hold, each a hold of its own for an intent: what is held
-- of the account stays as it was. The lock keeps out other parts, and the end of
-- the hold, since that refers to it. Parts of parts are not made.
-- +goose StatementBegin
CREATE FUNCTION ledger_hold_parts(p_hold uuid, p_intents text[], p_amounts numeric[])
RETURNS TABLE (intent text, part uuid) LANGUAGE plpgsql AS $$
DECLARE
  h ledger_transfers;
  taken numeric;
BEGIN
  SELECT * INTO h FROM ledger_transfers WHERE id = p_hold AND phase = 'hold' AND part_of IS NULL FOR UPDATE;
  IF NOT FOUND OR EXISTS (SELECT 1 FROM ledger_transfers WHERE pending_id = p_hold) THEN
    RAISE EXCEPTION 'hold % is no open hold', p_hold USING ERRCODE = 'LG003';
  END IF;
  SELECT coalesce(sum(hold_amount), 0) + (SELECT sum(a) FROM unnest(p_amounts) a) INTO taken FROM ledger_transfers WHERE part_of = p_hold;
  IF taken > h.hold_amount THEN
    RAISE EXCEPTION 'parts of % exceed hold % of %', taken, p_hold, h.hold_amount USING ERRCODE = 'LG003';
  END IF;
  RETURN QUERY
  INSERT INTO ledger_transfers AS t (reference, request_hash, phase, hold_account, hold_amount, part_of, intent_id, effective_at)
  SELECT x.i || ':hold', sha256(convert_to(concat_ws('|', 'part', p_hold, x.a), 'UTF8')), 'hold', h.hold_account, x.a, p_hold, x.i, clock_timestamp()
    FROM unnest(p_intents, p_amounts) AS x(i, a)
  RETURNING t.intent_id, t.id;
END $$;
-- +goose StatementEnd

-- Releases a hold, or what is left of it when parts were taken out of it.
-- +goose StatementBegin
CREATE FUNCTION ledger_void(p_reference text, p_hold uuid, p_intent text) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  h ledger_transfers;
  c record;
BEGIN
  SELECT * INTO h FROM ledger_transfers WHERE id = p_hold AND phase = 'hold';
  IF NOT FOUND THEN RAISE EXCEPTION 'hold % does not exist', p_hold USING ERRCODE = 'LG003'; END IF;
  SELECT * INTO c FROM ledger_claim(p_reference, sha256(convert_to(concat_ws('|', 'void', p_hold), 'UTF8')),
                                    'void', NULL, NULL, p_hold, p_intent, NULL);
  IF c.is_new THEN
    UPDATE ledger_accounts
       SET debits_pending = debits_pending - h.hold_amount
                          + (SELECT coalesce(sum(hold_amount), 0) FROM ledger_transfers WHERE part_of = p_hold)
     WHERE id = h.hold_account;
  END IF;
  RETURN c.transfer_id;
END $$;
-- +goose StatementEnd

-- Posts entries (debits positive, credits negative), spending p_hold if it is
-- given; what the posting does not need of the hold is released. Floored rows
-- are locked in ascending id before any is changed; NO KEY, so that the foreign
-- keys of transfers and entries need not wait.
-- +goose StatementBegin
CREATE FUNCTION ledger_post(p_reference text, p_hold uuid, p_intent text, p_effective timestamptz,
                            p_accounts bigint[], p_amounts numeric[]) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
  h ledger_transfers;
  c record;
  a ledger_accounts;
  i int;
  amt numeric;
BEGIN
  IF cardinality(p_accounts) IS DISTINCT FROM cardinality(p_amounts) THEN
    RAISE EXCEPTION 'accounts and amounts differ in number' USING ERRCODE = '22023';
  END IF;
  IF p_hold IS NOT NULL THEN
    SELECT * INTO h FROM ledger_transfers WHERE id = p_hold AND phase = 'hold';
    IF NOT FOUND OR EXISTS (SELECT 1 FROM ledger_transfers WHERE part_of = p_hold) THEN
      RAISE EXCEPTION 'hold % does not exist, or is spent in parts', p_hold USING ERRCODE = 'LG003';
    END IF;
  END IF;
  SELECT * INTO c FROM ledger_claim(p_reference,
      sha256(convert_to(concat_ws('|', 'post', coalesce(p_hold::text, '-'), p_accounts::text, p_amounts::text), 'UTF8')),
      CASE WHEN p_hold IS NULL THEN 'single' ELSE 'post' END, NULL, NULL, p_hold, p_intent, p_effective);
  IF NOT c.is_new THEN RETURN c.transfer_id; END IF;

  PERFORM 1 FROM ledger_accounts WHERE floored AND (id = ANY (p_accounts) OR id = h.hold_account) ORDER BY id FOR NO KEY UPDATE;
  IF h.id IS NOT NULL THEN
    SELECT coalesce(sum(x.amount), 0) INTO amt FROM unnest(p_accounts, p_amounts) AS x(account, amount) WHERE x.account = h.hold_account;
    IF amt > h.hold_amount THEN
      RAISE EXCEPTION 'posting of % exceeds hold % of %', amt, p_hold, h.hold_amount USING ERRCODE = 'LG003';
    END IF;
    UPDATE ledger_accounts SET debits_pending = debits_pending - h.hold_amount WHERE id = h.hold_account;
  END IF;

  FOR i IN 1 .. cardinality(p_accounts) LOOP
    amt := p_amounts[i];
    SELECT * INTO a FROM ledger_accounts WHERE id = p_accounts[i];
    IF NOT FOUND THEN RAISE EXCEPTION 'account % does not exist', p_accounts[i] USING ERRCODE = '23503'; END IF;
    IF a.floored THEN
      UPDATE ledger_accounts SET debits_posted = debits_posted + greatest(amt, 0), credits_posted = credits_posted + greatest(-amt, 0),
                                 version = version + 1
       WHERE id = a.id AND credits_posted + greatest(-amt, 0) >= debits_posted + greatest(amt, 0) + debits_pending
      RETURNING * INTO a;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'account % cannot cover %', p_accounts[i], amt USING ERRCODE = 'LG002';
      END IF;
      INSERT INTO ledger_entries VALUES (c.transfer_id, i, a.id, a.asset, amt, a.credits_posted - a.debits_posted, a.version);
    ELSE
      INSERT INTO ledger_entries VALUES (c.transfer_id, i, a.id, a.asset, amt, NULL, NULL);
    END IF;
  END LOOP;
  RETURN c.transfer_id;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION ledger_post, ledger_void, ledger_hold_parts, ledger_hold_merchant, ledger_hold, ledger_claim, ledger_account;
DROP TABLE ledger_entries, ledger_transfers, ledger_accounts;
DROP FUNCTION ledger_check_balanced;
DROP SEQUENCE ledger_merchant_account_id, ledger_platform_account_id;

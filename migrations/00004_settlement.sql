-- +goose Up

-- Wallets hold money (treasury) or only gas (lane); keys live in the keyring, never here.
CREATE TABLE wallets (
  chain      text NOT NULL,
  address    text NOT NULL,
  role       text NOT NULL CHECK (role IN ('treasury', 'lane')),
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chain, address, role)
);

-- A lane pays gas and, where the chain has account nonces, owns a nonce
-- sequence. next_nonce moves only in the transaction that stores the signed
-- bytes, with the row locked. Whoever replaces transactions that are under way
-- holds the lane's lease.
CREATE TABLE lanes (
  chain         text NOT NULL,
  address       text NOT NULL,
  next_nonce    bigint NOT NULL CHECK (next_nonce >= 0),
  max_in_flight int NOT NULL DEFAULT 16 CHECK (max_in_flight > 0),
  state         text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'frozen')),
  reason        text NOT NULL DEFAULT '',      -- why it is paused or frozen, for people
  lease_owner   text NOT NULL DEFAULT '',      -- who may bump, cancel and fill
  lease_epoch   bigint NOT NULL DEFAULT 0,     -- grows with every change of owner; writes under an older one fail
  lease_until   timestamptz NOT NULL DEFAULT 'epoch',  -- long over
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chain, address)
) WITH (fillfactor = 50);

CREATE TABLE lane_nonces (
  chain       text NOT NULL,
  lane        text NOT NULL,
  nonce       bigint NOT NULL CHECK (nonce >= 0),
  purpose     text NOT NULL CHECK (purpose IN ('payment', 'cancel', 'gapfill')),
  included_at timestamptz,                    -- in a block, no longer in flight; a reorg takes it back
  final_at    timestamptz,                    -- used for good, and what used it is in transaction_results
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (chain, lane, nonce),           -- never twice
  FOREIGN KEY (chain, lane) REFERENCES lanes (chain, address)
);
CREATE INDEX lane_nonces_in_flight ON lane_nonces (chain, lane) WHERE included_at IS NULL;
CREATE INDEX lane_nonces_open ON lane_nonces (chain, lane, nonce) WHERE final_at IS NULL;

-- A nonce that was given out stays so: its row is never deleted or renamed, and
-- the lane's next one never goes back.
-- +goose StatementBegin
CREATE FUNCTION guard_nonce() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR TG_OP = 'TRUNCATE' THEN
    RAISE EXCEPTION '% may not be deleted', TG_TABLE_NAME USING ERRCODE = '23001';
  END IF;
  IF TG_TABLE_NAME = 'lanes' THEN
    IF (NEW.chain, NEW.address) IS DISTINCT FROM (OLD.chain, OLD.address) OR NEW.next_nonce < OLD.next_nonce THEN
      RAISE EXCEPTION 'lane % on %: next nonce % after %', OLD.address, OLD.chain, NEW.next_nonce, OLD.next_nonce USING ERRCODE = '23514';
    END IF;
  ELSIF (to_jsonb(NEW) - 'included_at' - 'final_at') IS DISTINCT FROM (to_jsonb(OLD) - 'included_at' - 'final_at') THEN
    RAISE EXCEPTION 'nonce % of lane % may not change', OLD.nonce, OLD.lane USING ERRCODE = '23001';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON lanes FOR EACH ROW EXECUTE FUNCTION guard_nonce();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lanes FOR EACH STATEMENT EXECUTE FUNCTION guard_nonce();
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON lane_nonces FOR EACH ROW EXECUTE FUNCTION guard_nonce();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON lane_nonces FOR EACH STATEMENT EXECUTE FUNCTION guard_nonce();

-- One try to settle an intent over one route; route is the decision with its inputs.
CREATE TABLE attempts (
  id         text PRIMARY KEY CHECK (id LIKE 'att\_%'),
  intent_id  text NOT NULL REFERENCES payment_intents,
  seq        int NOT NULL CHECK (seq > 0),
  chain      text NOT NULL,
  address    text NOT NULL,
  route      jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (intent_id, seq)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The on-chain exclusivity resource of an attempt.
CREATE TABLE slots (
  id             text PRIMARY KEY CHECK (id LIKE 'slot\_%'),
  attempt_id     text NOT NULL REFERENCES attempts,
  intent_id      text NOT NULL REFERENCES payment_intents,
  chain          text NOT NULL,
  kind           text NOT NULL CHECK (kind IN ('eip3009', 'evm_nonce', 'solana_blockhash', 'solana_guard')),
  authority      text NOT NULL,
  nonce          text NOT NULL,
  from_height    bigint NOT NULL,
  expires_at     timestamptz,
  expires_height bigint,
  "authorization" jsonb,
  state          text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'paid', 'dead')),
  fence          text NOT NULL DEFAULT '' CHECK (fence IN ('', 'cancel', 'reject', 'reroute', 'fail')), -- make it die, and what then
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  closed_at      timestamptz,
  final_at       timestamptz,                 -- nothing signed for it can land any more, what landed is booked; where lanes have nonces those tell
  UNIQUE (chain, authority, nonce)
);
CREATE UNIQUE INDEX slots_one_live ON slots (intent_id) WHERE state = 'live';
CREATE INDEX slots_live ON slots (chain, created_at) WHERE state = 'live';
CREATE INDEX slots_closed ON slots (chain, id) WHERE state <> 'live' AND final_at IS NULL;
CREATE INDEX slots_intent ON slots (intent_id);

-- Signed bytes. A transaction may carry several attempts (batching), and a
-- slot may have several transactions (resubmission, fee bumps).
CREATE TABLE transactions (
  id             text PRIMARY KEY CHECK (id LIKE 'tx\_%'),
  chain          text NOT NULL,
  hash           text NOT NULL,
  raw            bytea NOT NULL CHECK (length(raw) > 0),
  sender         text NOT NULL,
  nonce          bigint,
  gas_limit      bigint NOT NULL,
  fee_cap        numeric(78,0) NOT NULL,
  tip_cap        numeric(78,0) NOT NULL,
  max_fee        numeric(78,0) NOT NULL,
  purpose        text NOT NULL DEFAULT 'payment' CHECK (purpose IN ('payment', 'cancel', 'gapfill')),
  created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  send_intent_at timestamptz,                 -- committed before the first byte leaves; NULL: never left us
  last_sent_at   timestamptz,
  UNIQUE (chain, hash),
  FOREIGN KEY (chain, sender, nonce) REFERENCES lane_nonces (chain, lane, nonce)
);
CREATE INDEX transactions_nonce ON transactions (chain, sender, nonce);

CREATE TABLE transaction_attempts (
  transaction_id text NOT NULL REFERENCES transactions,
  attempt_id     text NOT NULL REFERENCES attempts,
  slot_id        text NOT NULL REFERENCES slots,
  PRIMARY KEY (transaction_id, attempt_id)
);
CREATE INDEX transaction_attempts_slot ON transaction_attempts (slot_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transaction_attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a finalized block says of a transaction of ours.
CREATE TABLE transaction_results (
  transaction_id text PRIMARY KEY REFERENCES transactions,
  succeeded      boolean NOT NULL,
  reason         text NOT NULL DEFAULT '',
  block_hash     text NOT NULL,
  block_height   bigint NOT NULL,
  fee            numeric(78,0) NOT NULL,      -- native base units
  effective_at   timestamptz NOT NULL,
  recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transaction_results FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What the chain finally did with a slot, and the proof. At most one paid per intent, ever.
CREATE TABLE outcomes (
  slot_id      text PRIMARY KEY REFERENCES slots,
  intent_id    text NOT NULL REFERENCES payment_intents,
  result       text NOT NULL CHECK (result IN ('paid', 'dead')),
  chain        text NOT NULL,
  tx_hash      text NOT NULL DEFAULT '',
  block_hash   text NOT NULL DEFAULT '',
  block_height bigint,
  log_index    int,
  amount       numeric(78,0),
  address      text NOT NULL DEFAULT '',
  fee          numeric(78,0) NOT NULL DEFAULT 0, -- native base units
  fee_payer    text NOT NULL DEFAULT '',
  proof        jsonb NOT NULL,
  effective_at timestamptz NOT NULL,
  recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (result <> 'paid' OR (tx_hash <> '' AND block_hash <> '' AND block_height IS NOT NULL AND amount IS NOT NULL AND address <> ''))
);
CREATE UNIQUE INDEX outcomes_paid_once ON outcomes (intent_id) WHERE result = 'paid';
CREATE UNIQUE INDEX outcomes_log ON outcomes (chain, tx_hash, log_index, slot_id) WHERE result = 'paid';
CREATE INDEX outcomes_intent ON outcomes (intent_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose StatementBegin
CREATE FUNCTION guard_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  ordered numeric;
BEGIN
  SELECT amount INTO ordered FROM payment_intents WHERE id = NEW.intent_id;
  IF NOT EXISTS (SELECT 1 FROM slots WHERE id = NEW.slot_id AND intent_id = NEW.intent_id AND chain = NEW.chain) THEN
    RAISE EXCEPTION 'outcome of %: slot % belongs to another intent or chain', NEW.intent_id, NEW.slot_id USING ERRCODE = '23514';
  END IF;
  IF NEW.result = 'paid' AND NEW.amount IS DISTINCT FROM ordered THEN
    RAISE EXCEPTION 'outcome of %: paid % instead of %', NEW.intent_id, NEW.amount, ordered USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE INSERT ON outcomes FOR EACH ROW EXECUTE FUNCTION guard_outcome();

-- A slot is opened only for an open intent, and closed only with its outcome.
-- Opening one locks the intent's row, so that it cannot end meanwhile without
-- seeing the slot.
-- +goose StatementBegin
CREATE FUNCTION guard_slot() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  intent_status text;
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.state <> 'live' THEN
      RAISE EXCEPTION 'slot % must begin live', NEW.id USING ERRCODE = '23514';
    END IF;
    SELECT status INTO intent_status FROM payment_intents WHERE id = NEW.intent_id FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT 1 FROM intent_transitions WHERE from_status = intent_status) THEN
      RAISE EXCEPTION 'slot %: intent % is closed', NEW.id, NEW.intent_id USING ERRCODE = '23514';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM attempts WHERE id = NEW.attempt_id AND intent_id = NEW.intent_id AND chain = NEW.chain) THEN
      RAISE EXCEPTION 'slot %: attempt % belongs to another intent or chain', NEW.id, NEW.attempt_id USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'slot % may not be deleted', OLD.id USING ERRCODE = '23001';
  END IF;
  IF (to_jsonb(NEW) - 'state' - 'closed_at' - 'fence' - 'final_at') IS DISTINCT FROM (to_jsonb(OLD) - 'state' - 'closed_at' - 'fence' - 'final_at') THEN
    RAISE EXCEPTION 'slot %: only its state and its fence may change', OLD.id USING ERRCODE = '23001';
  END IF;
  IF NEW.final_at IS NOT NULL AND NEW.state = 'live' THEN
    RAISE EXCEPTION 'slot %: a live slot is not final', OLD.id USING ERRCODE = '23514';
  END IF;
  IF OLD.state <> 'live' AND OLD.final_at IS NULL AND to_jsonb(NEW) - 'final_at' = to_jsonb(OLD) - 'final_at' THEN
    RETURN NEW;
  END IF;
  IF OLD.state = 'live' AND NEW.state = 'live' THEN
    IF NEW.fence = '' AND OLD.fence <> '' THEN
      RAISE EXCEPTION 'slot %: a fence may not be lifted', OLD.id USING ERRCODE = '23001';
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.state <> 'live' OR NOT EXISTS (SELECT 1 FROM outcomes WHERE slot_id = OLD.id AND result = NEW.state) THEN
    RAISE EXCEPTION 'slot %: % may not become % without that outcome', OLD.id, OLD.state, NEW.state USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON slots FOR EACH ROW EXECUTE FUNCTION guard_slot();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON slots FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Signed bytes never change and are never deleted.
-- +goose StatementBegin
CREATE FUNCTION guard_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'transaction % may not be deleted', OLD.id USING ERRCODE = '23001';
  END IF;
  IF (to_jsonb(NEW) - 'send_intent_at' - 'last_sent_at') IS DISTINCT FROM (to_jsonb(OLD) - 'send_intent_at' - 'last_sent_at')
     OR (OLD.send_intent_at IS NOT NULL AND NEW.send_intent_at IS DISTINCT FROM OLD.send_intent_at) THEN
    RAISE EXCEPTION 'transaction %: signed bytes may not change', OLD.id USING ERRCODE = '23001';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON transactions FOR EACH ROW EXECUTE FUNCTION guard_transaction();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON transactions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A terminal status needs its facts: settled the paid outcome, every other one
-- that no slot is live and none paid.
-- +goose StatementBegin
CREATE FUNCTION guard_intent_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  paid boolean := EXISTS (SELECT 1 FROM outcomes WHERE intent_id = NEW.id AND result = 'paid');
BEGIN
  IF NEW.status = 'settled' THEN
    IF NOT paid THEN
      RAISE EXCEPTION 'intent % has no paid outcome', NEW.id USING ERRCODE = '23514';
    END IF;
  ELSIF paid OR EXISTS (SELECT 1 FROM slots WHERE intent_id = NEW.id AND state <> 'dead') THEN
    RAISE EXCEPTION 'intent % may still be paid and cannot become %', NEW.id, NEW.status USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard_end BEFORE UPDATE ON payment_intents FOR EACH ROW
  WHEN (NEW.status IN ('settled', 'failed', 'canceled', 'expired', 'rejected'))
  EXECUTE FUNCTION guard_intent_end();

-- +goose Down
DROP TRIGGER guard_end ON payment_intents;
DROP FUNCTION guard_intent_end;
DROP TABLE outcomes, transaction_results, transaction_attempts, transactions, slots, attempts, lane_nonces, lanes, wallets;
DROP FUNCTION guard_transaction, guard_slot, guard_outcome, guard_nonce;

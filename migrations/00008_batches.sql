-- +goose Up

-- The state machine of payment/batch.go, as data; a test compares the two.
CREATE TABLE batch_transitions (
  from_status text NOT NULL,
  to_status   text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO batch_transitions (from_status, to_status) VALUES
  ('validating', 'ready'), ('validating', 'invalid'),
  ('ready', 'processing'), ('ready', 'canceled'),
  ('processing', 'completed'), ('processing', 'canceled');
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON batch_transitions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Orders that came in one file. A batch that is validating is an upload under
-- way: nobody is shown it, and it is deleted if the upload breaks off.
CREATE TABLE batches (
  id              text PRIMARY KEY CHECK (id LIKE 'batch\_%'),
  merchant_id     text NOT NULL REFERENCES merchants,
  mode            text NOT NULL CHECK (mode IN ('test', 'live')),
  idempotency_key text NOT NULL,
  status          text NOT NULL DEFAULT 'validating' CHECK (status IN ('validating', 'ready', 'invalid', 'processing', 'completed', 'canceled')),
  reference       text NOT NULL DEFAULT '',
  metadata        jsonb NOT NULL DEFAULT '{}',
  asset           text NOT NULL,
  lines           int NOT NULL DEFAULT 0,
  invalid_lines   int NOT NULL DEFAULT 0,
  amount          numeric(78,0) NOT NULL DEFAULT 0,           -- of all valid lines, base units
  hold_id         uuid UNIQUE REFERENCES ledger_transfers,    -- of amount; taken at the start
  request_id      text NOT NULL,
  look_at         timestamptz,                                -- when to start its workflow, unless the workflow moved it on
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at      timestamptz,
  ended_at        timestamptz,
  CHECK ((hold_id IS NULL) = (started_at IS NULL)),
  CHECK (status NOT IN ('processing', 'completed') OR hold_id IS NOT NULL),
  CHECK (status NOT IN ('validating', 'ready', 'invalid') OR hold_id IS NULL),
  CHECK ((status IN ('completed', 'canceled')) = (ended_at IS NOT NULL)),
  CHECK (status IN ('validating', 'invalid') OR (invalid_lines = 0 AND lines > 0))
);
CREATE UNIQUE INDEX batches_key ON batches (merchant_id, mode, idempotency_key) WHERE status <> 'validating'; -- for ever
CREATE INDEX batches_list ON batches (merchant_id, mode, created_at DESC, id DESC);
CREATE INDEX batches_due ON batches (look_at) WHERE status = 'processing';
CREATE INDEX batches_uploads ON batches (created_at) WHERE status = 'validating';

-- A line as it was ordered; what became of it is in its intent. An invalid one
-- has errors instead of an order.
CREATE TABLE batch_lines (
  batch_id     text NOT NULL REFERENCES batches ON DELETE CASCADE,
  line         int NOT NULL CHECK (line > 0),
  amount       numeric(78,0) NOT NULL CHECK (amount >= 0),
  destinations jsonb NOT NULL,
  allowed_chains text[] NOT NULL,
  priority     text NOT NULL,
  max_fee      numeric(78,0),
  deadline     timestamptz,
  reference    text NOT NULL,
  metadata     jsonb NOT NULL,
  errors       jsonb,
  PRIMARY KEY (batch_id, line),
  CHECK (errors IS NOT NULL OR amount > 0)
);

-- +goose StatementBegin
CREATE FUNCTION guard_batch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.status <> 'validating' THEN
      RAISE EXCEPTION 'batch % must begin as validating', NEW.id USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
  END IF;
  IF OLD.status <> 'validating' THEN
    IF TG_OP = 'DELETE' THEN
      RAISE EXCEPTION 'batch % may not be deleted', OLD.id USING ERRCODE = '23001';
    END IF;
    IF (NEW.id, NEW.merchant_id, NEW.mode, NEW.idempotency_key, NEW.reference, NEW.metadata, NEW.asset, NEW.lines, NEW.invalid_lines,
        NEW.amount, NEW.request_id, NEW.created_at, coalesce(OLD.hold_id, NEW.hold_id))
       IS DISTINCT FROM
       (OLD.id, OLD.merchant_id, OLD.mode, OLD.idempotency_key, OLD.reference, OLD.metadata, OLD.asset, OLD.lines, OLD.invalid_lines,
        OLD.amount, OLD.request_id, OLD.created_at, NEW.hold_id) THEN
      RAISE EXCEPTION 'batch %: what was ordered may not change', OLD.id USING ERRCODE = '23001';
    END IF;
  END IF;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  IF NEW.status <> OLD.status AND NOT EXISTS (
       SELECT 1 FROM batch_transitions WHERE from_status = OLD.status AND to_status = NEW.status) THEN
    RAISE EXCEPTION 'batch %: % may not become %', OLD.id, OLD.status, NEW.status USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON batches FOR EACH ROW EXECUTE FUNCTION guard_batch();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON batches FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Lines come, change and go with the upload only. One look per statement, since
-- there are thousands of lines in each.
-- +goose StatementBegin
CREATE FUNCTION guard_batch_lines() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM batches WHERE status <> 'validating' AND id IN (SELECT batch_id FROM touched)) THEN
    RAISE EXCEPTION 'the lines of a batch may not change: % refused', TG_OP USING ERRCODE = '23001';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard_insert AFTER INSERT ON batch_lines REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION guard_batch_lines();
CREATE TRIGGER guard_update AFTER UPDATE ON batch_lines REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION guard_batch_lines();
CREATE TRIGGER guard_delete AFTER DELETE ON batch_lines REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION guard_batch_lines();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON batch_lines FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- One payment per line, for ever, and never of another amount, merchant or hold.
CREATE UNIQUE INDEX payment_intents_line ON payment_intents (batch_id, batch_line) WHERE batch_id IS NOT NULL;
CREATE INDEX payment_intents_batch_open ON payment_intents (batch_id) WHERE batch_id IS NOT NULL AND closed_at IS NULL;
-- +goose StatementBegin
CREATE FUNCTION guard_batch_intent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
       SELECT 1 FROM batches b JOIN batch_lines l ON l.batch_id = b.id JOIN ledger_transfers h ON h.part_of = b.hold_id
        WHERE b.id = NEW.batch_id AND l.line = NEW.batch_line AND h.id = NEW.hold_id AND b.status = 'processing'
          AND (b.merchant_id, b.mode, b.asset, l.amount) = (NEW.merchant_id, NEW.mode, NEW.asset, NEW.amount)) THEN
    RAISE EXCEPTION 'intent % is not what line % of batch % orders', NEW.id, NEW.batch_line, NEW.batch_id USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard_batch BEFORE INSERT ON payment_intents FOR EACH ROW WHEN (NEW.batch_id IS NOT NULL) EXECUTE FUNCTION guard_batch_intent();

-- What became of every line.
CREATE VIEW batch_line_states AS
SELECT l.batch_id, l.line, l.amount, l.reference, l.errors, b.asset,
       (CASE WHEN p.id IS NOT NULL THEN p.status
             WHEN l.errors IS NOT NULL THEN 'invalid'
             WHEN b.status = 'canceled' THEN 'canceled'
             ELSE 'pending' END)::text AS status,
       coalesce(p.id, '')::text AS intent_id, coalesce(p.chain, '')::text AS chain, coalesce(p.address, '')::text AS address,
       coalesce(p.tx_hash, '')::text AS tx_hash, coalesce(p.failure_code, '')::text AS failure_code, coalesce(p.failure_message, '')::text AS failure_message
  FROM batch_lines l
  JOIN batches b ON b.id = l.batch_id
  LEFT JOIN payment_intents p ON p.batch_id = l.batch_id AND p.batch_line = l.line;

-- +goose Down
DROP VIEW batch_line_states;
DROP TRIGGER guard_batch ON payment_intents;
DROP INDEX payment_intents_batch_open, payment_intents_line;
DROP TABLE batch_lines, batches, batch_transitions;
DROP FUNCTION guard_batch_intent, guard_batch_lines, guard_batch;

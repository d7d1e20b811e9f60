-- +goose Up

-- The state machine of payment/status.go, as data; a test compares the two.
CREATE TABLE intent_transitions (
  from_status text NOT NULL,
  to_status   text NOT NULL,
  PRIMARY KEY (from_status, to_status)
);
INSERT INTO intent_transitions (from_status, to_status)
SELECT f, unnest(t) FROM (VALUES
  ('created',       ARRAY['routed','manual_review','failed','canceled','expired','rejected']),
  ('routed',        ARRAY['submitted','manual_review','failed','canceled','expired','rejected']),
  ('submitted',     ARRAY['routed','confirming','manual_review','settled','failed','canceled','expired']),
  ('confirming',    ARRAY['routed','submitted','manual_review','settled','failed','canceled','expired']),
  ('manual_review', ARRAY['routed','submitted','confirming','settled','failed','canceled','expired','rejected'])
) AS x(f, t);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON intent_transitions FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE payment_intents (
  id              text PRIMARY KEY CHECK (id LIKE 'pi\_%'),
  merchant_id     text NOT NULL REFERENCES merchants,
  mode            text NOT NULL CHECK (mode IN ('test', 'live')),
  idempotency_key text NOT NULL,
  asset           text NOT NULL,
  amount          numeric(78,0) NOT NULL CHECK (amount > 0), -- base units
  destinations    jsonb NOT NULL,
  allowed_chains  text[] NOT NULL DEFAULT '{}',               -- no other may pay it; empty: each of the destinations' may
  priority        text NOT NULL CHECK (priority IN ('cheap', 'fast', 'reliable')),
  max_fee         numeric(78,0),                              -- base units of asset
  deadline        timestamptz,
  reference       text NOT NULL DEFAULT '',
  metadata        jsonb NOT NULL DEFAULT '{}',
  quote_id        text,                                       -- the quote that it was ordered by
  retry_of        text REFERENCES payment_intents,            -- the unpaid payment that it orders again
  status          text NOT NULL DEFAULT 'created',
  substatus       text NOT NULL DEFAULT '',
  review_reason   text NOT NULL DEFAULT '',
  review_detail   text NOT NULL DEFAULT '',
  approved        boolean NOT NULL DEFAULT false,
  chain           text NOT NULL DEFAULT '',
  address         text NOT NULL DEFAULT '',
  tx_hash         text NOT NULL DEFAULT '',
  failure_code    text NOT NULL DEFAULT '',
  failure_message text NOT NULL DEFAULT '',
  hold_id         uuid REFERENCES ledger_transfers,           -- of the merchant's funds
  payer_authorization jsonb,                                  -- of a sponsored payment, which moves the payer's money instead
  request_id      text NOT NULL,
  batch_id        text,                                       -- the batch and its line that ordered it
  batch_line      int,
  version         bigint NOT NULL DEFAULT 1,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL,
  closed_at       timestamptz,                                -- when the status became terminal
  UNIQUE (merchant_id, mode, idempotency_key),                -- for ever, also after the key's record expired
  CHECK ((hold_id IS NULL) = (payer_authorization IS NOT NULL)),
  CHECK ((batch_id IS NULL) = (batch_line IS NULL))
) WITH (fillfactor = 70);
-- A quote makes one payment, and a payment is retried once, however many ask at once.
CREATE UNIQUE INDEX payment_intents_quote ON payment_intents (quote_id) WHERE quote_id IS NOT NULL;
CREATE UNIQUE INDEX payment_intents_retry ON payment_intents (retry_of) WHERE retry_of IS NOT NULL;
CREATE INDEX payment_intents_list ON payment_intents (merchant_id, mode, created_at DESC, id DESC);
-- No index names status: a change of status is then a change in place (HOT),
-- and there are five of them in a payment's life. What is open is found by
-- closed_at, which changes once.
CREATE INDEX payment_intents_open ON payment_intents (created_at, id) WHERE closed_at IS NULL;

-- An intent whose workflow does not know of it yet: it was accepted and no step
-- has run, or it was canceled and no step has found that. The next step of the
-- workflow removes the row; every API process sweeps for old ones.
CREATE TABLE intent_starts (
  intent_id  text PRIMARY KEY REFERENCES payment_intents,
  next_at    timestamptz NOT NULL,
  tries      int NOT NULL DEFAULT 0
);
CREATE INDEX intent_starts_due ON intent_starts (next_at);

-- Event bodies are rendered once and stored as bytes, which are what is signed.
CREATE TABLE events (
  id          text PRIMARY KEY CHECK (id LIKE 'evt\_%'),
  intent_id   text REFERENCES payment_intents,
  merchant_id text NOT NULL REFERENCES merchants,
  mode        text NOT NULL,
  sequence    bigint NOT NULL CHECK (sequence > 0), -- per intent, gapless
  type        text NOT NULL,
  body        bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  xact        xid8 NOT NULL DEFAULT pg_current_xact_id(), -- commit-order cursors: read only below the oldest running transaction
  position    bigint GENERATED ALWAYS AS IDENTITY,
  UNIQUE (intent_id, sequence)
);
CREATE INDEX events_log ON events (merchant_id, mode, xact, position);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose StatementBegin
CREATE FUNCTION guard_intent() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    IF NEW.status <> 'created' OR NEW.version <> 1 THEN
      RAISE EXCEPTION 'intent % must begin as created, version 1', NEW.id USING ERRCODE = '23514';
    END IF;
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'intent % may not be deleted', OLD.id USING ERRCODE = '23001';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM intent_transitions WHERE from_status = OLD.status) THEN
    RAISE EXCEPTION 'intent % is % and does not change any more', OLD.id, OLD.status USING ERRCODE = '23001';
  END IF;
  IF (NEW.id, NEW.merchant_id, NEW.mode, NEW.idempotency_key, NEW.asset, NEW.amount, NEW.destinations, NEW.priority,
      NEW.max_fee, NEW.deadline, NEW.reference, NEW.metadata, NEW.hold_id, NEW.payer_authorization, NEW.request_id, NEW.created_at,
      NEW.allowed_chains, NEW.quote_id, NEW.retry_of, NEW.batch_id, NEW.batch_line)
     IS DISTINCT FROM
     (OLD.id, OLD.merchant_id, OLD.mode, OLD.idempotency_key, OLD.asset, OLD.amount, OLD.destinations, OLD.priority,
      OLD.max_fee, OLD.deadline, OLD.reference, OLD.metadata, OLD.hold_id, OLD.payer_authorization, OLD.request_id, OLD.created_at,
      OLD.allowed_chains, OLD.quote_id, OLD.retry_of, OLD.batch_id, OLD.batch_line) THEN
    RAISE EXCEPTION 'intent %: what was ordered may not change', OLD.id USING ERRCODE = '23001';
  END IF;
  IF NEW.version <> OLD.version + 1 THEN
    RAISE EXCEPTION 'intent %: version % after %', OLD.id, NEW.version, OLD.version USING ERRCODE = '23514';
  END IF;
  IF NEW.status <> OLD.status AND NOT EXISTS (
       SELECT 1 FROM intent_transitions WHERE from_status = OLD.status AND to_status = NEW.status) THEN
    RAISE EXCEPTION 'intent %: % may not become %', OLD.id, OLD.status, NEW.status USING ERRCODE = '23514';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON payment_intents FOR EACH ROW EXECUTE FUNCTION guard_intent();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON payment_intents FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- No change without its event: at commit the newest event of an intent has
-- the intent's version as its sequence. With version steps of one this makes
-- the sequence gapless.
-- +goose StatementBegin
CREATE FUNCTION guard_intent_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM events WHERE intent_id = NEW.id AND sequence = NEW.version) THEN
    RAISE EXCEPTION 'intent %: version % has no event', NEW.id, NEW.version USING ERRCODE = '23514';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER event_of_change AFTER INSERT OR UPDATE ON payment_intents DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION guard_intent_event();

-- +goose Down
DROP TABLE events, intent_starts, payment_intents, intent_transitions;
DROP FUNCTION guard_intent_event, guard_intent;

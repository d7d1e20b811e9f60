-- +goose Up

-- The stored answer to a request, replayed for the same key. It is written in
-- the transaction of the request's effect, so no state "in flight" is ever
-- visible: within the transaction status 0 stands for the answer to come.
CREATE TABLE idempotency_keys (
  merchant_id  text NOT NULL REFERENCES merchants,
  mode         text NOT NULL,
  route        text NOT NULL,                 -- method and path template
  key          text NOT NULL,
  request_hash bytea NOT NULL,
  resource_id  text NOT NULL,
  status       int NOT NULL,
  body         bytea NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (merchant_id, mode, route, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
-- +goose StatementBegin
CREATE FUNCTION guard_idempotency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM idempotency_keys k WHERE (k.merchant_id, k.mode, k.route, k.key) = (NEW.merchant_id, NEW.mode, NEW.route, NEW.key) AND k.status = 0) THEN
    RAISE EXCEPTION 'idempotency key % of % has no answer', NEW.key, NEW.merchant_id USING ERRCODE = '23514';
  END IF;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER answered AFTER INSERT ON idempotency_keys DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.status = 0) EXECUTE FUNCTION guard_idempotency();

-- What each worker last saw of each chain; quotes, routing and /ready read it.
CREATE TABLE chain_health (
  chain       text NOT NULL,
  worker      text NOT NULL,
  conditions  jsonb NOT NULL,
  observed_at timestamptz NOT NULL,
  PRIMARY KEY (chain, worker)
) WITH (fillfactor = 50);

-- Privileged acts: who did what to which object, and why.
CREATE TABLE audit_log (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  actor      text NOT NULL,
  action     text NOT NULL,
  object_id  text NOT NULL,
  reason     text NOT NULL DEFAULT '',
  request_id text NOT NULL DEFAULT '',
  detail     jsonb NOT NULL DEFAULT '{}',
  at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX audit_log_object ON audit_log (object_id, id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE audit_log, chain_health, idempotency_keys;
DROP FUNCTION guard_idempotency;

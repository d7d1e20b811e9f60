-- +goose Up

-- Guard functions shared by all tables: a table that is append-only says so once.
-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23001';
END $$;
-- +goose StatementEnd

CREATE TABLE merchants (
  id           text PRIMARY KEY CHECK (id LIKE 'mer\_%'),
  name         text NOT NULL,
  review_above numeric(78,0),                 -- base units; NULL: never by amount
  max_amount   numeric(78,0),                 -- base units; NULL: no limit
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A key is stored as HMAC-SHA-256(pepper, secret); id is its public prefix. An
-- operator's key belongs to no merchant, and may do only what no merchant's may.
CREATE TABLE api_keys (
  id           text PRIMARY KEY,              -- the 8 characters after sk_test_, sk_live_ or sk_admin_
  merchant_id  text REFERENCES merchants,
  mode         text NOT NULL CHECK (mode IN ('test', 'live', 'admin')),
  pepper_id    text NOT NULL,
  hash         bytea NOT NULL CHECK (length(hash) = 32),
  scopes       text[] NOT NULL,
  name         text NOT NULL DEFAULT '',
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz,
  CHECK ((mode = 'admin') = (merchant_id IS NULL)),
  CHECK (CASE mode WHEN 'admin' THEN scopes <@ ARRAY['admin:read', 'admin:write'] ELSE NOT scopes && ARRAY['admin:read', 'admin:write'] END)
);
CREATE INDEX api_keys_merchant ON api_keys (merchant_id);

-- Processes keep keys and merchants in memory for a while; whatever changes them
-- tells every process to forget them.
-- +goose StatementBegin
CREATE FUNCTION tell_principals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('principals', OLD.id);
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER tell AFTER UPDATE OF merchant_id, mode, pepper_id, hash, scopes, expires_at, revoked_at OR DELETE ON api_keys
  FOR EACH ROW EXECUTE FUNCTION tell_principals();
CREATE TRIGGER tell AFTER UPDATE ON merchants FOR EACH ROW EXECUTE FUNCTION tell_principals();

-- Addresses nobody may pay, on one chain or ('*') on all.
CREATE TABLE blocked_addresses (
  chain      text NOT NULL,
  address    text NOT NULL,
  reason     text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (address, chain)
);

-- +goose Down
DROP TABLE blocked_addresses, api_keys, merchants;
DROP FUNCTION tell_principals, refuse_change;

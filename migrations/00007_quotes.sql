-- +goose Up

-- What a merchant was told that a payment would cost. decision is what routing
-- decided then, with everything that it was decided from; chain and fee are what
-- it promises: empty and 0 if no chain qualified.
CREATE TABLE quotes (
  id          text PRIMARY KEY CHECK (id LIKE 'qt\_%'),
  merchant_id text NOT NULL REFERENCES merchants,
  mode        text NOT NULL CHECK (mode IN ('test', 'live')),
  decision    jsonb NOT NULL,
  chain       text NOT NULL,
  fee         numeric(78,0) NOT NULL,          -- expected network fee on chain, base units of the asset
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  expires_at  timestamptz NOT NULL,
  CHECK (expires_at > created_at)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON quotes FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE payment_intents ADD CONSTRAINT payment_intents_quoted FOREIGN KEY (quote_id) REFERENCES quotes (id);

-- The ends of an address, which are what people compare: the first and the last
-- four characters, without 0x and regardless of capitals.
CREATE FUNCTION address_ends(address text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT lower(left(regexp_replace(address, '^0x', ''), 4) || right(address, 4))
$$;

-- Whom a merchant has paid, and when first: one that resembles them and is
-- another may be a trap.
CREATE TABLE recipients (
  merchant_id text NOT NULL REFERENCES merchants,
  mode        text NOT NULL,
  ends        text NOT NULL,
  address     text NOT NULL,
  chain       text NOT NULL,
  intent_id   text NOT NULL REFERENCES payment_intents,
  paid_at     timestamptz NOT NULL,           -- block time
  PRIMARY KEY (merchant_id, mode, ends, address)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON recipients FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Written by the outcome's own insert, so that no writer can forget it.
-- +goose StatementBegin
CREATE FUNCTION note_recipient() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO recipients (merchant_id, mode, ends, address, chain, intent_id, paid_at)
  SELECT p.merchant_id, p.mode, address_ends(NEW.address), NEW.address, NEW.chain, NEW.intent_id, NEW.effective_at
    FROM payment_intents p WHERE p.id = NEW.intent_id
  ON CONFLICT (merchant_id, mode, ends, address) DO NOTHING;
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER note_recipient AFTER INSERT ON outcomes FOR EACH ROW WHEN (NEW.result = 'paid') EXECUTE FUNCTION note_recipient();

-- +goose Down
DROP TRIGGER note_recipient ON outcomes;
DROP FUNCTION note_recipient;
DROP TABLE recipients;
DROP FUNCTION address_ends;
ALTER TABLE payment_intents DROP CONSTRAINT payment_intents_quoted;
DROP TABLE quotes;

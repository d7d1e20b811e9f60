-- +goose Up

-- Merchants for whom payers' own authorizations are submitted at our expense;
-- base units of USDC. No row: none are.
CREATE TABLE sponsorships (
  merchant_id     text PRIMARY KEY REFERENCES merchants,
  max_fee         numeric(78,0) NOT NULL CHECK (max_fee > 0), -- of one payment's transaction
  max_fee_per_day numeric(78,0) NOT NULL,                     -- of all payments accepted on one day, UTC
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  CHECK (max_fee_per_day >= max_fee)
);

-- What the payments that were accepted on a day may cost at most. It only grows:
-- what they did cost is in the ledger.
CREATE TABLE sponsored_days (
  merchant_id text NOT NULL REFERENCES merchants,
  day         date NOT NULL,                  -- UTC
  committed   numeric(78,0) NOT NULL,         -- base units of USDC
  PRIMARY KEY (merchant_id, day)
);

-- One payment per authorization, for ever, whoever brings it.
CREATE TABLE sponsored_authorizations (
  chain     text NOT NULL,
  token     text NOT NULL,
  payer     text NOT NULL,
  nonce     text NOT NULL,                    -- 0x and 64 hex digits
  intent_id text NOT NULL UNIQUE REFERENCES payment_intents DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (chain, token, payer, nonce)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sponsored_authorizations FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose Down
DROP TABLE sponsored_authorizations, sponsored_days, sponsorships;

-- +goose Up

CREATE TABLE webhook_endpoints (
  id            text PRIMARY KEY CHECK (id LIKE 'we\_%'),
  merchant_id   text NOT NULL REFERENCES merchants,
  mode          text NOT NULL CHECK (mode IN ('test', 'live')),
  url           text NOT NULL,
  event_types   text[] NOT NULL,              -- exact, '*', or prefix ending in '.*'
  api_version   text NOT NULL,
  secret        bytea NOT NULL,               -- sealed with the key named secret_key_id
  secret_key_id text NOT NULL,
  state         text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled')),
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX webhook_endpoints_merchant ON webhook_endpoints (merchant_id, mode);

-- The record of what must reach whom. It is written in the event's
-- transaction; Temporal drives it.
CREATE TABLE webhook_deliveries (
  event_id    text NOT NULL REFERENCES events,
  endpoint_id text NOT NULL REFERENCES webhook_endpoints,
  intent_id   text NOT NULL,
  state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'exhausted', 'discarded')),
  attempts    int NOT NULL DEFAULT 0,
  next_due    timestamptz,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (event_id, endpoint_id)
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (intent_id) WHERE state = 'pending';

CREATE TABLE webhook_attempts (
  event_id    text NOT NULL,
  endpoint_id text NOT NULL,
  attempt     int NOT NULL CHECK (attempt > 0),
  status      int NOT NULL DEFAULT 0,         -- HTTP status; 0: no answer
  error       text NOT NULL DEFAULT '',
  response    bytea NOT NULL DEFAULT '',      -- truncated
  duration_ms int NOT NULL,
  next_due    timestamptz,
  sent_at     timestamptz NOT NULL,
  PRIMARY KEY (event_id, endpoint_id, attempt),
  FOREIGN KEY (event_id, endpoint_id) REFERENCES webhook_deliveries
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON webhook_attempts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Every event is due at each endpoint that subscribes to it: written by the
-- event's own insert, so that no writer can forget it.
-- +goose StatementBegin
CREATE FUNCTION fan_out_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_deliveries (event_id, endpoint_id, intent_id)
  SELECT NEW.id, e.id, NEW.intent_id FROM webhook_endpoints e
   WHERE e.merchant_id = NEW.merchant_id AND e.mode = NEW.mode AND e.state = 'enabled' AND NEW.intent_id IS NOT NULL
     AND EXISTS (SELECT 1 FROM unnest(e.event_types) AS t
                  WHERE t = '*' OR t = NEW.type OR (right(t, 2) = '.*' AND starts_with(NEW.type, left(t, -1))));
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER fan_out AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION fan_out_event();

-- +goose Down
DROP TRIGGER fan_out ON events;
DROP FUNCTION fan_out_event;
DROP TABLE webhook_attempts, webhook_deliveries, webhook_endpoints;

-- +goose Up

CREATE TABLE webhook_endpoints (
  id            text PRIMARY KEY CHECK (id LIKE 'we\_%'),
  merchant_id   text NOT NULL REFERENCES merchants,
  mode          text NOT NULL CHECK (mode IN ('test', 'live')),
  url           text NOT NULL,
  description   text NOT NULL DEFAULT '',
  event_types   text[] NOT NULL,              -- exact, '*', or prefix ending in '.*'
  api_version   text NOT NULL,
  secret        bytea NOT NULL,               -- sealed with the key named secret_key_id, as is previous_secret
  secret_key_id text NOT NULL,
  previous_secret       bytea,                -- signs beside secret until previous_secret_until
  previous_secret_until timestamptz,
  state         text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled', 'deleted')),
  disabled_reason text NOT NULL DEFAULT '' CHECK (disabled_reason IN ('', 'merchant', 'gone', 'failing')),
  failures      int NOT NULL DEFAULT 0,       -- attempts that failed since the last one that did not
  failing_since timestamptz,                  -- when the first of them was sent
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(), -- by the merchant, or when it was disabled
  CHECK ((previous_secret IS NULL) = (previous_secret_until IS NULL)),
  CHECK ((failures = 0) = (failing_since IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX webhook_endpoints_merchant ON webhook_endpoints (merchant_id, mode);

-- The record of what must reach whom. It is written in the event's
-- transaction; Temporal drives it.
CREATE TABLE webhook_deliveries (
  event_id    text NOT NULL REFERENCES events,
  endpoint_id text NOT NULL REFERENCES webhook_endpoints,
  intent_id   text,                           -- NULL: the event is not about a payment
  state       text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'exhausted', 'discarded')),
  attempts    int NOT NULL DEFAULT 0,
  scheduled_from int NOT NULL DEFAULT 0,      -- attempts before the schedule began anew: 0, or those at the last resend
  next_due    timestamptz,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (event_id, endpoint_id)
) WITH (fillfactor = 70);
CREATE INDEX webhook_deliveries_open ON webhook_deliveries (intent_id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_queue ON webhook_deliveries (endpoint_id, event_id) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_endpoint ON webhook_deliveries (endpoint_id, event_id); -- event ids sort by time

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

-- Whether an endpoint with these event_types gets events of this type. A test
-- event is for the endpoint that is tested, whatever it subscribes to.
CREATE FUNCTION subscribes(event_types text[], type text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT type <> 'webhook_endpoint.test' AND EXISTS (
    SELECT 1 FROM unnest(event_types) AS t WHERE t = '*' OR t = type OR (right(t, 2) = '.*' AND starts_with(type, left(t, -1))))
$$;

-- Every event is due at each endpoint that subscribes to it: written by the
-- event's own insert, so that no writer can forget it.
-- +goose StatementBegin
CREATE FUNCTION fan_out_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO webhook_deliveries (event_id, endpoint_id, intent_id)
  SELECT NEW.id, e.id, NEW.intent_id FROM webhook_endpoints e
   WHERE e.merchant_id = NEW.merchant_id AND e.mode = NEW.mode AND e.state = 'enabled' AND subscribes(e.event_types, NEW.type);
  RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER fan_out AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION fan_out_event();

-- Finds the events of a time span for a replay; events are written in about
-- the order of their time, so block ranges suffice and cost nothing.
CREATE INDEX events_time ON events USING brin (created_at);

-- +goose Down
DROP TRIGGER fan_out ON events;
DROP FUNCTION fan_out_event, subscribes;
DROP INDEX events_time;
DROP TABLE webhook_attempts, webhook_deliveries, webhook_endpoints;

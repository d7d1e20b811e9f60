-- +goose Up

-- A standing order. What is ordered, and when, never changes.
CREATE TABLE schedules (
  id               text PRIMARY KEY CHECK (id LIKE 'sch\_%'),
  merchant_id      text NOT NULL REFERENCES merchants,
  mode             text NOT NULL CHECK (mode IN ('test', 'live')),
  idempotency_key  text NOT NULL,
  ordered          jsonb NOT NULL,                        -- payment.Order
  once_at          timestamptz,                           -- NULL: cron says when
  cron             text NOT NULL DEFAULT '',
  time_zone        text NOT NULL DEFAULT 'UTC',           -- of cron
  ends_at          timestamptz,
  catch_up_seconds bigint NOT NULL CHECK (catch_up_seconds > 0),
  status           text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'paused', 'completed', 'canceled')),
  next_at          timestamptz DEFAULT clock_timestamp(), -- when Temporal is to be told of it; NULL: it knows
  request_id       text NOT NULL,
  created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (merchant_id, mode, idempotency_key),            -- for ever, also after the key's record expired
  CHECK ((once_at IS NULL) = (cron <> ''))
);
CREATE INDEX schedules_list ON schedules (merchant_id, mode, created_at DESC, id DESC);
CREATE INDEX schedules_due ON schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX schedules_ending ON schedules (ends_at) WHERE ends_at IS NOT NULL AND status IN ('active', 'paused');

-- +goose StatementBegin
CREATE FUNCTION guard_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'schedule % may not be deleted', OLD.id USING ERRCODE = '23001';
  END IF;
  IF (NEW.id, NEW.merchant_id, NEW.mode, NEW.idempotency_key, NEW.ordered, NEW.once_at, NEW.cron, NEW.time_zone, NEW.ends_at, NEW.catch_up_seconds, NEW.created_at)
     IS DISTINCT FROM
     (OLD.id, OLD.merchant_id, OLD.mode, OLD.idempotency_key, OLD.ordered, OLD.once_at, OLD.cron, OLD.time_zone, OLD.ends_at, OLD.catch_up_seconds, OLD.created_at) THEN
    RAISE EXCEPTION 'schedule %: what was ordered may not change', OLD.id USING ERRCODE = '23001';
  END IF;
  IF NEW.status <> OLD.status AND OLD.status IN ('completed', 'canceled') THEN
    RAISE EXCEPTION 'schedule % is % and does not change any more', OLD.id, OLD.status USING ERRCODE = '23001';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON schedules FOR EACH ROW EXECUTE FUNCTION guard_schedule();

-- A due time and what became of it: one payment at most, whoever asks for it
-- and however often.
CREATE TABLE schedule_runs (
  schedule_id     text NOT NULL REFERENCES schedules,
  due_at          timestamptz NOT NULL,
  status          text NOT NULL CHECK (status IN ('held', 'due', 'created', 'failed', 'skipped')),
  intent_id       text UNIQUE REFERENCES payment_intents,
  failure_code    text NOT NULL DEFAULT '',
  failure_message text NOT NULL DEFAULT '',
  next_at         timestamptz,                            -- when the workflow of one that is due is started
  created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (schedule_id, due_at),
  CHECK ((status = 'created') = (intent_id IS NOT NULL)),
  CHECK ((status = 'failed') = (failure_code <> '')),
  CHECK ((status = 'due') = (next_at IS NOT NULL))
);
CREATE INDEX schedule_runs_due ON schedule_runs (next_at) WHERE next_at IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION guard_schedule_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' OR OLD.status IN ('created', 'failed', 'skipped') THEN
    RAISE EXCEPTION 'run % of schedule % is % and does not change any more', OLD.due_at, OLD.schedule_id, OLD.status USING ERRCODE = '23001';
  END IF;
  RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON schedule_runs FOR EACH ROW EXECUTE FUNCTION guard_schedule_run();

-- +goose Down
DROP TABLE schedule_runs, schedules;
DROP FUNCTION guard_schedule_run, guard_schedule;

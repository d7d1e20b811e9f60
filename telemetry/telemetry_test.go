package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/settlehq/settle/telemetry"
)

func lines(t *testing.T, b *bytes.Buffer) []map[string]any {
	t.Helper()
	var out []map[string]any
	dec := json.NewDecoder(b)
	for dec.More() {
		var m map[string]any
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

func TestWideLineCarriesRequestIDAndAddedFields(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log, err := telemetry.NewLoggerTo(zapcore.AddSync(&buf), "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	ctx := telemetry.WithLogger(context.Background(), log)
	ctx = telemetry.WithLine(telemetry.WithRequestID(ctx, "req_1"))
	telemetry.Add(ctx, zap.String("intent_id", "pi_1"))
	telemetry.Logger(ctx).Debug("not at this level")
	telemetry.Logger(ctx).Info("done", telemetry.Fields(ctx)...)
	telemetry.TemporalLogger(log).Info("from the SDK", "WorkflowID", "pi_1")

	got := lines(t, &buf)
	if len(got) != 2 {
		t.Fatalf("%d lines, want 2: %v", len(got), got)
	}
	if got[0]["request_id"] != "req_1" || got[0]["intent_id"] != "pi_1" || telemetry.RequestID(ctx) != "req_1" {
		t.Errorf("line = %v", got[0])
	}
	if got[1]["WorkflowID"] != "pi_1" || got[1]["logger"] != "temporal" {
		t.Errorf("SDK line = %v", got[1])
	}
}

func TestContextWithoutTelemetryIsHarmless(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	telemetry.Add(ctx, zap.Int("n", 1))
	telemetry.Logger(ctx).Error("dropped", telemetry.Fields(ctx)...)
	if id := telemetry.RequestID(ctx); id != "" {
		t.Errorf("RequestID = %q", id)
	}
}

func TestNewLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	if _, err := telemetry.NewLogger("loud", "json"); err == nil {
		t.Error("level loud was accepted")
	}
	if _, err := telemetry.NewLogger("info", "xml"); err == nil {
		t.Error("format xml was accepted")
	}
}

package workflows_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.temporal.io/sdk/log"
	sdk "go.temporal.io/sdk/worker"

	"github.com/settlehq/settle/worker"
)

// TestRecordedHistoriesReplay: the workflows, as the worker registers them, do
// today what they did when the histories were recorded, so that payments that
// are under way survive a deployment. A change that fails here belongs behind
// workflow.GetVersion. New histories are recorded with
//
//	go test ./internal/e2e -run TestHistories -record
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/histories/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded histories in testdata/histories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			replayer := sdk.NewWorkflowReplayer()
			worker.RegisterWorkflows(replayer)
			if err := replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), file); err != nil {
				t.Error(err)
			}
		})
	}
}

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/internal/storetest"
)

// TestProductionHasNoBypass: what only tests may relax, the commands refuse to
// start with in production, which is what SETTLE_ENV is unless it says otherwise.
func TestProductionHasNoBypass(t *testing.T) {
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	random := strings.Repeat("0123456789abcdef", 4)
	for name, value := range map[string]string{
		"SETTLE_ENV": "", "SETTLE_DATABASE_URL": storetest.URL(t), "SETTLE_TEMPORAL_ADDRESS": "127.0.0.1:1", "SETTLE_PUBLIC_URL": "https://pay.example.com",
		"SETTLE_CHAINS_FILE": file("chains", `{"chains":[{"family":"evm","name":"ethereum"}]}`), "SETTLE_KEYS_FILE": file("keys", "{}"),
		"SETTLE_API_KEY_PEPPERS": "p1:" + random, "SETTLE_WEBHOOK_KEYS": "w1:" + random,
	} {
		t.Setenv(name, value)
	}
	if c, err := config.Load(config.API, config.Worker); err != nil || c.Environment != config.Production {
		t.Fatalf("without relaxations: %s, %v", c.Environment, err)
	}
	for _, relaxed := range []struct{ command, setting, value string }{
		{"api", "SETTLE_PUBLIC_URL", "http://pay.example.com"},
		{"api", "SETTLE_PUBLIC_URL", ""},
		{"api", "SETTLE_WEBHOOK_ALLOW_CIDRS", "127.0.0.0/8"},
		{"worker", "SETTLE_WEBHOOK_ALLOW_CIDRS", "0.0.0.0/0"},
		{"api", "SETTLE_API_KEY_PEPPERS", "p1:" + strings.Repeat("00", 32)},
		{"api", "SETTLE_API_KEY_PEPPERS", ""},
		{"worker", "SETTLE_WEBHOOK_KEYS", "w1:" + strings.Repeat("11", 32)},
		{"worker", "SETTLE_CRASH_AT", "Settle.before:1"},
	} {
		t.Run(relaxed.command+" "+relaxed.setting+"="+relaxed.value, func(t *testing.T) {
			t.Setenv(relaxed.setting, relaxed.value)
			root := settle()
			root.SetArgs([]string{relaxed.command})
			err := root.ExecuteContext(t.Context())
			var faults config.Faults
			if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Setting != relaxed.setting {
				t.Errorf("started, or refused for another reason: %v", err)
			}
		})
	}
}

// Whatever a process reads from its environment is a setting, which is checked
// at start, or one of these: two of the terminal, and two of tests, of which
// one is refused in production and the other only stops the process.
func TestNothingElseIsReadFromTheEnvironment(t *testing.T) {
	known := []string{"SETTLE_API_KEY", "SETTLE_API_URL", "SETTLE_CRASH_AT", "SETTLE_STOP_ON_EOF", "SETTLE_WEBHOOK_SECRET"}
	reads := regexp.MustCompile(`os\.(?:Getenv|LookupEnv)\("?([^)"]*)`)
	var found []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "internal" || d.Name() == "sandbox" || d.Name() == ".build" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range reads.FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		return err
	})
	slices.Sort(found)
	if found = slices.Compact(found); err != nil || !slices.Equal(found, known) {
		t.Errorf("read: %v, %v, want %v", found, err, known)
	}
}

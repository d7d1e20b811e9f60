package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/config"
)

const (
	key1 = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	key2 = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complete is an environment without a fault for an API and a worker.
func complete(t *testing.T) map[string]string {
	return map[string]string{
		"SETTLE_ENV":              "production",
		"SETTLE_DATABASE_URL":     "postgres://settle:hunter2@db:5432/settle",
		"SETTLE_TEMPORAL_ADDRESS": "temporal:7233",
		"SETTLE_PUBLIC_URL":       "https://pay.example.com/",
		"SETTLE_CHAINS_FILE":      write(t, "chains.json", `{"chains":[{"family":"evm","name":"ethereum","chain_id":1},{"family":"solana","name":"solana"}]}`),
		"SETTLE_KEYS_FILE":        write(t, "keys.json", `{}`),
		"SETTLE_API_KEY_PEPPERS":  "p2:" + key1 + key1 + ", p1:" + key2,
		"SETTLE_WEBHOOK_KEYS":     "w1:" + key1,
	}
}

func TestParseComplete(t *testing.T) {
	t.Parallel()
	e := complete(t)
	e["SETTLE_WEBHOOK_ALLOW_CIDRS"] = "10.1.0.0/16,fd00::/8"
	c, err := config.Parse(e, config.API, config.Worker)
	if err != nil {
		t.Fatal(err)
	}
	if c.TaskQueue != "settle" || c.TemporalNamespace != "default" || c.APIAddress != "127.0.0.1:8080" || c.RateLimit != 100 || c.WorkerStopTimeout != 20*time.Second {
		t.Errorf("defaults: %+v", c)
	}
	if c.PublicURL != "https://pay.example.com" {
		t.Errorf("PublicURL = %q, want it without the slash", c.PublicURL)
	}
	if len(c.APIKeyPeppers) != 2 || c.APIKeyPeppers[0].ID != "p2" || len(c.APIKeyPeppers[0].Key) != 64 {
		t.Errorf("peppers: %v", c.APIKeyPeppers)
	}
	if _, ok := c.APIKeyPeppers.Find("p1"); !ok {
		t.Error("the old pepper is gone")
	}
	if len(c.Chains) != 2 || c.Chains[0].Name != "ethereum" || c.Chains[1].Family != "solana" || !strings.Contains(string(c.Chains[0].Raw), "chain_id") {
		t.Errorf("chains: %+v", c.Chains)
	}
	if len(c.WebhookAllowCIDRs) != 2 {
		t.Errorf("CIDRs: %v", c.WebhookAllowCIDRs)
	}
	if s := fmt.Sprintf("%v %s", c, c.APIKeyPeppers); strings.Contains(s, "[0 1 2") || !strings.Contains(s, "keyring(p2, p1)") {
		t.Errorf("printing shows keys: %s", s)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change map[string]string
		want   string // the fault's line begins with it
	}{
		{"database missing", map[string]string{"SETTLE_DATABASE_URL": ""}, "SETTLE_DATABASE_URL: is missing: set it or SETTLE_DATABASE_URL_FILE"},
		{"database not a URL", map[string]string{"SETTLE_DATABASE_URL": "mysql://u:hunter2@h/d"}, "SETTLE_DATABASE_URL: is not a PostgreSQL URL (value: redacted, 21 characters)"},
		{"redis", map[string]string{"SETTLE_REDIS_URL": "localhost"}, "SETTLE_REDIS_URL: is not a Redis URL"},
		{"temporal", map[string]string{"SETTLE_TEMPORAL_ADDRESS": "temporal"}, `SETTLE_TEMPORAL_ADDRESS: is not host:port (value: "temporal")`},
		{"namespace", map[string]string{"SETTLE_TEMPORAL_NAMESPACE": "a b"}, "SETTLE_TEMPORAL_NAMESPACE: is not a name"},
		{"task queue", map[string]string{"SETTLE_TASK_QUEUE": "a/b"}, "SETTLE_TASK_QUEUE: is not a name"},
		{"address", map[string]string{"SETTLE_API_ADDRESS": ":99999"}, "SETTLE_API_ADDRESS: is not host:port"},
		{"admin address", map[string]string{"SETTLE_ADMIN_ADDRESS": "8081"}, "SETTLE_ADMIN_ADDRESS: is not host:port"},
		{"environment", map[string]string{"SETTLE_ENV": "prod"}, `SETTLE_ENV: is unknown (value: "prod")`},
		{"level", map[string]string{"SETTLE_LOG_LEVEL": "loud"}, "SETTLE_LOG_LEVEL: is unknown"},
		{"format", map[string]string{"SETTLE_LOG_FORMAT": "xml"}, "SETTLE_LOG_FORMAT: is unknown"},
		{"public URL missing in production", map[string]string{"SETTLE_PUBLIC_URL": ""}, "SETTLE_PUBLIC_URL: is missing"},
		{"public URL plain in production", map[string]string{"SETTLE_PUBLIC_URL": "http://pay.example.com"}, "SETTLE_PUBLIC_URL: is not https"},
		{"public URL nonsense", map[string]string{"SETTLE_PUBLIC_URL": "pay.example.com"}, "SETTLE_PUBLIC_URL: is not a plain http(s) URL"},
		{"pepper short", map[string]string{"SETTLE_API_KEY_PEPPERS": "p1:0011"}, `SETTLE_API_KEY_PEPPERS: key "p1" has 2 bytes`},
		{"pepper trivial", map[string]string{"SETTLE_API_KEY_PEPPERS": "p1:" + strings.Repeat("00", 32)}, `SETTLE_API_KEY_PEPPERS: key "p1" is one byte repeated`},
		{"pepper without id", map[string]string{"SETTLE_API_KEY_PEPPERS": key1}, "SETTLE_API_KEY_PEPPERS: entry 1 is not id:hex (value: redacted, 64 characters)"},
		{"pepper not hex", map[string]string{"SETTLE_API_KEY_PEPPERS": "p1:" + key1 + ",p2:zz"}, "SETTLE_API_KEY_PEPPERS: the key of entry 2 is not hex"},
		{"pepper id twice", map[string]string{"SETTLE_API_KEY_PEPPERS": "p1:" + key1 + ",p1:" + key2}, `SETTLE_API_KEY_PEPPERS: entry 2 repeats the id "p1"`},
		{"webhook key long", map[string]string{"SETTLE_WEBHOOK_KEYS": "w:" + key1 + "00"}, `SETTLE_WEBHOOK_KEYS: key "w" has 33 bytes`},
		{"CIDR nonsense", map[string]string{"SETTLE_WEBHOOK_ALLOW_CIDRS": "10.0.0.1"}, "SETTLE_WEBHOOK_ALLOW_CIDRS: is not a list of networks"},
		{"CIDR loopback in production", map[string]string{"SETTLE_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8"}, "SETTLE_WEBHOOK_ALLOW_CIDRS: opens 127.0.0.0/8"},
		{"CIDR everything in production", map[string]string{"SETTLE_WEBHOOK_ALLOW_CIDRS": "0.0.0.0/0"}, "SETTLE_WEBHOOK_ALLOW_CIDRS: opens 0.0.0.0/0"},
		{"CIDR metadata in production", map[string]string{"SETTLE_WEBHOOK_ALLOW_CIDRS": "169.254.169.254/32"}, "SETTLE_WEBHOOK_ALLOW_CIDRS: opens 169.254.169.254/32"},
		{"limit not a number", map[string]string{"SETTLE_WORKER_ACTIVITIES": "many"}, `SETTLE_WORKER_ACTIVITIES: is not a whole number (value: "many")`},
		{"limit out of range", map[string]string{"SETTLE_WORKER_POLLERS": "0"}, "SETTLE_WORKER_POLLERS: is out of range"},
		{"rate limit negative", map[string]string{"SETTLE_RATE_LIMIT": "-1"}, "SETTLE_RATE_LIMIT: is out of range"},
		{"rate limit not a number", map[string]string{"SETTLE_RATE_LIMIT": "1/s"}, `SETTLE_RATE_LIMIT: is not a whole number (value: "1/s")`},
		{"a person asked at once", map[string]string{"SETTLE_STALLED_AFTER": "1m"}, "SETTLE_STALLED_AFTER: is out of range"},
		{"a person asked too late", map[string]string{"SETTLE_STALLED_AFTER": "25h"}, "SETTLE_STALLED_AFTER: is out of range"},
		{"backlog negative", map[string]string{"SETTLE_MAX_BACKLOG": "-1"}, "SETTLE_MAX_BACKLOG: is out of range"},
		{"duration", map[string]string{"SETTLE_WORKER_STOP_TIMEOUT": "20"}, "SETTLE_WORKER_STOP_TIMEOUT: is not a duration"},
		{"keys file", map[string]string{"SETTLE_KEYS_FILE": "/nonexistent/keys"}, `SETTLE_KEYS_FILE: cannot be read (value: "/nonexistent/keys")`},
		{"keys file is a directory", map[string]string{"SETTLE_KEYS_FILE": os.TempDir()}, "SETTLE_KEYS_FILE: is a directory"},
		{"chains not JSON", map[string]string{"SETTLE_CHAINS_FILE": write(t, "a", "{")}, "SETTLE_CHAINS_FILE: is not JSON"},
		{"chains empty", map[string]string{"SETTLE_CHAINS_FILE": write(t, "b", "{}")}, "SETTLE_CHAINS_FILE: lists no chain"},
		{"chain family", map[string]string{"SETTLE_CHAINS_FILE": write(t, "c", `{"chains":[{"family":"tron","name":"t"}]}`)}, `SETTLE_CHAINS_FILE: entry 1 has an unknown family (value: "tron")`},
		{"chain name", map[string]string{"SETTLE_CHAINS_FILE": write(t, "d", `{"chains":[{"family":"evm"}]}`)}, "SETTLE_CHAINS_FILE: entry 1 has no usable name"},
		{"chain twice", map[string]string{"SETTLE_CHAINS_FILE": write(t, "e", `{"chains":[{"family":"evm","name":"x"},{"family":"solana","name":"x"}]}`)}, "SETTLE_CHAINS_FILE: entry 2 repeats a name"},
		{"secret twice", map[string]string{"SETTLE_WEBHOOK_KEYS_FILE": "/x"}, "SETTLE_WEBHOOK_KEYS: is set twice"},
		{"secret file unreadable", map[string]string{"SETTLE_WEBHOOK_KEYS": "", "SETTLE_WEBHOOK_KEYS_FILE": "/nonexistent/w"}, "SETTLE_WEBHOOK_KEYS: cannot be read from SETTLE_WEBHOOK_KEYS_FILE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := complete(t)
			for k, v := range tt.change {
				e[k] = v
			}
			_, err := config.Parse(e, config.API, config.Worker)
			var faults config.Faults
			if !errors.As(err, &faults) || len(faults) != 1 {
				t.Fatalf("err = %v, want one fault", err)
			}
			line := faults[0].String()
			if !strings.HasPrefix(line, tt.want) || strings.Contains(line, "\n") {
				t.Errorf("fault: %s\nwant:  %s...", line, tt.want)
			}
			if faults[0].Remedy == "" || strings.Contains(line, "hunter2") || strings.Contains(line, key1) {
				t.Errorf("no remedy, or a secret: %s", line)
			}
		})
	}
}

func TestAllFaultsAtOnceInTheOrderOfTheSettings(t *testing.T) {
	t.Parallel()
	_, err := config.Parse(map[string]string{"SETTLE_LOG_LEVEL": "loud", "SETTLE_WORKER_ACTIVITIES": "many"}, config.API, config.Worker)
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatal(err)
	}
	var names []string
	for _, f := range faults {
		names = append(names, f.Setting)
	}
	want := []string{"SETTLE_LOG_LEVEL", "SETTLE_DATABASE_URL", "SETTLE_TEMPORAL_ADDRESS", "SETTLE_PUBLIC_URL", "SETTLE_CHAINS_FILE",
		"SETTLE_KEYS_FILE", "SETTLE_API_KEY_PEPPERS", "SETTLE_WEBHOOK_KEYS", "SETTLE_WORKER_ACTIVITIES"}
	if !slices.Equal(names, want) {
		t.Errorf("faults of %v\nwant      %v", names, want)
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(want) {
		t.Errorf("%d lines, want one per fault:\n%v", got, err)
	}
}

func TestSecretFromFile(t *testing.T) {
	t.Parallel()
	e := complete(t)
	delete(e, "SETTLE_DATABASE_URL")
	e["SETTLE_DATABASE_URL_FILE"] = write(t, "db", "postgres://file@db/settle\n")
	c, err := config.Parse(e, config.Worker)
	if err != nil || c.DatabaseURL != "postgres://file@db/settle" {
		t.Errorf("DatabaseURL = %q, %v", c.DatabaseURL, err)
	}
}

func TestAComponentNeedsOnlyItsOwnSettings(t *testing.T) {
	t.Parallel()
	e := map[string]string{"SETTLE_DATABASE_URL": "postgres://db/settle", "SETTLE_API_ADDRESS": "nonsense"}
	if _, err := config.Parse(e, config.Migrate); err != nil {
		t.Error(err)
	}
}

func TestTestEnvironmentMayReachItself(t *testing.T) {
	t.Parallel()
	e := complete(t)
	e["SETTLE_ENV"], e["SETTLE_WEBHOOK_ALLOW_CIDRS"], e["SETTLE_PUBLIC_URL"] = "test", "127.0.0.0/8,::1/128", ""
	c, err := config.Parse(e, config.API)
	if err != nil || c.PublicURL != "http://127.0.0.1:8080" {
		t.Errorf("PublicURL %q, %v", c.PublicURL, err)
	}
}

// The example file names every setting, and no other.
func TestExampleFile(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	environ := map[string]string{}
	var listed []string
	for _, m := range regexp.MustCompile(`(?m)^(# )?(SETTLE_[A-Z_]+)=(.*)$`).FindAllStringSubmatch(string(content), -1) {
		listed = append(listed, m[2])
		if m[1] == "" {
			environ[m[2]] = m[3]
		}
	}
	var settings []string
	for f := range reflect.TypeFor[config.Config]().Fields() {
		if name := f.Tag.Get("env"); name != "" {
			settings = append(settings, name)
		}
	}
	if !slices.Equal(listed, settings) {
		t.Errorf("example lists\n%v\nsettings are\n%v", listed, settings)
	}
	environ["SETTLE_CHAINS_FILE"] = write(t, "chains.json", `{"chains":[{"family":"evm","name":"ethereum"}]}`)
	environ["SETTLE_KEYS_FILE"] = write(t, "keys.json", `{}`)
	if _, err := config.Parse(environ, config.API, config.Worker); err != nil {
		t.Errorf("the example does not load: %v", err)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// servers run until they are stopped, and print nothing but logs.
var servers = map[string]bool{"settle api": true, "settle worker": true}

// commands are those of ours that do something.
func commands(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Short == "" {
				t.Errorf("%s does not say what it is for", sub.CommandPath())
			}
			if sub.Runnable() {
				all = append(all, sub)
			}
			walk(sub)
		}
	}
	walk(settle())
	return all
}

// needsArguments reports whether a command does nothing when its name alone is typed.
func needsArguments(c *cobra.Command) bool {
	required := false
	c.Flags().VisitAll(func(f *pflag.Flag) { required = required || f.Annotations[cobra.BashCompOneRequiredFlag] != nil })
	return required || c.ValidateArgs(nil) != nil
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for _, c := range commands(t) {
		path := c.CommandPath()
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s is not explained", path, f.Name)
			}
		})
		if !servers[path] {
			if f := c.Flags().Lookup("output"); f == nil || f.DefValue != "table" || !strings.Contains(f.Usage, "json") {
				t.Errorf("%s prints data and has no --output json|table", path)
			}
		}
		if needsArguments(c) && c.Example == "" {
			t.Errorf("%s takes arguments and shows no example", path)
		}
	}
}

// TestExamplesInHelpAreValid: what help shows is understood when it is typed.
func TestExamplesInHelpAreValid(t *testing.T) {
	t.Parallel()
	for _, c := range commands(t) {
		for example := range strings.Lines(c.Example) {
			_, typed, ok := strings.Cut(strings.TrimSpace(example), "settle ")
			if !ok {
				t.Errorf("%s: the example %q is no command line", c.CommandPath(), example)
				continue
			}
			words := strings.FieldsFunc(quoted(typed), func(r rune) bool { return r == ' ' })
			found, rest, err := settle().Find(words)
			if err != nil || found.CommandPath() != c.CommandPath() {
				t.Errorf("%q is not %s: %v", example, c.CommandPath(), err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", example, err)
			} else if err := found.ValidateRequiredFlags(); err != nil {
				t.Errorf("%q: %v", example, err)
			} else if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%q: %v", example, err)
			}
		}
	}
}

// quoted joins what a shell's quotes hold together.
func quoted(line string) string {
	parts := strings.Split(line, "'")
	for i := 1; i < len(parts); i += 2 {
		parts[i] = strings.ReplaceAll(parts[i], " ", "_")
	}
	return strings.Join(parts, "")
}

func TestCompletionForEveryShell(t *testing.T) {
	tt := &terminal{T: t}
	for shell, mark := range map[string]string{"bash": "__start_settle", "zsh": "#compdef settle", "fish": "complete -c settle", "powershell": "Register-ArgumentCompleter"} {
		if script := tt.run("completion", shell); !strings.Contains(script, mark) {
			t.Errorf("completion %s:\n%.200s", shell, script)
		}
	}
	if words := tt.run("__complete", "payments", ""); !strings.Contains(words, "list\t") || !strings.Contains(words, "show\t") {
		t.Errorf("payments is completed by:\n%s", words)
	}
}

// TestMerchantCommandsAsPrograms: with --output json a merchant's commands print
// what the API said, and nothing else.
func TestMerchantCommandsAsPrograms(t *testing.T) {
	const id = "pi_1"
	payment := `{"id":"pi_1","object":"payment_intent","mode":"test","status":"settled","amount":"1.500000","asset":"USDC","destinations":[],"priority":"cheap",` +
		`"reference":"r-1","transaction_hash":"0xabc","sequence":1,"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:02Z"}`
	event := `{"id":"evt_1","object":"event","type":"payment_intent.settled","api_version":"v","timestamp":"2026-01-01T00:00:02Z","data":{"object":` + payment + `}}`
	answers := map[string]string{
		"POST /v1/payment_intents":            payment,
		"GET /v1/payment_intents":             `{"object":"list","has_more":false,"data":[` + payment + `]}`,
		"GET /v1/payment_intents/pi_1":        payment,
		"GET /v1/payment_intents/pi_1/events": `{"object":"list","has_more":false,"data":[` + event + `]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "id: 1\ndata: %s\n\n", event)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = fmt.Fprint(w, answers[r.Method+" "+r.URL.Path]) // a client that is gone says so itself
	}))
	defer server.Close()
	t.Setenv("SETTLE_API_URL", server.URL)
	t.Setenv("SETTLE_API_KEY", "sk_test_x")
	tt := &terminal{T: t}
	for args, want := range map[string][2]string{
		"payments list":           {"pi_1", "[{"},
		"payments show " + id:     {"r-1", `{"payment_intent":{`},
		"pay 1.50 --to ethereum:": {"pi_1\n", `{"id":"1","event":{`},
		"watch " + id:             {"settled", `{"id":"1","event":{`},
	} {
		if out := tt.run(strings.Fields(args)...); !strings.Contains(out+"\n", want[0]) || strings.Contains(out, want[1]) {
			t.Errorf("settle %s:\n%s", args, out)
		}
		var printed json.RawMessage
		tt.json(&printed, strings.Fields(args)...)
		if compact := strings.NewReplacer("\n", "", " ", "").Replace(string(printed)); !strings.HasPrefix(compact, want[1]) {
			t.Errorf("settle %s --output json:\n%s", args, compact)
		}
	}
}

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/settlehq/settle/internal/deployment"
)

// TestCommandLine pays and looks at the payment from a terminal.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	out := d.Run(t, "pay", "1.50", "--to", "ethereum:"+payeeOn(t, "ethereum"), "--reference", "invoice-7", "--idempotency-key", "cli-1")
	id, _, _ := strings.Cut(out, "\n")
	for _, step := range []string{"created", "routed", "submitted", "settled", "0x"} {
		if !strings.Contains(out, step) {
			t.Errorf("pay does not show %q:\n%s", step, out)
		}
	}
	if again := d.Run(t, "pay", "1.50", "--to", "ethereum:"+payeeOn(t, "ethereum"), "--idempotency-key", "cli-2"); strings.HasPrefix(again, id) {
		t.Errorf("another key made the same payment: %s", again)
	}
	if list := d.Run(t, "payments", "list", "--status", "settled"); strings.Count(list, "pi_") != 2 || !strings.Contains(list, id) {
		t.Errorf("payments list:\n%s", list)
	}
	if show := d.Run(t, "payments", "show", id); !strings.Contains(show, "invoice-7") || !strings.Contains(show, "payment_intent.settled") {
		t.Errorf("payments show:\n%s", show)
	}
	if watched := d.Run(t, "watch", id, "--output", "json"); !strings.HasPrefix(watched, `{"id":"1","event":{"id":"evt_`) || strings.Count(watched, "\n") != len(d.Events(t, id)) {
		t.Errorf("watch:\n%s", watched)
	}
	if out, err := d.TryRun("watch", "pi_none"); err == nil || !strings.Contains(out, "not_found") {
		t.Errorf("watch nothing: %v\n%s", err, out)
	}
	if out, err := d.TryRun("events", "tail", "--after", "nowhere"); err == nil || !strings.Contains(out, "cursor_invalid") {
		t.Errorf("tail from nowhere: %v\n%s", err, out)
	}
	if out, err := d.TryRun("pay", "1.50", "--to", "ethereum:0x123"); err == nil || !strings.Contains(out, "address_malformed") {
		t.Errorf("a bad address: %v\n%s", err, out)
	}
	if out := d.BooksClose(t); !strings.Contains(out, " 0 differences") {
		t.Errorf("settle check: %s", out)
	}
}

// TestBatchFromTheCommandLine pays a file, and is told what is wrong with another.
func TestBatchFromTheCommandLine(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	file := filepath.Join(t.TempDir(), "payroll.csv")
	write := func(lines ...string) {
		t.Helper()
		text := "amount,asset,chain,address,reference\n" + strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	onEthereum := "1.50,USDC,ethereum," + payeeOn(t, "ethereum") + ",anna"
	write(onEthereum, "2.50,USDC,solana,"+payeeOn(t, "solana")+",ben")
	out := d.Run(t, "batch", "submit", file, "--reference", "payroll-7", "--idempotency-key", "payroll", "--start", "--watch")
	if !strings.Contains(out, "2 of 2 lines: 2 settled") || !strings.Contains(out, "completed") {
		t.Errorf("batch submit:\n%s", out)
	}
	id := regexp.MustCompile(`batch_[0-9a-f]+`).FindString(out)
	if again := d.Run(t, "batch", "submit", file, "--reference", "payroll-7", "--idempotency-key", "payroll"); !strings.Contains(again, id) {
		t.Errorf("repeated:\n%s", again)
	}
	if lines := d.Run(t, "batch", "lines", id, "--status", "settled"); strings.Count(lines, "pi_") != 2 || !strings.Contains(lines, "anna") || !strings.Contains(lines, "0x") {
		t.Errorf("batch lines:\n%s", lines)
	}
	write(onEthereum, "-1,USDC,ethereum,0x123,carl")
	out, err := d.TryRun("batch", "submit", file, "--start")
	if err == nil || !strings.Contains(out, "1 of 2 lines are not valid") {
		t.Errorf("a faulty file: %v\n%s", err, out)
	}
	faulty := regexp.MustCompile(`batch_[0-9a-f]+`).FindString(out)
	if faults := d.Run(t, "batch", "errors", faulty); !strings.Contains(faults, "amount_not_positive") || !strings.Contains(faults, "address_malformed") {
		t.Errorf("batch errors:\n%s", faults)
	}
	if out, err := d.TryRun("batch", "start", faulty); err == nil || !strings.Contains(out, "batch") {
		t.Errorf("a faulty batch was started: %v\n%s", err, out)
	}
	write(onEthereum)
	ready := regexp.MustCompile(`batch_[0-9a-f]+`).FindString(d.Run(t, "batch", "submit", file))
	if out := d.Run(t, "batch", "cancel", ready); !strings.Contains(out, "canceled") {
		t.Errorf("batch cancel:\n%s", out)
	}
	if out := d.Run(t, "batch", "get", id, "--output", "json"); !strings.Contains(out, `"status": "completed"`) {
		t.Errorf("batch get:\n%s", out)
	}
	d.BooksClose(t)
}

// TestBlockedAddresses: an operator blocks an address in another spelling than
// the merchant's, and no payment to it is made until it is unblocked.
func TestBlockedAddresses(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	payee := payeeOn(t, "ethereum")
	d.Run(t, "addresses", "block", strings.ToLower(payee), "--reason", "sanctioned")
	if list := d.Run(t, "addresses", "list"); !strings.Contains(list, payee) || !strings.Contains(list, "sanctioned") {
		t.Errorf("addresses list:\n%s", list)
	}
	if out, err := d.TryRun("pay", "1.50", "--to", "ethereum:"+payee); err == nil || !strings.Contains(out, "rejected") {
		t.Errorf("a blocked address: %v\n%s", err, out)
	}
	d.Run(t, "addresses", "unblock", payee, "--reason", "a mistake")
	if out := d.Run(t, "pay", "1.50", "--to", "ethereum:"+payee); !strings.Contains(out, "settled") {
		t.Errorf("an unblocked address:\n%s", out)
	}
	for want, args := range map[string][]string{
		"not found":                 {"addresses", "unblock", payee, "--reason", "again"},
		"is not configured":         {"addresses", "block", payee, "--chain", "nowhere", "--reason", "x"},
		"0x123":                     {"addresses", "block", "0x123", "--reason", "x"},
		`required flag(s) "reason"`: {"addresses", "block", payee},
	} {
		if out, err := d.TryRun(args...); err == nil || !strings.Contains(out, want) {
			t.Errorf("settle %v: %v\n%s", args, err, out)
		}
	}
}

// TestStartUpNamesEveryFault: a process that lacks its settings says all that
// is wrong, one line each, and exits with 2.
func TestStartUpNamesEveryFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command string
		env     []string
		faults  []string
	}{
		{"worker", nil, []string{"SETTLE_DATABASE_URL", "SETTLE_TEMPORAL_ADDRESS", "SETTLE_CHAINS_FILE", "SETTLE_KEYS_FILE", "SETTLE_WEBHOOK_KEYS"}},
		{"api", []string{"SETTLE_LOG_LEVEL=loud", "SETTLE_WEBHOOK_ALLOW_CIDRS=10.0.0.0/99"},
			[]string{"SETTLE_LOG_LEVEL", "SETTLE_DATABASE_URL", "SETTLE_TEMPORAL_ADDRESS", "SETTLE_PUBLIC_URL", "SETTLE_CHAINS_FILE", "SETTLE_API_KEY_PEPPERS",
				"SETTLE_WEBHOOK_KEYS", "SETTLE_WEBHOOK_ALLOW_CIDRS"}},
		{"migrate", nil, []string{"SETTLE_DATABASE_URL"}},
	} {
		cmd := exec.Command(deployment.Build(t), c.command)
		cmd.Env = append([]string{"PATH=/usr/bin:/bin"}, c.env...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 {
			t.Errorf("%s exits with %d:\n%s", c.command, code, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != len(c.faults) {
			t.Errorf("%s: %d lines for %d faults:\n%s", c.command, len(lines), len(c.faults), out)
		}
		for _, fault := range c.faults {
			if !strings.Contains(string(out), fault+": ") {
				t.Errorf("%s does not name %s:\n%s", c.command, fault, out)
			}
		}
	}
}

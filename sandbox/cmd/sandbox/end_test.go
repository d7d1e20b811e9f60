package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestKilledSupervisorLeavesNothing(t *testing.T) {
	t.Parallel()
	s := startUp(t, tempDir(t), "--rm")
	pids := descendants(t, s.cmd.Process.Pid)
	// Five parts, PostgreSQL with its backends and its guard, and node.
	if len(pids) < 12 {
		t.Fatalf("only %d processes below the supervisor", len(pids))
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, pids)
	await(t, "the temporary directory is removed", func() error { return absent(s.dir) })
}

// Even together with the part that would have stopped it, PostgreSQL doesn't
// outlive the supervisor; and what follows in the directory finds its data.
func TestKilledTogetherWithPostgresPart(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s := startUp(t, dir, core)
	d := s.descriptor()
	if _, err := pgExec(t.Context(), d.Postgres.URL, "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatal(err)
	}
	pids := descendants(t, s.cmd.Process.Pid)
	_ = s.cmd.Process.Kill()
	_ = syscall.Kill(d.Parts["postgres"].PID, syscall.SIGKILL)

	// At once: the new one waits for the leftovers.
	again := startUp(t, dir, core)
	awaitGone(t, pids)
	answer, err := pgExec(t.Context(), again.descriptor().Postgres.URL, "SELECT answer FROM kept")
	if err != nil || answer != "42" {
		t.Errorf("the row is %q, %v", answer, err)
	}
}

func TestEndsWithTheWatchedProcess(t *testing.T) {
	t.Parallel()
	watched := exec.Command("cat") // lives as long as its input
	stdin, err := watched.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watched.Start(); err != nil {
		t.Fatal(err)
	}
	s := startUp(t, tempDir(t), "--rm", "--parts=redis", "--watch-pid", strconv.Itoa(watched.Process.Pid))
	pids := descendants(t, s.cmd.Process.Pid)
	_ = stdin.Close()
	_ = watched.Wait()
	awaitGone(t, append(pids, s.cmd.Process.Pid))
	if err := absent(s.dir); err != nil {
		t.Error(err)
	}
}

func TestRefusesASecondSandboxInTheDirectory(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	first := startUp(t, dir, "--parts=redis")
	second := launchUp(t, dir, "--parts=redis")
	<-second.done
	if code := second.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(second.log.String(), "already running") {
		t.Errorf("exit code %d, said %s", code, second.log)
	}
	if err := pingRedis(t.Context(), first.descriptor()); err != nil {
		t.Errorf("the first one was harmed: %v", err)
	}
}

// A start that fails tells why, ends with code 1 and leaves nothing.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	for name, c := range map[string]struct {
		env  string
		args []string
		says string
	}{
		"port in use":        {args: []string{"--parts=redis", "--redis-port=" + port}, says: "in use"},
		"unknown part":       {args: []string{"--parts=redis,mysql"}, says: `no part "mysql"`},
		"missing need":       {args: []string{"--parts=temporal"}, says: "needs part postgres"},
		"useless server":     {env: "SETTLE_POSTGRES_URL=postgres://nobody@127.0.0.1:1/postgres", args: []string{core}, says: "SETTLE_POSTGRES_URL"},
		"useless redis":      {env: "SETTLE_REDIS_URL=redis://127.0.0.1:1", args: []string{"--parts=redis"}, says: "SETTLE_REDIS_URL"},
		"not the repository": {env: "SETTLE_SANDBOX_ROOT=/", args: []string{"--parts=solana"}, says: "SETTLE_SANDBOX_ROOT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			dir := tempDir(t)
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe, append([]string{"up", "--rm", "--dir", dir}, c.args...)...)
			cmd.Env = append(environ(), c.env)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), c.says) {
				t.Errorf("want exit code 1 and %q, got %v and\n%s", c.says, err, out)
			}
			if err := absent(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		script string
		code   int
		prints string
	}{
		"success":        {`test -s "$SETTLE_SANDBOX" && echo found`, 0, "found"},
		"exit code":      {`exit 7`, 7, ""},
		"killed command": {`kill -9 $$`, 137, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			cmd := exec.Command(exe, "exec", "--rm", "--dir", dir, "--parts=redis", "--", "sh", "-c", c.script)
			out, _ := cmd.Output()
			if cmd.ProcessState.ExitCode() != c.code || strings.TrimSpace(string(out)) != c.prints {
				t.Errorf("want %d and %q, got %d and %q", c.code, c.prints, cmd.ProcessState.ExitCode(), out)
			}
			if err := absent(filepath.Join(dir, "state.json")); err != nil {
				t.Error(err)
			}
		})
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/settlehq/settle/sandbox/proc"
)

// The test binary is the sandbox binary: a supervisor starts its own executable
// for the parts, so the same code runs here as in the product.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "up" || os.Args[1] == "exec" || os.Args[1] == "part") {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// core are the parts that need nothing but Go and PostgreSQL.
const core = "--parts=postgres,temporal,redis"

// deadline is for one condition on a busy machine; all of them usually hold
// within two seconds.
const deadline = 60 * time.Second

// descriptor is what these tests read of sandbox.json.
type descriptor struct {
	PID      int
	Dir      string
	Postgres struct{ URL string }
	Redis    struct{ URL string }
	Temporal struct {
		Address, Namespace string
		UIURL              string `json:"ui_url"`
	}
	Ethereum struct {
		HTTPURL string `json:"http_url"`
	}
	Solana struct {
		HTTPURL string `json:"http_url"`
	}
	Parts map[string]struct {
		PID    int
		Detail string
	}
}

// upProcess is a `sandbox up` under test.
type upProcess struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan struct{}
}

// startUp runs `sandbox up --dir dir args...` and waits until it is ready.
func startUp(t *testing.T, dir string, args ...string) *upProcess {
	t.Helper()
	s := launchUp(t, dir, args...)
	s.await("sandbox.json", func() error {
		d, err := s.read()
		if err == nil && d.PID != s.cmd.Process.Pid {
			err = errors.New("it is a predecessor's")
		}
		return err
	})
	return s
}

// launchUp doesn't wait. Arguments of the form SETTLE_X=Y go to the environment.
func launchUp(t *testing.T, dir string, args ...string) *upProcess {
	t.Helper()
	env := environ()
	for len(args) > 0 && strings.HasPrefix(args[0], "SETTLE_") {
		env, args = append(env, args[0]), args[1:]
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &upProcess{t: t, dir: dir, log: &lockedBuffer{}, done: make(chan struct{})}
	s.cmd = exec.Command(exe, append([]string{"up", "--dir", dir, "--watch-pid", strconv.Itoa(os.Getpid())}, args...)...)
	s.cmd.Stderr = s.log
	s.cmd.Env = env
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("supervisor said:\n%s", s.log)
		}
	})
	return s
}

// stop asks the supervisor to end and waits until it has; its exit code.
func (s *upProcess) stop() int {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(deadline):
		_ = s.cmd.Process.Kill()
		s.t.Errorf("the supervisor didn't stop")
	}
	return s.cmd.ProcessState.ExitCode()
}

func (s *upProcess) read() (descriptor, error) {
	var d descriptor
	b, err := os.ReadFile(filepath.Join(s.dir, "sandbox.json"))
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(b, &d)
}

func (s *upProcess) descriptor() descriptor {
	s.t.Helper()
	d, err := s.read()
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// await repeats check until it returns nil, and fails the test if the
// supervisor ends first.
func (s *upProcess) await(what string, check func() error) {
	s.t.Helper()
	await(s.t, what, func() error {
		err := check()
		select {
		case <-s.done:
			if err != nil {
				s.t.Fatalf("%s: the supervisor ended:\n%s", what, s.log)
			}
		default:
		}
		return err
	})
}

func await(t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// awaitGone waits until none of the processes is left.
func awaitGone(t *testing.T, pids []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	for _, pid := range pids {
		if err := proc.Gone(ctx, pid); err != nil {
			out, _ := exec.Command("ps", "-o", "pid,ppid,stat,args", "-p", strconv.Itoa(pid)).Output()
			t.Errorf("process %d is still there: %s", pid, out)
		}
	}
}

// descendants lists the processes below pid, itself excluded.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for line := range strings.Lines(string(out)) {
		var child, parent int
		if _, err := fmt.Sscan(line, &child, &parent); err != nil {
			t.Fatalf("ps: %q: %v", line, err)
		}
		children[parent] = append(children[parent], child)
	}
	var all []int
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// environ is ours without the servers that a developer or CI may offer: these
// tests are about those that the sandbox starts.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "SETTLE_POSTGRES_") || strings.HasPrefix(kv, "SETTLE_REDIS_")
	})
}

func absent(path string) error {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err == nil:
		return fmt.Errorf("%s exists", path)
	default:
		return err
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// tempDir is t.TempDir for a sandbox: PostgreSQL's user must pass through when
// the tests run as root.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != filepath.Dir(os.TempDir()) && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "sandbox")
}

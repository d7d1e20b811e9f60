package deployment

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/settlehq/settle/internal/sandbox"
)

// stopGrace is how long a process may take to stop by itself.
const stopGrace = 30 * time.Second

var build struct {
	sync.Once
	path string
	err  error
}

// Build compiles the settle binary, once per process, and returns its path.
func Build(t sandbox.T) string {
	t.Helper()
	build.Do(func() {
		_, file, _, _ := runtime.Caller(0)
		root := filepath.Join(filepath.Dir(file), "..", "..")
		// Each test binary builds its own file: go build is quick when cached,
		// and replacing a running binary is not possible.
		dir, err := os.MkdirTemp("", "settle-bin-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "settle")
		cmd := exec.Command("go", "build", "-o", build.path, "./cmd/settle")
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			build.err = fmt.Errorf("go build ./cmd/settle: %w\n%s", err, out)
		}
	})
	must(t, build.err)
	return build.path
}

// Run runs a command of the binary to its end and returns what it printed.
func (d *Deployment) Run(t sandbox.T, args ...string) string {
	t.Helper()
	out, err := d.TryRun(args...)
	if err != nil {
		t.Fatalf("settle %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TryRun is Run for a command that may fail.
func (d *Deployment) TryRun(args ...string) (string, error) {
	cmd := exec.Command(d.Binary, args...)
	cmd.Env = append(os.Environ(), d.env...)
	stdin, err := cmd.StdinPipe() // its end would stop the command
	if err != nil {
		return "", err
	}
	defer stdin.Close()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

// Process is one process of the deployment. Its output goes to a file.
type Process struct {
	Name string
	Log  string // path

	binary string
	args   []string
	env    []string
	t      sandbox.T

	mu     sync.Mutex
	cmd    *exec.Cmd
	stdin  io.Closer
	done   chan struct{}
	killed bool
}

func (d *Deployment) process(command string, suffix ...string) *Process {
	name := strings.Join(append([]string{command}, suffix...), "-")
	p := &Process{Name: name, Log: filepath.Join(d.Dir, name+".log"), binary: d.Binary, args: []string{command}, env: d.env, t: d.t}
	d.t.Cleanup(p.Stop)
	return p
}

// Start starts the process, or starts it again, with settings that hold for this
// life only.
func (p *Process) Start(settings ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(p.t, err)
	cmd := exec.Command(p.binary, p.args...)
	cmd.Env = slices.Concat(os.Environ(), p.env, settings)
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	must(p.t, err)
	must(p.t, cmd.Start())
	done := make(chan struct{})
	p.cmd, p.stdin, p.done, p.killed = cmd, stdin, done, false
	go func() {
		_ = cmd.Wait() // the state is in cmd.ProcessState
		_ = log.Close()
		close(done)
	}()
}

// Kill is kill -9, and returns when the process is gone.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.killed = true
	_ = p.cmd.Process.Kill() // an error means that it is gone already
	<-p.done
}

// Stop ends the process gently.
func (p *Process) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	p.killed = true
	_ = p.stdin.Close() // the process stops when its standard input ends
	select {
	case <-p.done:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// Done is closed when the process has ended. Call it after Start.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.done
}

// Exited returns an error with the end of the log if the process ended though
// nobody stopped it.
func (p *Process) Exited() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.killed {
		return nil
	}
	select {
	case <-p.done:
	default:
		return nil
	}
	return fmt.Errorf("%s ended (%s):\n%s", p.Name, p.cmd.ProcessState, p.Tail(4000))
}

// Tail returns the last n bytes of the log.
func (p *Process) Tail(n int) []byte {
	b, _ := os.ReadFile(p.Log) // no log, no tail
	return b[max(0, len(b)-n):]
}

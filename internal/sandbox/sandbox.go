package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// EnvDescriptor names the environment variable with the path of a running
// sandbox's descriptor.
const EnvDescriptor = "SETTLE_SANDBOX"

// T is what the sandbox needs of a test: testing.TB has it, and so may a
// program, such as the demo.
type T interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
	TempDir() string
	Name() string
}

// Sandbox is a running sandbox as one test uses it.
type Sandbox struct {
	Descriptor Descriptor
	migrate    func(ctx context.Context, url string) error
}

// Option changes how a test uses the sandbox.
type Option func(*Sandbox)

// WithMigrations makes Database return databases that up has migrated. It runs
// once per test run, on the template that all others are copies of; it must
// close its connections before it returns.
func WithMigrations(up func(ctx context.Context, url string) error) Option {
	return func(s *Sandbox) { s.migrate = up }
}

// join finds or starts the sandbox once per process. A failure is final, so that
// a hundred tests don't wait for the same timeout.
var join = sync.OnceValues(func() (Descriptor, error) {
	path := os.Getenv(EnvDescriptor)
	if path == "" {
		var err error
		if path, err = launch(); err != nil {
			return Descriptor{}, err
		}
	}
	return read(path)
})

// Start joins the sandbox of this test run, and starts it if need be.
func Start(t T, options ...Option) *Sandbox {
	t.Helper()
	d, err := join()
	if err != nil {
		t.Fatalf("sandbox: %v", err)
	}
	s := &Sandbox{Descriptor: d}
	for _, o := range options {
		o(s)
	}
	return s
}

// Open joins the sandbox whose descriptor is at path. The error wraps
// os.ErrNotExist if there is none, and ErrNotRunning if its sandbox is gone.
func Open(path string, options ...Option) (*Sandbox, error) {
	d, err := read(path)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{Descriptor: d}
	for _, o := range options {
		o(s)
	}
	return s, nil
}

// ErrNotRunning says that a descriptor outlived its sandbox, which was killed.
var ErrNotRunning = errors.New("its sandbox isn't running any more")

func read(path string) (d Descriptor, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return d, fmt.Errorf("no sandbox: %w", err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("descriptor %s: %w", path, err)
	}
	if d.PID <= 0 || gone(d.PID) {
		return d, fmt.Errorf("descriptor %s: %w", path, ErrNotRunning)
	}
	return d, nil
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

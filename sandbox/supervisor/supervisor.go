package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Config is what `sandbox up` was asked for.
type Config struct {
	Dir       string         // where state lives; "" for a temporary directory
	Temporary bool           // remove Dir at the end; implied by an empty Dir
	Parts     []string       // names of the parts to run
	Ports     map[string]int // ports the caller insists on, by port name
	Exe       string         // binary that serves `part NAME`
	Log       io.Writer      // one line per event, for people

	MatchingPartitions int // of each Temporal task queue, 0 for the server's default
	EthereumBlockTime  time.Duration
	EthereumFinality   int // blocks behind the head
	SolanaSlotTime     time.Duration
}

// Sandbox is a running tree.
type Sandbox struct {
	cfg    Config
	dir    *directory
	parts  map[string]*runner
	cancel context.CancelFunc

	failed   chan struct{}
	failOnce sync.Once
	failure  error

	describe sync.Mutex // one writer of sandbox.json at a time
	stopped  bool       // guarded by describe
	stopOnce sync.Once
	keepers  sync.WaitGroup
}

// Start runs the parts and returns when all of them serve. If one doesn't,
// everything is stopped again and the error holds the end of that part's log.
// The end of ctx aborts a start; a sandbox that is up ends with Stop only.
func Start(ctx context.Context, cfg Config) (*Sandbox, error) {
	dir, err := openDirectory(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	if cfg.Dir == "" {
		cfg.Temporary = true
	}
	s := &Sandbox{cfg: cfg, dir: dir, parts: map[string]*runner{}, failed: make(chan struct{})}
	if err := s.plan(); err != nil {
		s.leave()
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	for _, r := range s.parts {
		s.keepers.Go(func() { s.keep(life, r) })
	}
	for _, r := range s.parts {
		select {
		case <-r.serving:
		case <-s.failed:
			err = s.failure
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			s.Stop()
			return nil, err
		}
	}
	if err := s.writeDescriptor(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// plan makes a runner for each part, with its ports.
func (s *Sandbox) plan() error {
	var names []string
	for _, name := range s.cfg.Parts {
		sp, ok := specs[name]
		if !ok {
			return fmt.Errorf("there is no part %q", name)
		}
		s.parts[name] = newRunner(name, sp, filepath.Join(s.dir.path, "logs", name+".log"))
		names = append(names, sp.ports...)
	}
	for _, r := range s.parts {
		for _, need := range r.spec.needs {
			if s.parts[need] == nil {
				return fmt.Errorf("part %s needs part %s", r.name, need)
			}
		}
	}
	return s.dir.assignPorts(names, s.cfg.Ports)
}

// DescriptorPath is the file that tells clients where everything is.
func (s *Sandbox) DescriptorPath() string { return filepath.Join(s.dir.path, "sandbox.json") }

// Failed is closed when a part can't be kept running; Err then says why.
func (s *Sandbox) Failed() <-chan struct{} { return s.failed }

// Err is the reason of Failed.
func (s *Sandbox) Err() error { return s.failure }

func (s *Sandbox) fail(err error) {
	s.failOnce.Do(func() {
		s.failure = err
		close(s.failed)
	})
}

// Stop ends the parts, those that others need last, and removes a temporary
// directory. It returns when all of them are gone.
func (s *Sandbox) Stop() {
	s.stopOnce.Do(func() {
		s.describe.Lock()
		s.stopped = true
		_ = os.Remove(s.DescriptorPath()) // nobody should join from here on
		s.describe.Unlock()
		s.cancel()
		s.keepers.Wait()
		for len(s.parts) > 0 {
			var wave sync.WaitGroup
			for _, r := range s.unneeded() {
				wave.Go(r.stop)
				delete(s.parts, r.name)
			}
			wave.Wait()
		}
		s.leave()
	})
}

// unneeded lists the parts that no remaining part needs.
func (s *Sandbox) unneeded() []*runner {
	needed := map[string]bool{}
	for _, r := range s.parts {
		for _, n := range r.spec.needs {
			needed[n] = true
		}
	}
	var free []*runner
	for name, r := range s.parts {
		if !needed[name] {
			free = append(free, r)
		}
	}
	return free
}

func (s *Sandbox) leave() {
	if s.cfg.Temporary {
		if err := os.RemoveAll(s.dir.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.logf("%v", err)
		}
	}
	s.dir.close()
}

func (s *Sandbox) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.cfg.Log, format+"\n", args...)
}

package supervisor

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// startTimeout is for one part, crash recovery and a loaded machine included.
	startTimeout = 120 * time.Second
	// A part that fails this often in a row, each time within settled, is broken.
	maxFailures = 5
	settled     = 10 * time.Second
)

// runner is one part over its successive processes.
type runner struct {
	name    string
	spec    spec
	logPath string
	serving chan struct{} // closed when the part has answered for the first time

	mu      sync.Mutex
	current *child // last started process, the one to stop; nil before the first
	served  *child // last process that answered; nil before the first
}

func newRunner(name string, sp spec, logPath string) *runner {
	return &runner{name: name, spec: sp, logPath: logPath, serving: make(chan struct{})}
}

// keep runs r, again and again if it dies, until life ends. Who waits for the
// process to stop is Stop, since only it knows the order.
func (s *Sandbox) keep(life context.Context, r *runner) {
	for _, need := range r.spec.needs {
		select {
		case <-s.parts[need].serving:
		case <-life.Done():
			return
		}
	}
	for failures := 0; ; {
		began := time.Now()
		c, err := s.launch(life, r)
		if life.Err() != nil {
			return
		}
		if err == nil {
			first := s.announce(r, c, time.Since(began))
			if first {
				close(r.serving)
			} else if err := s.writeDescriptor(); err != nil {
				s.logf("%v", err)
			}
			select {
			case <-life.Done():
				return
			case <-c.done:
			}
			err = c.exitError()
		} else if !isClosed(r.serving) {
			s.fail(fmt.Errorf("%s didn't start: %w\n%s", r.name, err, tail(r.logPath)))
			return
		}
		if time.Since(began) > settled {
			failures = 0
		}
		failures++
		if failures >= maxFailures {
			s.fail(fmt.Errorf("%s failed %d times in a row: %w\n%s", r.name, failures, err, tail(r.logPath)))
			return
		}
		s.logf("%-9s %v; restarting", r.name, err)
		// At once the first time: tests kill parts and wait for them. Then slower.
		select {
		case <-life.Done():
			return
		case <-time.After(time.Duration(failures-1) * 500 * time.Millisecond):
		}
	}
}

// launch starts one process of r and waits until it serves.
func (s *Sandbox) launch(life context.Context, r *runner) (*child, error) {
	cfg, err := r.spec.config(s)
	if err != nil {
		return nil, err
	}
	c, err := spawn(s.cfg.Exe, r.name, cfg, r.logPath, s.dir.lock)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.current = c
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(life, startTimeout)
	defer cancel()
	if err := c.awaitReady(ctx); err != nil {
		if life.Err() == nil {
			c.stop(r.spec.grace)
		}
		return nil, err
	}
	return c, nil
}

func (s *Sandbox) announce(r *runner, c *child, took time.Duration) (first bool) {
	r.mu.Lock()
	r.served = c
	r.mu.Unlock()
	first = !isClosed(r.serving)
	word := "ready"
	if !first {
		word = "back"
	}
	s.logf("%-9s %s in %.1f s: %s", r.name, word, took.Seconds(), c.detail())
	return first
}

// answering is the process whose ready line holds.
func (r *runner) answering() *child {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.served
}

func (r *runner) stop() {
	r.mu.Lock()
	c := r.current
	r.mu.Unlock()
	if c != nil {
		c.stop(r.spec.grace)
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

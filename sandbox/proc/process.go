package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// Process is a running program with a guard beside it.
type Process struct {
	cmd   *exec.Cmd
	guard io.WriteCloser
	done  chan struct{}
	err   error
}

// Step is one way to ask a program to stop, and how long to wait for it.
type Step struct {
	Signal syscall.Signal
	Wait   time.Duration
}

// Start starts cmd in a process group of its own. Should this process die, the
// guard sends orphanSignal, and SIGKILL five seconds later.
func Start(cmd *exec.Cmd, orphanSignal syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	guard, err := startGuard(cmd.Process.Pid, orphanSignal)
	if err != nil {
		p.kill()
		<-p.done
		return nil, fmt.Errorf("start the guard of %s: %w", cmd.Path, err)
	}
	p.guard = guard
	return p, nil
}

// PID is the program's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the program ended; valid once Done is closed.
func (p *Process) Err() error {
	if p.err == nil {
		return errors.New("it exited with status 0")
	}
	return p.err
}

// Stop goes through steps until the program ends, then kills its group. It
// returns when the program is gone and reaped.
func (p *Process) Stop(steps ...Step) {
	for _, step := range steps {
		_ = p.cmd.Process.Signal(step.Signal)
		ctx, cancel := context.WithTimeout(context.Background(), step.Wait)
		select {
		case <-p.done:
		case <-ctx.Done():
		}
		cancel()
		if p.ended() {
			break
		}
	}
	p.kill()
	<-p.done
	// One line tells the guard that its work is done; silence would mean that we
	// died, and the process id may be somebody else's by now.
	_, _ = io.WriteString(p.guard, "done\n")
	_ = p.guard.Close()
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends what is left of the group. A program that has ended may have left
// children in it.
func (p *Process) kill() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }

const guardScript = `
if read -r word; then exit 0; fi
kill "-$2" "$1" 2>/dev/null
i=0
while kill -0 "$1" 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); done
kill -9 "-$1" 2>/dev/null
exit 0
`

// startGuard returns the pipe that holds the guard back.
func startGuard(pid int, orphanSignal syscall.Signal) (io.WriteCloser, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()                                     // the guard has its own copy
	guard := exec.Command("/bin/sh", "-c", guardScript, "sandbox-guard", //nolint:noctx // it must outlive us
		strconv.Itoa(pid), strconv.Itoa(int(orphanSignal)))
	guard.Stdin = r
	// Out of the part's group and session: what is aimed at the part must miss it.
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := guard.Start(); err != nil {
		_ = w.Close()
		return nil, err
	}
	go func() { _ = guard.Wait() }()
	return w, nil
}

package supervisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// child is one process of a part; package part describes how we talk to it.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	line  chan json.RawMessage // the ready line
	ready json.RawMessage      // set by awaitReady
	done  chan struct{}        // closed when the process has been reaped
	err   error                // valid once done is closed
}

// spawn starts `exe part name` and hands it its configuration. The lock file is
// inherited so that the directory counts as taken while anything of ours runs.
func spawn(exe, name string, cfg any, logPath string, lock *os.File) (*child, error) {
	doc, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()     // the process has its own copy
	cmd := exec.Command(exe, "part", name) //nolint:noctx // child.stop ends it, in the tree's order
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, stdin: stdin, line: make(chan json.RawMessage, 1), done: make(chan struct{})}
	go func() {
		out := bufio.NewReader(stdout)
		if line, err := out.ReadBytes('\n'); err == nil {
			c.line <- line
		}
		_, _ = io.Copy(io.Discard, out)
		c.err = cmd.Wait()
		close(c.done)
	}()
	// A write error means that the process is gone, which awaitReady tells better.
	_, _ = stdin.Write(append(doc, '\n'))
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

func (c *child) awaitReady(ctx context.Context) error {
	select {
	case c.ready = <-c.line:
		if !json.Valid(c.ready) {
			return fmt.Errorf("not a ready line: %q", c.ready)
		}
		return nil
	case <-c.done:
		return c.exitError()
	case <-ctx.Done():
		return fmt.Errorf("it isn't ready: %w", ctx.Err())
	}
}

func (c *child) exitError() error {
	if c.err == nil {
		return errors.New("it ended by itself")
	}
	return fmt.Errorf("it ended: %w", c.err)
}

func (c *child) detail() string {
	var r struct{ Detail string }
	_ = json.Unmarshal(c.ready, &r)
	return r.Detail
}

// stop releases the process, and kills it with its group if it is still there
// after grace.
func (c *child) stop(grace time.Duration) {
	_ = c.stdin.Close()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		_ = syscall.Kill(-c.pid(), syscall.SIGKILL)
		<-c.done
	}
}

// tail is the end of a log, indented, for an error message.
func tail(path string) string {
	const lines = 20
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		return "    (its log is empty)"
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "    " + strings.Join(all, "\n    ") + "\n    (" + path + ")"
}

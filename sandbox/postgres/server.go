package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/sandbox/proc"
)

const (
	startTimeout = 60 * time.Second // includes crash recovery
	fastStop     = 10 * time.Second // SIGINT: roll back, checkpoint
	hardStop     = 5 * time.Second  // SIGQUIT: recovery at the next start
)

// settings is what differs from PostgreSQL's defaults. Durability stays as it is;
// the rest fits several test packages and Temporal on a small machine.
func settings(port int) []string {
	return []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=",
		"max_connections=300",
		"shared_buffers=256MB",
		// No replica ever reads this WAL.
		"wal_level=minimal",
		"max_wal_senders=0",
		"max_wal_size=2GB",
		"checkpoint_timeout=15min",
		// Short queries only: compiling and parallel workers cost more than they
		// bring, and parallel workers need /dev/shm, which containers keep small.
		"jit=off",
		"max_parallel_workers_per_gather=0",
		"log_min_messages=warning",
		"logging_collector=off",
	}
}

// server is a running postgres.
type server struct {
	process *proc.Process
	cluster *cluster
	port    int
	version string // e.g. "15.18"
}

// start makes the cluster if it is new and runs the server until it answers.
func start(ctx context.Context, c *cluster, inst install, port int) (*server, error) {
	if err := c.create(ctx, inst); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := endPredecessor(ctx, c.data); err != nil {
		return nil, err
	}
	var fault error
	// The backends of a server that was killed with -9 leave within moments, and
	// until then a new server refuses to start.
	for range 5 {
		srv, err := startOnce(ctx, c, inst, port)
		if err == nil {
			return srv, nil
		}
		fault = err
		select {
		case <-ctx.Done():
			return nil, fault
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil, fault
}

func startOnce(ctx context.Context, c *cluster, inst install, port int) (*server, error) {
	args := []string{"-D", c.data}
	for _, s := range settings(port) {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(inst.bin, "postgres"), args...) //nolint:noctx // proc.Process stops it, gently
	cmd.Dir = c.data
	cmd.Env = environ()
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.SysProcAttr = c.acct.attr()
	process, err := proc.Start(cmd, syscall.SIGQUIT)
	if err != nil {
		return nil, err
	}
	srv := &server{process: process, cluster: c, port: port}
	if err := srv.awaitReady(ctx); err != nil {
		srv.stop()
		return nil, err
	}
	return srv, nil
}

func (s *server) url() string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.cluster.password),
		Host: fmt.Sprintf("127.0.0.1:%d", s.port), Path: "postgres", RawQuery: "sslmode=disable"}
	return u.String()
}

func (s *server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url())
		if err == nil {
			err = conn.QueryRow(ctx, "SHOW server_version").Scan(&s.version)
			_ = conn.Close(ctx)
		}
		if err == nil {
			// Debian appends its package version: "15.18 (Debian 15.18-0+deb12u1)".
			s.version, _, _ = strings.Cut(s.version, " ")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("postgres doesn't answer: %w", err)
		case <-s.process.Done():
			return fmt.Errorf("postgres ended: %w", s.process.Err())
		case <-tick.C:
		}
	}
}

// wait returns when ctx ends, with the server stopped, or when it died.
func (s *server) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		s.stop()
		return nil
	case <-s.process.Done():
		return fmt.Errorf("postgres ended: %w", s.process.Err())
	}
}

func (s *server) stop() {
	s.process.Stop(
		proc.Step{Signal: syscall.SIGINT, Wait: fastStop},
		proc.Step{Signal: syscall.SIGQUIT, Wait: hardStop},
	)
}

// endPredecessor ends the server of a part that was killed on this data
// directory. The guard does the same at this moment; here we make sure before
// we need the directory and the port.
func endPredecessor(ctx context.Context, data string) error {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	pid, _ := strconv.Atoi(string(first)) // 0, which isn't alive, for nonsense
	if !proc.Alive(pid) || !runsOn(ctx, pid, data) {
		return nil // postgres itself knows a stale file from a live one
	}
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		_ = syscall.Kill(pid, sig)
		wait, cancel := context.WithTimeout(ctx, hardStop)
		err = proc.Gone(wait, pid)
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("process %d of an earlier sandbox holds %s: %w", pid, data, err)
}

// runsOn guards against a process id that was given to another program since.
func runsOn(ctx context.Context, pid int, data string) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		cmdline, err = exec.CommandContext(ctx, "ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	}
	return err == nil && bytes.Contains(cmdline, []byte(data))
}

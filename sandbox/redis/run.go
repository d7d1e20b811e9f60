package redis

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/settlehq/settle/sandbox/proc"
)

// Config tells the part where to listen and to keep its data.
type Config struct {
	Dir  string `json:"dir"`  // of an append-only file; "" keeps everything in memory
	Port int    `json:"port"` // on 127.0.0.1
}

// Ready is where the server answers.
type Ready struct {
	URL    string `json:"url"`
	Detail string `json:"detail"`
}

const startTimeout = 20 * time.Second

// Run serves until ctx ends.
func Run(ctx context.Context, cfg Config, ready func(Ready)) error {
	if external := os.Getenv("SETTLE_REDIS_URL"); external != "" {
		return runExternal(ctx, external, ready)
	}
	if bin, err := exec.LookPath("redis-server"); err == nil {
		served, err := runServer(ctx, bin, cfg, ready)
		if served || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %v; using miniredis\n", bin, err)
	}
	return runEmbedded(ctx, cfg, ready)
}

func runExternal(ctx context.Context, raw string, ready func(Ready)) error {
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("SETTLE_REDIS_URL: %w", err)
	}
	if err := ping(ctx, u); err != nil {
		return fmt.Errorf("SETTLE_REDIS_URL: %w", err)
	}
	ready(Ready{URL: raw, Detail: "Redis at " + u.Host + " (SETTLE_REDIS_URL)"})
	<-ctx.Done()
	return nil
}

// runServer tells whether the server ever answered: one that did and died later
// must come back with its data, not be replaced by miniredis.
func runServer(ctx context.Context, bin string, cfg Config, ready func(Ready)) (served bool, err error) {
	args := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(cfg.Port), "--save", ""}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return false, err
		}
		args = append(args, "--dir", cfg.Dir, "--appendonly", "yes")
	}
	cmd := exec.Command(bin, args...) //nolint:noctx // proc.Process stops it, gently
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	process, err := proc.Start(cmd, syscall.SIGTERM)
	if err != nil {
		return false, err
	}
	defer process.Stop(proc.Step{Signal: syscall.SIGTERM, Wait: 5 * time.Second})

	u := &url.URL{Scheme: "redis", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port))}
	if err := awaitPing(ctx, u, process); err != nil {
		return false, err
	}
	ready(Ready{URL: u.String() + "/0", Detail: "redis-server from " + bin})
	select {
	case <-ctx.Done():
		return true, nil
	case <-process.Done():
		return true, fmt.Errorf("redis-server ended: %w", process.Err())
	}
}

func awaitPing(ctx context.Context, u *url.URL, process *proc.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ping(ctx, u)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("redis-server doesn't answer: %w", err)
		case <-process.Done():
			return fmt.Errorf("redis-server ended: %w", process.Err())
		case <-tick.C:
		}
	}
}

// ping takes any answer of the protocol, a refusal for lack of a password
// included: the server is there, and the clients bring their own credentials.
func ping(ctx context.Context, u *url.URL) error {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "6379")
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var conn net.Conn
	var err error
	if u.Scheme == "rediss" {
		conn, err = (&tls.Dialer{}).DialContext(ctx, "tcp", host)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", host)
	}
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if _, err := conn.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "+PONG") && !strings.HasPrefix(answer, "-NOAUTH") {
		return fmt.Errorf("%s answered %q to PING", host, strings.TrimSpace(answer))
	}
	return nil
}

func runEmbedded(ctx context.Context, cfg Config, ready func(Ready)) error {
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.Port))); err != nil {
		return err
	}
	defer m.Close()
	// miniredis's clock stands still unless it is moved, and keys would never expire.
	go func() {
		const step = 50 * time.Millisecond
		tick := time.NewTicker(step)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.FastForward(step)
			}
		}
	}()
	ready(Ready{URL: "redis://" + m.Addr() + "/0", Detail: "miniredis (embedded)"})
	<-ctx.Done()
	return nil
}

package solana

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/settlehq/settle/sandbox"
)

const (
	minNode      = 20               // major version that litesvm's package asks for
	startTimeout = 60 * time.Second // usually 0.3 s; a cold disk or a replay takes longer
	stopGrace    = 5 * time.Second  // to write the snapshot, usually milliseconds
)

// Config says how to run the chain.
type Config struct {
	Dir      string        `json:"dir"`       // of the chain's state; empty: in memory only
	Port     int           `json:"port"`      // on 127.0.0.1; 0: any free one
	SlotTime time.Duration `json:"slot_time"` // nanoseconds in JSON; 0: 400 ms as on mainnet
}

// Ready is what the running chain tells its clients. The JSON names are those
// of the section "solana" in sandbox.json.
type Ready struct {
	HTTPURL       string `json:"http_url"`
	GenesisHash   string `json:"genesis_hash"`   // base58; another for each new chain
	USDCMint      string `json:"usdc_mint"`      // 6 decimals
	MintAuthority string `json:"mint_authority"` // base58 64-byte secret key; may mint and freeze test USDC
	Detail        string `json:"detail"`
}

// Run starts the chain, calls ready once it serves, and returns when ctx ends
// (nil) or when the sidecar dies (an error with its last words).
func Run(ctx context.Context, cfg Config, ready func(Ready)) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	cmd, err := command(running, cfg)
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("solana sidecar: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("solana sidecar: %w", err)
	}
	cmd.Cancel = stdin.Close // the sidecar saves its state and exits
	cmd.WaitDelay = stopGrace
	words := &tail{}
	cmd.Stderr = io.MultiWriter(os.Stderr, words)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the solana sidecar: %w", err)
	}

	line := make(chan []byte, 1)
	exited := make(chan exit, 1)
	go func() {
		in := bufio.NewReader(stdout)
		if b, err := in.ReadBytes('\n'); err == nil {
			line <- b
		}
		_, _ = io.Copy(io.Discard, in)
		exited <- exit{cmd.Wait()}
	}()
	// ended says why the sidecar is gone, once it is.
	ended := func(err error) error {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // it was asked to stop
		}
		if err == nil {
			err = errors.New("it exited with status 0")
		}
		return fmt.Errorf("solana sidecar: %w: %s", err, words)
	}

	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case b := <-line:
		var r Ready
		if err := json.Unmarshal(b, &r); err != nil {
			stop()
			<-exited
			return fmt.Errorf("solana sidecar: ready line %q: %w", bytes.TrimSpace(b), err)
		}
		ready(r)
		return ended((<-exited).err)
	case e := <-exited:
		return ended(e.err)
	case <-timeout.C:
		stop()
		<-exited
		return fmt.Errorf("solana sidecar: not ready after %s: %s", startTimeout, words)
	}
}

// command checks what the sidecar needs, so that a missing part is one line
// that says what to do.
func command(ctx context.Context, cfg Config) (*exec.Cmd, error) {
	root, err := sandbox.SourceDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(root, "solana", "sidecar")
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("the Solana sandbox needs Node.js %d or newer, and there is no node on the PATH: install it, then run `make deps`", minNode)
	}
	out, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --version: %w", node, err)
	}
	if v := nodeMajor(string(out)); v < minNode {
		return nil, fmt.Errorf("the Solana sandbox needs Node.js %d or newer, %s is %s: install a newer one, then run `make deps`", minNode, node, strings.TrimSpace(string(out)))
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		return nil, fmt.Errorf("the Solana sandbox's Node packages are not installed: run `make deps`, or `npm ci` in %s", dir)
	}
	slotTime := cfg.SlotTime
	if slotTime == 0 {
		slotTime = 400 * time.Millisecond
	}
	if slotTime < time.Millisecond {
		return nil, fmt.Errorf("solana slot time %s is too short: at least 1ms", slotTime)
	}
	args := []string{"--max-old-space-size=2048", filepath.Join(dir, "server.js"), "--port", strconv.Itoa(cfg.Port), "--slot-ms", strconv.FormatInt(slotTime.Milliseconds(), 10)}
	if cfg.Dir != "" {
		args = append(args, "--dir", cfg.Dir)
	}
	cmd := exec.CommandContext(ctx, node, args...)
	// Ctrl-C is for the supervisor; it stops the parts in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// exit is how the sidecar ended.
type exit struct{ err error }

// nodeMajor reads "v20.20.2\n" as 20, and anything odd as 0.
func nodeMajor(version string) int {
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(version), "v"), ".")
	n, err := strconv.Atoi(major)
	if err != nil {
		return 0
	}
	return n
}

// tail keeps the last words of the sidecar's log for an error message. Only
// the goroutine of exec writes; it is read after the process has ended.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if over := len(t.b) - 2048; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.b)) }

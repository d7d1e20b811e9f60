package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/settlehq/settle/sandbox/proc"
)

// leftoverWait is how long the parts of a killed supervisor may take to end.
const leftoverWait = 30 * time.Second

// directory is a sandbox's place on disk:
//
//	lock         held while anything of this sandbox runs; holds the supervisor's pid
//	state.json   ports and the instance name, kept over restarts
//	sandbox.json the descriptor, while the sandbox is up
//	logs/        one log per part
//	postgres/, ethereum/, ...  the parts' own
type directory struct {
	path  string
	lock  *os.File
	state state
}

type state struct {
	Instance string         `json:"instance"` // distinguishes sandboxes that share a server
	Ports    map[string]int `json:"ports"`
}

// openDirectory creates and locks path, or a temporary directory if path is "".
func openDirectory(ctx context.Context, path string) (*directory, error) {
	var err error
	if path == "" {
		if path, err = os.MkdirTemp("", "settle-sandbox-"); err != nil {
			return nil, err
		}
		// PostgreSQL's user must pass through when we are root.
		if err := os.Chmod(path, 0o711); err != nil {
			return nil, err
		}
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o711); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(path, "logs"), 0o700); err != nil {
		return nil, err
	}
	d := &directory{path: path}
	if err := d.takeLock(ctx); err != nil {
		return nil, err
	}
	// Of a supervisor that was killed; what it says is no longer true.
	_ = os.Remove(filepath.Join(path, "sandbox.json"))
	logs, _ := filepath.Glob(filepath.Join(path, "logs", "*.log"))
	for _, log := range logs {
		_ = os.Truncate(log, 0)
	}
	if err := d.loadState(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// takeLock refuses if another supervisor is alive, and waits for the leftovers
// of a dead one.
func (d *directory) takeLock(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(d.path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, leftoverWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		holder, _ := os.ReadFile(f.Name())
		pid, _ := strconv.Atoi(strings.TrimSpace(string(holder)))
		if proc.Alive(pid) {
			_ = f.Close()
			return fmt.Errorf("a sandbox is already running in %s (pid %d)", d.path, pid)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return fmt.Errorf("processes of an earlier sandbox still hold %s: %w", f.Name(), err)
		case <-tick.C:
		}
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return err
	}
	d.lock = f
	return nil
}

func (d *directory) close() { _ = d.lock.Close() }

func (d *directory) loadState() error {
	b, err := os.ReadFile(filepath.Join(d.path, "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		d.state = state{Instance: newInstance(), Ports: map[string]int{}}
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &d.state); err != nil {
		return fmt.Errorf("%s/state.json: %w", d.path, err)
	}
	if d.state.Ports == nil {
		d.state.Ports = map[string]int{}
	}
	return nil
}

func (d *directory) saveState() error {
	return writeJSON(filepath.Join(d.path, "state.json"), d.state)
}

// writeJSON replaces path in one step; readers see the old or the new document.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

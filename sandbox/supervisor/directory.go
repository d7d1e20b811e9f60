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
	d := &directory{path: path}
	if err := d.takeLock(ctx); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(path, "logs"), 0o700); err != nil {
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
	ctx, cancel := context.WithTimeout(ctx, leftoverWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := d.tryLock()
		if err == nil {
			break
		}
		if !errors.Is(err, errHeld) {
			return err
		}
		if pid := d.holder(); proc.Alive(pid) {
			return fmt.Errorf("a sandbox is already running in %s (pid %d)", d.path, pid)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: processes of an earlier sandbox still run: %w", d.path, err)
		case <-tick.C:
		}
	}
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

var errHeld = errors.New("the lock is held")

// tryLock sets d.lock, or returns errHeld. The file is opened anew each time: the
// leftovers of a temporary sandbox remove their directory with the lock in it, and
// a lock on a file that has no name any more keeps nobody out.
func (d *directory) tryLock() error {
	if err := os.MkdirAll(d.path, 0o711); err != nil {
		return err
	}
	f, err := os.OpenFile(d.lockPath(), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return errHeld // removed since the line above
	}
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return errHeld
	}
	named, err1 := os.Stat(d.lockPath())
	opened, err2 := f.Stat()
	if err1 != nil || err2 != nil || !os.SameFile(named, opened) {
		_ = f.Close()
		return errHeld
	}
	d.lock = f
	return nil
}

func (d *directory) lockPath() string { return filepath.Join(d.path, "lock") }

// holder is the supervisor that took the lock last, 0 if none is known.
func (d *directory) holder() int {
	b, _ := os.ReadFile(d.lockPath())
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
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

package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// upTimeout is for a start on a busy machine; two to three seconds are usual.
const upTimeout = 150 * time.Second

// owner is the process whose end is the end of the run: `go test`, the parent of
// every test binary. A test binary that init has started owns its own sandbox.
func owner() int {
	if ppid := os.Getppid(); ppid > 1 {
		return ppid
	}
	return os.Getpid()
}

// launch returns the descriptor's path of this run's sandbox, and starts it if
// this test binary is the first. The lock makes the others wait meanwhile.
func launch() (descriptor string, err error) {
	home, err := runsHome()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(home, strconv.Itoa(owner()))
	lock, err := lockFile(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	descriptor = filepath.Join(dir, "sandbox.json")
	if _, err := read(descriptor); err == nil {
		return descriptor, nil
	}
	bin, err := build()
	if err != nil {
		return "", err
	}
	return descriptor, up(bin, dir, descriptor)
}

// runsHome holds the sandboxes of all runs of this user. The temporary
// directory is shared with others, so a folder that isn't ours is refused.
func runsHome() (string, error) {
	home := filepath.Join(os.TempDir(), fmt.Sprintf("settle-test-%d", os.Getuid()))
	// 0711: PostgreSQL's user must pass through if we are root.
	if err := os.Mkdir(home, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(home)
	if err != nil {
		return "", err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || !ok || int(st.Uid) != os.Getuid() {
		return "", fmt.Errorf("%s isn't a directory of ours; remove it", home)
	}
	forgetEarlier(home)
	return home, nil
}

// forgetEarlier removes the lock and the log of runs that have ended. Their
// sandboxes have removed the rest.
func forgetEarlier(home string) {
	names, _ := filepath.Glob(filepath.Join(home, "*.l*"))
	for _, name := range names {
		pid, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)))
		if err == nil && gone(pid) {
			_ = os.Remove(name)
		}
	}
}

// lockFile waits for the lock; closing the file gives it back.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// build compiles the sandbox's command and returns its path. Go decides whether
// anything is out of date, so this costs a second when nothing is.
func build() (string, error) {
	root, err := repoRoot()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, ".build", "sandbox")
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
		// A read-only checkout.
		cache, cacheErr := os.UserCacheDir()
		if cacheErr != nil {
			return "", err
		}
		sum := sha256.Sum256([]byte(root))
		bin = filepath.Join(cache, "settle", hex.EncodeToString(sum[:6]), "sandbox")
		if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil {
			return "", err
		}
	}
	lock, err := lockFile(bin + ".lock") // two runs share the binary
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/sandbox")
	cmd.Dir = filepath.Join(root, "sandbox")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the sandbox: %w\n%s", err, out)
	}
	return bin, nil
}

// repoRoot is the directory of the product's go.mod, seen from this file or, if
// the binary was built with -trimpath, from the working directory.
func repoRoot() (string, error) {
	var starts []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		starts = append(starts, filepath.Dir(file))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, dir := range starts {
		for ; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "sandbox", "cmd", "sandbox", "main.go")); err == nil {
				return dir, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("the repository wasn't found above the working directory; set " + EnvDescriptor + " to a descriptor")
}

// up starts a sandbox in dir that outlives this process and ends with the run,
// and waits until it is ready.
func up(bin, dir, descriptor string) error {
	logPath := dir + ".log"
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the sandbox has its own copy
	cmd := exec.Command(bin, "up", "--rm", "--dir", dir, "--watch-pid", strconv.Itoa(owner()),
		"--eth-block-time", "250ms", "--sol-slot", "100ms")
	// `go test` waits for everybody who holds its output, and Ctrl-C is for it.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_ = cmd.Wait()
		ended <- errors.New(cmd.ProcessState.String())
	}()
	timeout := time.NewTimer(upTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		if d, err := read(descriptor); err == nil && d.PID == cmd.Process.Pid {
			return nil
		}
		select {
		case err := <-ended:
			said, _ := os.ReadFile(logPath)
			return fmt.Errorf("it ended instead of starting: %w\n%s", err, said)
		case <-timeout.C:
			_ = cmd.Process.Signal(syscall.SIGTERM)
			said, _ := os.ReadFile(logPath)
			return fmt.Errorf("it isn't ready after %s\n%s", upTimeout, said)
		case <-tick.C:
		}
	}
}

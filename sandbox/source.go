package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// SourceDir is the directory of this module's source. Parts need it at run time
// because some of what they start isn't Go: the Node sidecar of the Solana part
// and the PostgreSQL binaries from npm.
//
// It is the first that holds this module's go.mod of SETTLE_SANDBOX_ROOT, the
// path the binary was compiled from, and the sandbox folder in one of the
// directories above the binary (.build/sandbox lies in the repository).
func SourceDir() (string, error) {
	if dir := os.Getenv("SETTLE_SANDBOX_ROOT"); dir != "" {
		if !isSourceDir(dir) {
			return "", fmt.Errorf("SETTLE_SANDBOX_ROOT=%s is not the sandbox folder of Settle's repository", dir)
		}
		return filepath.Abs(dir)
	}
	if _, file, _, ok := runtime.Caller(0); ok && isSourceDir(filepath.Dir(file)) {
		return filepath.Dir(file), nil
	}
	if exe, err := os.Executable(); err == nil {
		for dir := filepath.Dir(exe); ; dir = filepath.Dir(dir) {
			if candidate := filepath.Join(dir, "sandbox"); isSourceDir(candidate) {
				return candidate, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", fmt.Errorf("the sandbox folder of Settle's repository was not found; set SETTLE_SANDBOX_ROOT to it")
}

// isSourceDir looks for two files of this module, since a go.mod alone could be
// any module's.
func isSourceDir(dir string) bool {
	for _, name := range []string{"go.mod", filepath.Join("cmd", "sandbox", "main.go")} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

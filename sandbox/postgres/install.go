package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"

	"github.com/settlehq/settle/sandbox"
)

// install is one set of PostgreSQL binaries.
type install struct {
	bin   string // directory of postgres and initdb
	major int    // e.g. 15
}

var versionLine = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// findInstalls lists what can run c, best first. An existing cluster can only
// be run by its own major version.
func findInstalls(ctx context.Context, c *cluster) []install {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
	} {
		dirs = append(dirs, byVersion(pattern)...)
	}
	if dir, err := npmInstall(c); err == nil {
		dirs = append(dirs, dir)
	}

	want, exists := c.major()
	var found []install
	seen := map[string]bool{}
	for _, dir := range dirs {
		if seen[dir] {
			continue
		}
		seen[dir] = true
		major, err := probe(ctx, dir, c.acct)
		if err != nil || (exists && major != want) {
			fmt.Fprintf(os.Stderr, "not using %s (PostgreSQL %d): cluster version %d, %v\n", dir, major, want, err)
			continue
		}
		found = append(found, install{bin: dir, major: major})
	}
	return found
}

// probe runs both programs as the account that will, and tells the major version.
func probe(ctx context.Context, bin string, acct account) (int, error) {
	for _, name := range []string{"initdb", "postgres"} {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), "--version")
		cmd.SysProcAttr = acct.attr()
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%s --version: %w: %s", name, err, out)
		}
		if m := versionLine.FindSubmatch(out); m != nil && name == "postgres" {
			return strconv.Atoi(string(m[1]))
		}
	}
	return 0, errors.New("postgres --version told no version")
}

// byVersion expands pattern, highest number in the path first.
func byVersion(pattern string) []string {
	dirs, _ := filepath.Glob(pattern)
	number := regexp.MustCompile(`\d+`)
	version := func(dir string) int {
		n, _ := strconv.Atoi(number.FindString(dir))
		return n
	}
	sort.SliceStable(dirs, func(i, j int) bool { return version(dirs[i]) > version(dirs[j]) })
	return dirs
}

// npmInstall is the bin directory of @embedded-postgres for this platform. npm
// can't pack symbolic links: the package lists them, and its install script makes
// them unless scripts are switched off, so they are made here if absent. If the
// account can't reach the package, the cluster gets a copy.
func npmInstall(c *cluster) (string, error) {
	src, err := sandbox.SourceDir()
	if err != nil {
		return "", err
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	pkg := filepath.Join(src, "npm", "node_modules", "@embedded-postgres", runtime.GOOS+"-"+arch)
	if _, err := os.Stat(filepath.Join(pkg, "native", "bin", "postgres")); err != nil {
		return "", err
	}
	if !c.acct.reaches(filepath.Join(pkg, "native", "bin")) {
		copied := filepath.Join(c.home, "npm")
		if err := copyOnce(copied, pkg); err != nil {
			return "", err
		}
		pkg = copied
	}
	if err := makeSymlinks(pkg); err != nil {
		return "", err
	}
	return filepath.Join(pkg, "native", "bin"), nil
}

func copyOnce(dst, src string) error {
	if _, err := os.Stat(dst); err == nil {
		return nil
	}
	tmp := dst + ".partial"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.CopyFS(tmp, os.DirFS(src)); err != nil {
		return err
	}
	return os.Rename(tmp, dst)
}

func makeSymlinks(pkg string) error {
	list, err := os.ReadFile(filepath.Join(pkg, "native", "pg-symlinks.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var links []struct{ Source, Target string } // relative to pkg
	if err := json.Unmarshal(list, &links); err != nil {
		return err
	}
	for _, l := range links {
		target := filepath.Join(pkg, l.Target)
		rel, err := filepath.Rel(filepath.Dir(target), filepath.Join(pkg, l.Source))
		if err != nil {
			return err
		}
		if err := os.Symlink(rel, target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// superuser owns the cluster; the sandbox's clients connect as this user.
const superuser = "settle"

// cluster is a data directory and what belongs to it:
//
//	home/data       the cluster, owned by the account
//	home/password   the superuser's, readable by us only
type cluster struct {
	home     string
	data     string
	password string
	acct     account
}

// newCluster prepares the directories and the password; the cluster itself is
// made by create.
func newCluster(dir, instance string, acct account) (*cluster, error) {
	home, err := acct.home(dir, instance)
	if err != nil {
		return nil, err
	}
	// 0711: the account passes through, and can't list.
	if err := os.MkdirAll(home, 0o711); err != nil {
		return nil, err
	}
	if home != filepath.Clean(dir) {
		// Where the cluster would be expected lies a pointer to where it is.
		_ = os.Remove(dir)
		if err := os.Symlink(home, dir); err != nil {
			return nil, err
		}
	}
	c := &cluster{home: home, data: filepath.Join(home, "data"), acct: acct}
	path := filepath.Join(home, "password")
	saved, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		saved = []byte(rand.Text())
		err = os.WriteFile(path, saved, 0o600)
	}
	c.password = string(saved)
	return c, err
}

// major is the version of an existing cluster.
func (c *cluster) major() (int, bool) {
	b, err := os.ReadFile(filepath.Join(c.data, "PG_VERSION"))
	if err != nil {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	return n, err == nil
}

// create runs initdb unless the cluster exists.
func (c *cluster) create(ctx context.Context, inst install) error {
	if _, ok := c.major(); ok {
		return nil
	}
	partial := filepath.Join(c.home, "data.partial")
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if err := os.Mkdir(partial, 0o700); err != nil {
		return err
	}
	if err := c.acct.own(partial); err != nil {
		return err
	}
	pwfile := filepath.Join(c.home, "password.initdb")
	if err := os.WriteFile(pwfile, []byte(c.password+"\n"), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(pwfile) }()
	if err := c.acct.own(pwfile); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(inst.bin, "initdb"),
		"--pgdata", partial, "--username", superuser, "--pwfile", pwfile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.Dir = c.home
	cmd.Env = environ()
	cmd.SysProcAttr = c.acct.attr()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return os.Rename(partial, c.data)
}

// environ is ours without PG* (PGPORT, PGDATA and the like steer the server)
// and with messages in English.
func environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C")
}

package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// rootHome holds the clusters of root's sandboxes whose directory the
// unprivileged user can't reach, like one below /root.
const rootHome = "/var/lib/settle-sandbox"

// account is the user whom root lends to PostgreSQL, which refuses to run as
// root. Its zero value stands for "as ourselves".
type account struct {
	name     string
	uid, gid uint32
}

func findAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{}, nil
	}
	name := os.Getenv("SETTLE_POSTGRES_USER")
	if name == "" {
		name = "nobody"
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("PostgreSQL doesn't run as root, and user %s (SETTLE_POSTGRES_USER) wasn't found: %w", name, err)
	}
	// macOS's nobody is -2, which is the same 32 bits.
	uid, err1 := strconv.ParseInt(u.Uid, 10, 64)
	gid, err2 := strconv.ParseInt(u.Gid, 10, 64)
	if err1 != nil || err2 != nil || uid == 0 {
		return account{}, fmt.Errorf("user %s (uid %s, gid %s) can't run PostgreSQL", name, u.Uid, u.Gid)
	}
	return account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
}

func (a account) borrowed() bool { return a.name != "" }

// attr makes a child process run as the account.
func (a account) attr() *syscall.SysProcAttr {
	if !a.borrowed() {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.uid, Gid: a.gid}}
}

// own gives path to the account.
func (a account) own(path string) error {
	if !a.borrowed() {
		return nil
	}
	return os.Chown(path, int(a.uid), int(a.gid))
}

// reaches says whether the account may enter dir and every directory above it.
func (a account) reaches(dir string) bool {
	if !a.borrowed() {
		return true
	}
	for {
		info, err := os.Stat(dir)
		if err != nil || !a.enters(info) {
			return false
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
}

func (a account) enters(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	switch mode := info.Mode().Perm(); {
	case st.Uid == a.uid:
		return mode&0o100 != 0
	case st.Gid == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

// home is dir, or its stand-in below rootHome if the account can't reach dir.
//
// The stand-in is bound to the instance as well, which is written in dir's own
// state: whoever deletes dir to begin anew must not meet the old cluster beside
// new chains. What such a dir left behind is removed here.
func (a account) home(dir, instance string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil {
		dir = filepath.Join(parent, filepath.Base(dir))
	}
	if a.reaches(filepath.Dir(dir)) {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	prefix := filepath.Join(rootHome, hex.EncodeToString(sum[:6])+"-")
	home := prefix + instance
	earlier, _ := filepath.Glob(prefix + "*")
	for _, old := range earlier {
		if old != home {
			_ = os.RemoveAll(old)
		}
	}
	return home, nil
}

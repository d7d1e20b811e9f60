package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Every set of binaries on this machine, the npm one included if `npm install`
// was run in sandbox/npm, must make a cluster, serve it, and stop.
func TestEachInstall(t *testing.T) {
	acct, err := findAccount()
	if err != nil {
		t.Fatal(err)
	}
	probe, err := newCluster(clusterDir(t), "probe", acct)
	if err != nil {
		t.Fatal(err)
	}
	installs := findInstalls(t.Context(), probe)
	if len(installs) == 0 {
		t.Skip("no PostgreSQL on this machine")
	}
	for i, inst := range installs {
		t.Run(strings.TrimPrefix(inst.bin, "/"), func(t *testing.T) {
			c, err := newCluster(clusterDir(t), "test", acct)
			if err != nil {
				t.Fatal(err)
			}
			srv, err := start(t.Context(), c, inst, 19500+i)
			if err != nil {
				t.Fatal(err)
			}
			defer srv.stop()
			t.Logf("PostgreSQL %s", srv.version)
			conn, err := pgx.Connect(t.Context(), srv.url())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close(t.Context()) }()
			for setting, want := range map[string]string{
				"fsync": "on", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300",
			} {
				var got string
				if err := conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
					t.Errorf("%s is %q, %v; want %q", setting, got, err, want)
				}
			}
			if wrong, err := pgx.Connect(t.Context(), strings.Replace(srv.url(), c.password, "wrong", 1)); err == nil {
				_ = wrong.Close(t.Context())
				t.Error("any password is good")
			}
		})
	}
}

// A directory that the unprivileged user can't reach gets a stand-in that it can,
// and another one once the directory was made anew.
func TestStandInForUnreachableDirectory(t *testing.T) {
	acct, err := findAccount()
	if err != nil {
		t.Fatal(err)
	}
	if !acct.borrowed() {
		t.Skip("only root lends PostgreSQL another user")
	}
	private := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	first, err := acct.home(filepath.Join(private, "postgres"), "a1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := acct.home(filepath.Join(private, "postgres"), "b2")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(first, rootHome) || !strings.HasPrefix(second, rootHome) || first == second {
		t.Errorf("homes are %s and %s", first, second)
	}
}

func clusterDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "postgres")
}

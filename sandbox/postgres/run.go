package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/settlehq/settle/sandbox/part"
)

// Config tells the part where to listen and to keep its data.
type Config struct {
	Dir       string `json:"dir"`        // of the cluster; created if absent
	Port      int    `json:"port"`       // on 127.0.0.1
	Instance  string `json:"instance"`   // names this sandbox where several share a place
	RemoveDir string `json:"remove_dir"` // temporary directory to remove when the part is released; may be empty
}

// Ready is where the server answers.
type Ready struct {
	URL          string `json:"url"`           // maintenance database, superuser or a user who may create databases
	TemporalDB   string `json:"temporal_db"`   // name of Temporal's main database
	VisibilityDB string `json:"visibility_db"` // name of Temporal's visibility database
	Detail       string `json:"detail"`
}

// Run serves until ctx ends. If the cause is part.ErrReleased it also removes
// what the sandbox owned for its life only.
func Run(ctx context.Context, cfg Config, ready func(Ready)) error {
	if url := os.Getenv("SETTLE_POSTGRES_URL"); url != "" {
		return runExternal(ctx, cfg, url, ready)
	}
	return runLocal(ctx, cfg, ready)
}

func runLocal(ctx context.Context, cfg Config, ready func(Ready)) error {
	acct, err := findAccount()
	if err != nil {
		return err
	}
	c, err := newCluster(cfg.Dir, cfg.Instance, acct)
	if err != nil {
		return err
	}
	defer func() {
		if cfg.RemoveDir != "" && errors.Is(context.Cause(ctx), part.ErrReleased) {
			removeAll(c.home)
			removeAll(cfg.RemoveDir)
		}
	}()

	_, existed := c.major()
	var faults []error
	for _, inst := range findInstalls(ctx, c) {
		srv, err := start(ctx, c, inst, cfg.Port)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			faults = append(faults, fmt.Errorf("%s: %w", inst.bin, err))
			if !existed {
				// What these binaries made, the next candidate can't run.
				_ = os.RemoveAll(c.data)
			}
			continue
		}
		ready(Ready{
			URL:          srv.url(),
			TemporalDB:   "temporal",
			VisibilityDB: "temporal_visibility",
			Detail:       fmt.Sprintf("PostgreSQL %s from %s", srv.version, inst.bin),
		})
		return srv.wait(ctx)
	}
	if len(faults) == 0 {
		return errors.New("no PostgreSQL found: install it (Debian: apt-get install postgresql, macOS: brew install postgresql@16), " +
			"or `npm install` in sandbox/npm, or set SETTLE_POSTGRES_URL")
	}
	return errors.Join(faults...)
}

// removeAll repeats, because the parts that die at the same moment may still
// create files below dir.
func removeAll(dir string) {
	deadline := time.Now().Add(10 * time.Second)
	for os.RemoveAll(dir) != nil && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
}

package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/sandbox/part"
)

// runExternal lends the sandbox a server that somebody else runs. Two sandboxes
// may share it, so Temporal's databases bear the sandbox's name; they are
// dropped together with a temporary sandbox.
func runExternal(ctx context.Context, cfg Config, url string, ready func(Ready)) error {
	connCfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("SETTLE_POSTGRES_URL: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, connCfg)
	if err != nil {
		return fmt.Errorf("SETTLE_POSTGRES_URL: %w", err)
	}
	var version string
	err = conn.QueryRow(ctx, "SHOW server_version").Scan(&version)
	_ = conn.Close(ctx)
	if err != nil {
		return fmt.Errorf("SETTLE_POSTGRES_URL: %w", err)
	}
	r := Ready{
		URL:          url,
		TemporalDB:   "settle_sandbox_" + cfg.Instance + "_temporal",
		VisibilityDB: "settle_sandbox_" + cfg.Instance + "_visibility",
		Detail:       fmt.Sprintf("PostgreSQL %s at %s:%d (SETTLE_POSTGRES_URL)", version, connCfg.Host, connCfg.Port),
	}
	ready(r)
	<-ctx.Done()
	if cfg.RemoveDir == "" || !errors.Is(context.Cause(ctx), part.ErrReleased) {
		return nil
	}
	defer removeAll(cfg.RemoveDir)
	return dropDatabases(context.WithoutCancel(ctx), connCfg, r.TemporalDB, r.VisibilityDB)
}

func dropDatabases(ctx context.Context, cfg *pgx.ConnConfig, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, name := range names {
		sql := "DROP DATABASE IF EXISTS " + pgx.Identifier{name}.Sanitize() + " WITH (FORCE)"
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

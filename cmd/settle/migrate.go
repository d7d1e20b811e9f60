package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/migrations"
)

func migrateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "migrate", Short: "Bring the database to this binary's version", Args: cobra.NoArgs}
	return showing(cmd, func(ctx context.Context, _ []string) (result, error) {
		cfg, err := config.Load(config.Migrate)
		if err != nil {
			return result{}, err
		}
		version, err := migrations.Up(ctx, cfg.DatabaseURL)
		return line(map[string]int64{"version": version}, fmt.Sprintf("database is at version %d", version)), err
	})
}

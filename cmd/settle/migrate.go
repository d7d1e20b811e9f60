package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/migrations"
)

func migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to this binary's version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(config.Migrate)
			if err != nil {
				return err
			}
			version, err := migrations.Up(cmd.Context(), cfg.DatabaseURL)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "database is at version %d\n", version)
			return nil
		},
	}
}

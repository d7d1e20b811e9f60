package temporal

import (
	"fmt"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"
)

// prepareSchema creates the databases and brings their tables up to the version
// of the embedded server. It is the work of temporal-sql-tool, without its
// command line, which ends the process on an error.
func prepareSchema(s stores, logger log.Logger) error {
	for _, db := range []struct {
		sql    *config.SQL
		schema string // below the server module's schema folder
	}{
		{s.main, "postgresql/v12/temporal"},
		{s.visibility, "postgresql/v12/visibility"},
	} {
		if err := prepareDatabase(*db.sql, db.schema, logger); err != nil {
			return fmt.Errorf("%s: %w", db.sql.DatabaseName, err)
		}
	}
	return nil
}

// prepareDatabase takes cfg by value because the tool writes to its argument.
func prepareDatabase(cfg config.SQL, name string, logger log.Logger) error {
	create := cfg
	if err := sqltool.DoCreateDatabase(&create, "", logger); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	conn, err := sqltool.NewConnection(&cfg, logger)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Neither the version tables nor the updates can be applied twice, so the
	// recorded version decides; it is absent in a new database.
	if _, err := conn.ReadSchemaVersion(); err != nil {
		setup := schema.NewSetupSchemaTask(conn, &schema.SetupConfig{InitialVersion: "0.0"}, logger)
		if err := setup.Run(); err != nil {
			return fmt.Errorf("create the version tables: %w", err)
		}
	}
	update := schema.NewUpdateSchemaTask(conn, &schema.UpdateConfig{DBName: cfg.DatabaseName, SchemaName: name}, logger)
	if err := update.Run(); err != nil {
		return fmt.Errorf("update the tables: %w", err)
	}
	return nil
}

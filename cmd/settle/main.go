package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules name time zones, wherever this runs

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/config"
)

// Exit codes: 1 the command failed, 2 the settings or arguments are wrong.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run())
}

// settle is the whole command line.
func settle() *cobra.Command {
	root := &cobra.Command{
		Use:           "settle",
		Short:         "Durable stablecoin payments: paid exactly once, whatever crashes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(apiCommand(), workerCommand(), migrateCommand(), checkCommand(), payCommand(), watchCommand(), paymentsCommand(), batchCommand(), eventsCommand(),
		merchantsCommand(), keysCommand(), addressesCommand(), webhooksCommand(), booksCommand())
	return root
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx = withStdin(ctx)
	err := settle().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var faults config.Faults
	if errors.As(err, &faults) {
		fmt.Fprintln(os.Stderr, faults)
		return exitUsage
	}
	fmt.Fprintln(os.Stderr, "settle:", err)
	return exitFailed
}

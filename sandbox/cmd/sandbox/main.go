// Command sandbox runs everything that Settle needs around it; see the package
// documentation of github.com/settlehq/settle/sandbox.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/settlehq/settle/sandbox/ethereum"
	"github.com/settlehq/settle/sandbox/part"
	"github.com/settlehq/settle/sandbox/postgres"
	"github.com/settlehq/settle/sandbox/redis"
	"github.com/settlehq/settle/sandbox/solana"
	"github.com/settlehq/settle/sandbox/temporal"
)

const usage = `Usage:
  sandbox up   [flags]                  start everything, stay until Ctrl-C
  sandbox exec [flags] -- CMD [ARGS]    start everything, run CMD with SETTLE_SANDBOX set to
                                        the descriptor's path, stop everything; CMD's exit code

Flags of both ('sandbox up -h' explains them):
  --dir --rm --parts --watch-pid --postgres-port --temporal-port --ui-port --redis-port
  --ethereum-port --solana-port --eth-block-time --eth-finality --sol-slot --matching-partitions

Environment:
  SETTLE_POSTGRES_URL    use this PostgreSQL instead of starting one
  SETTLE_POSTGRES_USER   as root: who runs PostgreSQL (default nobody)
  SETTLE_REDIS_URL       use this Redis instead of starting one
  SETTLE_SANDBOX_ROOT    the sandbox folder of Settle's repository, if it isn't found
`

// parts are run by `sandbox part NAME`, which is for the supervisor.
var parts = map[string]func() error{
	"postgres": func() error { return part.Serve(postgres.Run) },
	"temporal": func() error { return part.Serve(temporal.Run) },
	"redis":    func() error { return part.Serve(redis.Run) },
	"ethereum": func() error { return part.Serve(ethereum.Run) },
	"solana":   func() error { return part.Serve(solana.Run) },
}

func main() { os.Exit(run(os.Args[1:])) }

// run returns the exit code: 2 for a wrong command line, 1 for a failure.
func run(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	switch args[0] {
	case "up":
		return up(args[1:])
	case "exec":
		return execute(args[1:])
	case "part":
		return runPart(args[1:])
	case "help", "-h", "--help":
		fmt.Print(usage)
		return 0
	default:
		fmt.Fprintf(os.Stderr, "sandbox: there is no command %q\n\n%s", args[0], usage)
		return 2
	}
}

func runPart(args []string) int {
	if len(args) != 1 || parts[args[0]] == nil {
		fmt.Fprint(os.Stderr, "sandbox: `sandbox part NAME` is for the supervisor\n")
		return 2
	}
	if err := parts[args[0]](); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", args[0], err)
		return 1
	}
	return 0
}

// usageCode is the exit code for an error of flag parsing.
func usageCode(err error) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	return 2
}

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
)

// runTimeout bounds the payments of the demo; half a minute is usual.
const runTimeout = 5 * time.Minute

func main() {
	if !program.Run("demo", demo) {
		os.Exit(1)
	}
}

// demo returns whether everything checked out.
func demo(p *program.Program) bool {
	began := time.Now()
	path := os.Getenv(sandbox.EnvDescriptor)
	if path == "" {
		p.Fatal("run this with `make demo`: it needs a sandbox")
	}
	s, err := sandbox.Open(path, sandbox.WithMigrations(deployment.Migrations))
	if err != nil {
		p.Fatal(err)
	}
	say("starting Settle: migrations, funded wallets, API, worker")
	d := deployment.Start(p, s, deployment.Options{
		EthereumLanes: 4, SolanaLanes: 2, ReviewAbove: reviewAbove, SkipSolanaSlots: true,
	})
	say("ready after %.1f s", time.Since(began).Seconds())
	say("")
	run := send(p, d)
	run.watch(p)
	ok := run.summary(p)
	say("")
	say("  API docs          %s/docs", d.APIURL)
	say("  Temporal Web UI   %s/namespaces/%s/workflows", s.Descriptor.Temporal.UIURL, s.Descriptor.Temporal.Namespace)
	say("  your API key      %s", d.Key)
	say("  settings          . %s   (then: settle pay, settle check, temporal workflow signal)", d.EnvFile())
	say("  logs              %s", d.Dir)
	say("  total             %.1f s", time.Since(began).Seconds())
	if os.Getenv("DEMO_EXIT") != "1" {
		say("")
		say("Everything stays up until Ctrl-C.")
		<-p.Context().Done()
	}
	return ok
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

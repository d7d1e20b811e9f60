package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
)

func main() {
	full, short := fullPlan(), shortPlan()
	payments := flag.Int("payments", full.Payments, "accepted payments, at least")
	kills := flag.Int("kills", full.Kills, "kills at random moments; those at named points come on top")
	rounds := flag.Int("rounds", full.Rounds, "times that the worker dies at each named point, on each chain")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of all choices")
	brief := flag.Bool("short", false, "about a minute and a half of everything; nothing is written")
	out := flag.String("out", "docs/certificate.md", "`file` for the certificate; empty: print it only")
	flag.Parse()
	p := full
	p.Payments, p.Kills, p.Rounds = *payments, *kills, *rounds
	if *brief {
		p, *out = short, ""
	}
	p.Seed = *seed
	if !program.Run("certify", func(t *program.Program) bool { return certify(t, p, *out) }) {
		os.Exit(1)
	}
}

// certify returns whether every bad line is 0.
func certify(t *program.Program, p plan, out string) bool {
	s, err := sandbox.Open(os.Getenv(sandbox.EnvDescriptor), sandbox.WithMigrations(deployment.Migrations))
	if err != nil {
		t.Fatalf("run this with `make certify`: %v", err)
	}
	for _, chain := range []string{"ethereum", "solana"} {
		if strings.Contains(s.Descriptor.Parts[chain].Detail, "in memory") {
			t.Fatalf("%s is in memory and would not survive its kill: give the sandbox a --dir", chain)
		}
	}
	c := newCampaign(t, s, p)
	cert := c.run()
	text := cert.markdown()
	fmt.Println()
	fmt.Print(text)
	if out != "" {
		if err := os.WriteFile(out, []byte(text), 0o644); err != nil { //nolint:gosec // meant to be read
			t.Fatal(err)
		}
	}
	if !cert.clean() {
		c.keepLogs()
	}
	return cert.clean()
}

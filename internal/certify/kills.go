package main

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
)

const (
	// calm is what a part of the sandbox needs between two kills: its supervisor
	// gives up on one that keeps dying right after its start.
	calm = 12 * time.Second
	// backTimeout is for a part's restart, recovery included.
	backTimeout = time.Minute
)

// parts of the sandbox that are killed. Temporal's counts as restarted with
// Postgres, since it may fall with it.
var parts = []string{"temporal", "postgres", "ethereum", "solana"}

// kills strikes at random moments, one target at a time. Processes of Settle
// stay away up to a second; parts come back by themselves.
func (c *campaign) kills() {
	back := map[string]time.Time{}
	for n := range c.plan.Kills {
		c.pass(c.between(200*time.Millisecond, 1500*time.Millisecond))
		targets := []string{"worker", "worker", "API"}
		if c.plan.Parts {
			for _, part := range parts {
				if time.Since(back[part]) > calm {
					targets = append(targets, part)
				}
			}
		}
		target := targets[c.rng.IntN(len(targets))]
		switch target {
		case "worker":
			c.killProcess(target, c.load.d.Workers[c.rng.IntN(len(c.load.d.Workers))])
		case "API":
			c.killProcess(target, c.load.d.API)
		default:
			c.killPart(target)
			back[target] = time.Now()
			if target == "postgres" {
				back["temporal"] = time.Now()
			}
		}
		c.say("kill %d: %s, back after %.1f s", n+1, target, c.outages[len(c.outages)-1].restored.Sub(c.outages[len(c.outages)-1].killed).Seconds())
	}
}

func (c *campaign) killProcess(target string, p *deployment.Process) {
	p.Kill()
	o := outage{target: target, killed: time.Now()}
	c.pass(c.between(0, time.Second))
	p.Start()
	o.restored = time.Now()
	c.outages = append(c.outages, o)
}

// killPart kills a part of the sandbox and waits until another process has
// taken its place.
func (c *campaign) killPart(part string) {
	before := c.pid(part)
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		c.t.Fatalf("kill %s: %v", part, err)
	}
	o := outage{target: part, killed: time.Now()}
	await(c.t, backTimeout, part+" to come back", func() bool { return c.pid(part) != before })
	o.restored = time.Now()
	c.outages = append(c.outages, o)
}

// pid reads the process id of a part that answers, from the newest descriptor.
func (c *campaign) pid(part string) int {
	path := os.Getenv(sandbox.EnvDescriptor)
	if path == "" {
		path = filepath.Join(c.sandbox.Descriptor.Dir, "sandbox.json")
	}
	s, err := sandbox.Open(path)
	if err != nil {
		c.t.Fatalf("the sandbox is gone: %v", err)
	}
	if !slices.Contains(parts, part) {
		c.t.Fatalf("part %q is not to be killed", part)
	}
	return s.Descriptor.Parts[part].PID
}

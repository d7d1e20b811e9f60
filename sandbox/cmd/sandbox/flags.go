package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/settlehq/settle/sandbox/supervisor"
)

// portFlags are the ports that users care about.
var portFlags = []string{"postgres", "temporal", "ui", "redis", "ethereum", "solana"}

type options struct {
	supervisor.Config
	watchPID int
}

// parse reads the flags that up and exec share, and returns what follows them.
func parse(command string, args []string) (options, []string, error) {
	var o options
	o.Ports = map[string]int{}
	o.Log = os.Stderr
	fs := flag.NewFlagSet("sandbox "+command, flag.ContinueOnError)
	fs.StringVar(&o.Dir, "dir", "", "keep state in this `directory`; without it everything is temporary")
	fs.BoolVar(&o.Temporary, "rm", false, "remove the directory at the end; the chains and Redis stay in memory")
	partList := fs.String("parts", strings.Join(supervisor.PartNames(), ","), "`names` of the parts to run")
	fs.IntVar(&o.watchPID, "watch-pid", 0, "stop as soon as this `process` is gone")
	for _, name := range portFlags {
		fs.Func(name+"-port", fmt.Sprintf("`port` of %s on 127.0.0.1 (default any free one)", name), func(v string) error {
			var port int
			if _, err := fmt.Sscanf(v, "%d", &port); err != nil || port < 1 || port > 65535 {
				return fmt.Errorf("%q is not a port", v)
			}
			o.Ports[name] = port
			return nil
		})
	}
	fs.DurationVar(&o.EthereumBlockTime, "eth-block-time", time.Second, "time between Ethereum blocks")
	fs.IntVar(&o.EthereumFinality, "eth-finality", 4, "a block is final when this many `blocks` follow it")
	fs.DurationVar(&o.SolanaSlotTime, "sol-slot", 400*time.Millisecond, "time between Solana slots")
	fs.IntVar(&o.MatchingPartitions, "matching-partitions", 1, "`partitions` of each Temporal task queue; 0 is the server's default")
	if err := fs.Parse(args); err != nil {
		return o, nil, err
	}
	o.Parts = strings.Split(*partList, ",")
	exe, err := os.Executable()
	if err != nil {
		return o, nil, err
	}
	o.Exe = exe
	return o, fs.Args(), nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/settlehq/settle/sandbox/supervisor"
)

func up(args []string) int {
	o, rest, err := parse("up", args)
	if err != nil {
		return usageCode(err)
	}
	if len(rest) > 0 {
		fmt.Fprintf(os.Stderr, "sandbox up: unexpected argument %q\n", rest[0])
		return 2
	}
	ctx := untilAskedToStop(o.watchPID)
	sb, code := start(ctx, o)
	if sb == nil {
		return code
	}
	select {
	case <-ctx.Done():
		fmt.Fprintf(os.Stderr, "stopping: %v\n", context.Cause(ctx))
	case <-sb.Failed():
		fmt.Fprintf(os.Stderr, "%v\n", sb.Err())
		code = 1
	}
	sb.Stop()
	return code
}

// start brings the sandbox up, or returns nil and the exit code.
func start(ctx context.Context, o options) (*supervisor.Sandbox, int) {
	began := time.Now()
	sb, err := supervisor.Start(ctx, o.Config)
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(os.Stderr, "stopped: %v\n", context.Cause(ctx))
		} else {
			fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
		}
		return nil, 1
	}
	fmt.Fprintf(os.Stderr, "%-9s ready in %.1f s: %s\n", "sandbox", time.Since(began).Seconds(), sb.DescriptorPath())
	return sb, 0
}

// untilAskedToStop ends at the first signal or when the watched process is gone.
// A second signal ends us at once: the parts then stop by themselves.
func untilAskedToStop(watchPID int) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		cancel(fmt.Errorf("signal: %s", <-signals))
		<-signals
		os.Exit(130)
	}()
	if watchPID > 0 {
		return supervisor.Watch(ctx, watchPID)
	}
	return ctx
}

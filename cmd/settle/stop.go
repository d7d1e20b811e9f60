package main

import (
	"context"
	"io"
	"os"
)

// withStdin ends ctx when standard input does, if SETTLE_STOP_ON_EOF is 1. A
// supervisor that holds the other end of the pipe thereby takes this process
// along, however the supervisor itself ends.
func withStdin(ctx context.Context) context.Context {
	if os.Getenv("SETTLE_STOP_ON_EOF") != "1" {
		return ctx
	}
	ctx, stop := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // any end of input counts
		stop()
	}()
	return ctx
}

package supervisor

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/sandbox/proc"
)

// Watch ends the returned context, with a cause that names pid, as soon as that
// process is gone. The tests' sandbox dies with its `go test` this way.
func Watch(ctx context.Context, pid int) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for proc.Alive(pid) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		cancel(fmt.Errorf("process %d is gone", pid))
	}()
	return ctx
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// commandGrace is how long the command may take to end after a signal.
const commandGrace = 15 * time.Second

func execute(args []string) int {
	o, command, err := parse("exec", args)
	if err != nil {
		return usageCode(err)
	}
	if len(command) == 0 {
		fmt.Fprint(os.Stderr, "sandbox exec: no command; write it after --\n")
		return 2
	}
	ctx := untilAskedToStop(o.watchPID)
	sb, code := start(ctx, o)
	if sb == nil {
		return code
	}
	defer sb.Stop()

	// In a terminal the command is in our process group and receives Ctrl-C itself.
	// SIGTERM covers everything else, and harms no process that is ending already.
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "SETTLE_SANDBOX="+sb.DescriptorPath())
	err = cmd.Run()
	select {
	case <-sb.Failed():
		fmt.Fprintf(os.Stderr, "%v\n", sb.Err())
	default:
	}
	return exitCode(ctx, err)
}

// exitCode is the command's, in a shell's way: 128 plus the number of the signal
// that ended it, 127 if it couldn't be started.
func exitCode(ctx context.Context, err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal())
		}
		return exit.ExitCode()
	case ctx.Err() != nil:
		return 130
	default:
		fmt.Fprintf(os.Stderr, "sandbox exec: %v\n", err)
		return 127
	}
}

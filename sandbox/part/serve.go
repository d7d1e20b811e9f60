package part

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// ErrReleased is the cause of a part's context when its standard input ended:
// the supervisor has let go of it or has died. A part that was told to own a
// temporary directory removes it then. On SIGTERM the cause is another one,
// because a part that is only restarted must find its data again.
var ErrReleased = errors.New("the supervisor has released this part")

// Serve runs one part to its end over this process's standard streams.
// It returns nil when the part stopped because it was asked to.
func Serve[C, R any](run func(ctx context.Context, cfg C, ready func(R)) error) error {
	// Standard output belongs to the protocol. Libraries that print would corrupt
	// it, so they get the log instead.
	stdout := os.Stdout
	os.Stdout = os.Stderr

	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration line: %w", err)
	}
	var cfg C
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return fmt.Errorf("decode the configuration line: %w", err)
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel(ErrReleased)
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	// A reader of the ready line or of the log that is gone is no reason to die
	// halfway through stopping a database.
	signal.Ignore(syscall.SIGPIPE)
	go func() { cancel(fmt.Errorf("stopped by signal: %s", <-signals)) }()

	var once sync.Once
	ready := func(r R) {
		once.Do(func() {
			if err := json.NewEncoder(stdout).Encode(r); err != nil {
				cancel(fmt.Errorf("write the ready line: %w", err))
			}
			_ = stdout.Close()
		})
	}
	err = run(ctx, cfg, ready)
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

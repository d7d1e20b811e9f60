package program

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Program is a running command. It is a sandbox.T.
type Program struct {
	ctx      context.Context //nolint:containedctx // as testing.T holds the test's
	name     string
	cleanups []func()
}

type fatal struct{ text string }

// Run runs f with a context that ends with Ctrl-C, and then the clean-ups, also after a fatal error, which makes it
// return false.
func Run(name string, f func(*Program) bool) (ok bool) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &Program{ctx: ctx, name: name}
	defer func() {
		for i := len(p.cleanups) - 1; i >= 0; i-- {
			p.cleanups[i]()
		}
	}()
	defer func() {
		if r := recover(); r != nil {
			f, isFatal := r.(fatal)
			if !isFatal {
				panic(r)
			}
			fmt.Fprintln(os.Stderr, name+":", f.text)
			ok = false
		}
	}()
	return f(p)
}

// Helper does nothing: there are no line numbers to report.
func (p *Program) Helper() {}

// Fatal ends the program after its clean-ups.
func (p *Program) Fatal(args ...any) { panic(fatal{fmt.Sprint(args...)}) }

// Fatalf is Fatal with a format.
func (p *Program) Fatalf(format string, args ...any) { panic(fatal{fmt.Sprintf(format, args...)}) }

// Logf writes a line to standard error.
func (p *Program) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Cleanup runs f at the end, last in first out.
func (p *Program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

// Context ends with Ctrl-C.
func (p *Program) Context() context.Context { return p.ctx }

// Name is the program's.
func (p *Program) Name() string { return p.name }

// TempDir is removed at the end.
func (p *Program) TempDir() string {
	dir, err := os.MkdirTemp("", "settle-"+p.name+"-")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

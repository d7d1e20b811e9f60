package program

import (
	"context"
	"fmt"
	"os"
)

// Program is a running command. It is a sandbox.T.
type Program struct {
	ctx      context.Context //nolint:containedctx // as testing.T holds the test's
	name     string
	cleanups []func()
}

type fatal struct{ text string }

// Run runs f and then the clean-ups, also after a fatal error, which makes it
// return false.
func Run(ctx context.Context, name string, f func(*Program) bool) (ok bool) {
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

// The methods of sandbox.T follow.

// Helper does nothing.
func (p *Program) Helper()                         {}
func (p *Program) Fatal(args ...any)               { panic(fatal{fmt.Sprint(args...)}) }
func (p *Program) Fatalf(format string, a ...any)  { panic(fatal{fmt.Sprintf(format, a...)}) }
func (p *Program) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
func (p *Program) Cleanup(f func())                { p.cleanups = append(p.cleanups, f) }
func (p *Program) Context() context.Context        { return p.ctx }
func (p *Program) Name() string                    { return p.name }

// TempDir is removed at the end.
func (p *Program) TempDir() string {
	dir, err := os.MkdirTemp("", "settle-"+p.name+"-")
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

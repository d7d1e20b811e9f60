package config

import (
	"fmt"
	"strings"
)

// Fault is one thing wrong with one setting.
type Fault struct {
	Setting string // the variable's name
	Problem string // what is wrong
	Value   string // as given; secrets are redacted; "" if there is none
	Remedy  string // what to do
}

// String is the fault on one line.
func (f Fault) String() string {
	value := ""
	if f.Value != "" {
		value = fmt.Sprintf(" (value: %s)", f.Value)
	}
	return oneLine(fmt.Sprintf("%s: %s%s: %s", f.Setting, f.Problem, value, f.Remedy))
}

// Faults is everything that is wrong with a process's settings.
type Faults []Fault

// Error lists the faults, one per line.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return strings.Join(lines, "\n")
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

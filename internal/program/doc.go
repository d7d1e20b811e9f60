// Package program gives a command that works on the sandbox what a test gets
// from the test framework: a context, clean-up in reverse order, and an end at
// the first fatal error. Callers: the demo and the benchmarks.
package program

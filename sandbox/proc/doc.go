// Package proc runs programs that aren't ours (postgres, redis-server) below a
// part, and ends them under every circumstance.
//
// A program of ours notices that its parent is gone because its standard input
// ends. These programs don't look, so each gets a guard: a shell of a few
// kilobytes, in a session of its own, that reads from a pipe which only the part
// holds. When the part is gone, whatever killed it, the read ends and the guard
// ends the program.
//
// Called by the packages of the parts.
package proc

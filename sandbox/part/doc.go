// Package part is the contract between the supervisor and a part of the
// sandbox, as seen from the part.
//
// A part is a child process, `sandbox part NAME`:
//
//   - The first line on its standard input is its configuration, one JSON document.
//   - Once it serves, it writes one JSON line to standard output: its endpoints,
//     which become its section of sandbox.json, and "detail", a sentence on what
//     is running.
//   - It stops when its standard input ends or on SIGTERM, and stops whatever it
//     started. The end of the input is how it learns that a supervisor was killed:
//     the kernel closes a dead process's pipes on every system.
//   - Standard error is its log.
//
// Called by cmd/sandbox only. The packages of the parts know nothing of it: each
// has a Run(ctx, Config, ready func(Ready)) error, which returns when ctx ends.
package part

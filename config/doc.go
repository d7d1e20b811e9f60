// Package config reads the settings of a process from its environment, once,
// at start. Settings are the fields of [Config]; the file .env.example at the
// root explains each, and a test keeps the two together.
//
// Invariants:
//   - [Load] finds every fault before anything is opened or started, and
//     reports all of them at once as [Faults]: one line each that says what is
//     wrong, the value, and what to do. Commands print them and exit 2.
//   - A secret's value never appears in a fault, a log line or an error.
//   - Every secret NAME may come from a file instead: NAME_FILE.
//   - SETTLE_ENV is production unless said otherwise, and production refuses
//     what only tests need.
//
// Callers: cmd/settle, and the packages it hands the parsed values to.
package config

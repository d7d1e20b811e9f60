// Package storetest opens databases for tests and fills them with the objects
// that most tests begin with: merchants with money, intents in any state.
//
// Callers: tests.
package storetest

package sandbox

import (
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// TaskQueue returns a task queue that nobody else uses. It begins with the test's
// name, for the Web UI.
func (s *Sandbox) TaskQueue(t T) string {
	return strings.ReplaceAll(t.Name(), "/", ".") + "-" + randomHex(4)
}

// Temporal connects to the sandbox's namespace until t ends.
func (s *Sandbox) Temporal(t T) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.Descriptor.Temporal.Address,
		Namespace: s.Descriptor.Temporal.Namespace, Logger: quiet{}})
	if err != nil {
		t.Fatalf("sandbox temporal: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// quiet drops the SDK's log lines: a test says itself what went wrong.
type quiet struct{}

var _ log.Logger = quiet{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

// Ethereum returns the hooks of the sandbox's Ethereum.
func (s *Sandbox) Ethereum(t T) *EthereumNode {
	t.Helper()
	return ConnectEthereum(t, s.Descriptor.Ethereum)
}

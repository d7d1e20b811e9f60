// Command node runs the sandbox's Ethereum alone, under the protocol of
// package part: configuration on standard input, its end is the end. It is for
// tests that want a chain of their own to pause, rewind and advance; package
// internal/sandbox of the product starts it.
package main

import (
	"fmt"
	"os"

	"github.com/settlehq/settle/sandbox/ethereum"
	"github.com/settlehq/settle/sandbox/part"
)

func main() {
	if err := part.Serve(ethereum.Run); err != nil {
		fmt.Fprintf(os.Stderr, "ethereum: %v\n", err)
		os.Exit(1)
	}
}

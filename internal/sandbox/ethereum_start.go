package sandbox

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// StartEthereum starts an Ethereum chain that only this test uses, for tests
// that pause, rewind or advance it. It is in memory and ends with the test.
// Blocks come every blockTime, or with Mine only if that is negative;
// "finalized" is two blocks behind the head. The node is a program of the
// sandbox's module; the Go tool builds it and keeps it in its cache.
func StartEthereum(t T, blockTime time.Duration) *EthereumNode {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "run", "./ethereum/node")
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "..", "sandbox")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end is the node's end, even if this process is killed
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the Ethereum node: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if _, err := fmt.Fprintf(stdin, "{\"block_time\":%d}\n", blockTime.Nanoseconds()); err != nil {
		t.Fatalf("start the Ethereum node: %v", err)
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the Ethereum node ended before it was ready: %v", err)
	}
	var e Ethereum
	if err := json.Unmarshal(line, &e); err != nil {
		t.Fatalf("the Ethereum node's ready line %q: %v", line, err)
	}
	return ConnectEthereum(t, e)
}

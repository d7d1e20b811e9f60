package solana

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start runs a chain until the test ends or the returned stop is called.
func start(t *testing.T, cfg Config) (Ready, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	up := make(chan Ready, 1)
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg, func(r Ready) { up <- r }) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case r := <-up:
		return r, stop
	case err := <-done:
		stopped = true
		cancel()
		t.Fatalf("run: %v", err)
		panic("unreachable")
	}
}

func call[T any](t *testing.T, url, method string, params ...any) T {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": append([]any{}, params...)})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct {
		Result T
		Error  any
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if out.Error != nil {
		t.Fatalf("%s: %v", method, out.Error)
	}
	return out.Result
}

type value[T any] struct{ Value T }

var processed = map[string]string{"commitment": "processed"}

func balance(t *testing.T, url, address, commitment string) uint64 {
	t.Helper()
	return call[value[uint64]](t, url, "getBalance", address, map[string]string{"commitment": commitment}).Value
}

const someone = "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM"

func TestCommitmentsAreReadAsOfTheirBlock(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{SlotTime: time.Hour})
	call[string](t, r.HTTPURL, "requestAirdrop", someone, 1_000_000_000)
	want := func(p, c, f uint64) {
		t.Helper()
		for level, want := range map[string]uint64{"processed": p, "confirmed": c, "finalized": f} {
			if got := balance(t, r.HTTPURL, someone, level); got != want {
				t.Errorf("balance at %s is %d, want %d", level, got, want)
			}
		}
	}
	want(1_000_000_000, 0, 0)
	call[int](t, r.HTTPURL, "test_advance", 1)
	want(1_000_000_000, 1_000_000_000, 0)
	call[int](t, r.HTTPURL, "test_advance", 31)
	want(1_000_000_000, 1_000_000_000, 1_000_000_000)
}

func TestForkUndoesTransactionsAndForgetsBlockhashes(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{SlotTime: time.Hour})
	type blockhash struct{ Blockhash string }
	older := call[value[blockhash]](t, r.HTTPURL, "getLatestBlockhash", processed).Value.Blockhash
	call[int](t, r.HTTPURL, "test_advance", 2)
	abandoned := call[value[blockhash]](t, r.HTTPURL, "getLatestBlockhash", processed).Value.Blockhash
	signature := call[string](t, r.HTTPURL, "requestAirdrop", someone, 5_000_000)
	slot := call[uint64](t, r.HTTPURL, "getSlot", processed)
	call[int](t, r.HTTPURL, "test_advance", 1)

	lost := call[[]string](t, r.HTTPURL, "test_fork", 2)
	if len(lost) != 1 || lost[0] != signature {
		t.Fatalf("lost %v, want %s", lost, signature)
	}
	if got := balance(t, r.HTTPURL, someone, "processed"); got != 0 {
		t.Errorf("balance after the fork is %d", got)
	}
	if now := call[uint64](t, r.HTTPURL, "getSlot", processed); now <= slot {
		t.Errorf("slot %d after the fork, was %d", now, slot)
	}
	if s := call[value[[]any]](t, r.HTTPURL, "getSignatureStatuses", []string{signature}, map[string]bool{"searchTransactionHistory": true}).Value; s[0] != nil {
		t.Errorf("abandoned transaction has status %v", s[0])
	}
	for hash, want := range map[string]bool{older: true, abandoned: false} {
		if got := call[value[bool]](t, r.HTTPURL, "isBlockhashValid", hash, processed).Value; got != want {
			t.Errorf("blockhash %s valid: %v, want %v", hash, got, want)
		}
	}
}

func TestBlockhashExpiresAfter150Blocks(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{SlotTime: time.Hour})
	type latest struct {
		Blockhash            string
		LastValidBlockHeight uint64
	}
	h := call[value[latest]](t, r.HTTPURL, "getLatestBlockhash", processed).Value
	if height := call[uint64](t, r.HTTPURL, "getBlockHeight", processed); h.LastValidBlockHeight != height+150 {
		t.Fatalf("last valid height %d at height %d", h.LastValidBlockHeight, height)
	}
	for _, step := range []struct {
		blocks int
		valid  bool
	}{{150, true}, {1, false}} {
		call[int](t, r.HTTPURL, "test_advance", step.blocks)
		if got := call[value[bool]](t, r.HTTPURL, "isBlockhashValid", h.Blockhash, processed).Value; got != step.valid {
			t.Errorf("after %d more blocks valid: %v", step.blocks, got)
		}
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, stop := start(t, Config{Dir: dir, SlotTime: time.Hour})
	signatures := map[string]bool{}
	for i := range 3 {
		signatures[call[string](t, first.HTTPURL, "requestAirdrop", someone, 1_000_000+i)] = true
		call[int](t, first.HTTPURL, "test_advance", 1)
	}
	slot := call[uint64](t, first.HTTPURL, "getSlot", processed)
	stop()

	second, _ := start(t, Config{Dir: dir, SlotTime: time.Hour})
	if second.GenesisHash != first.GenesisHash || second.USDCMint != first.USDCMint {
		t.Errorf("another chain after the restart: %+v, was %+v", second, first)
	}
	if got := balance(t, second.HTTPURL, someone, "finalized"); got != 3_000_003 {
		t.Errorf("balance %d after the restart", got)
	}
	if now := call[uint64](t, second.HTTPURL, "getSlot", processed); now <= slot {
		t.Errorf("slot %d after the restart, was %d", now, slot)
	}
	type status struct{ ConfirmationStatus string }
	for s := range signatures {
		got := call[value[[]*status]](t, second.HTTPURL, "getSignatureStatuses", []string{s}).Value[0]
		if got == nil || got.ConfirmationStatus != "finalized" {
			t.Errorf("status after the restart: %+v", got)
		}
	}
}

func TestPauseHoldsTransactionsBack(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{SlotTime: time.Hour})
	call[int](t, r.HTTPURL, "test_pause", true)
	call[string](t, r.HTTPURL, "requestAirdrop", someone, 7_000_000)
	if got := balance(t, r.HTTPURL, someone, "processed"); got != 0 {
		t.Errorf("balance while paused is %d", got)
	}
	call[int](t, r.HTTPURL, "test_pause", false)
	if got := balance(t, r.HTTPURL, someone, "processed"); got != 7_000_000 {
		t.Errorf("balance after the pause is %d", got)
	}
}

func TestBatchesAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{})
	body := `[{"jsonrpc":"2.0","id":"a","method":"getHealth"},{"jsonrpc":"2.0","id":"b","method":"nope"}]`
	resp, err := http.Post(r.HTTPURL, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out []struct {
		ID     string
		Result any
		Error  *struct{ Code int }
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	if len(out) != 2 || out[0].ID != "a" || out[0].Result != "ok" || out[1].ID != "b" || out[1].Error == nil || out[1].Error.Code != -32601 {
		t.Errorf("answers: %+v", out)
	}
}

func TestPortInUseIsOneLine(t *testing.T) {
	t.Parallel()
	r, _ := start(t, Config{})
	var port int
	if _, err := fmt.Sscanf(r.HTTPURL, "http://127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Config{Port: port}, func(Ready) { t.Error("two chains on one port") })
	if err == nil || !strings.Contains(err.Error(), "cannot listen") {
		t.Errorf("run: %v", err)
	}
}

func TestNodeMajor(t *testing.T) {
	for in, want := range map[string]int{"v20.20.2\n": 20, "v8.0.0": 8, "": 0, "node": 0} {
		if got := nodeMajor(in); got != want {
			t.Errorf("nodeMajor(%q) = %d, want %d", in, got, want)
		}
	}
}

// A killed sidecar comes back with every closed block.
func TestClosedBlocksSurviveAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	up := make(chan Ready, 1)
	done := make(chan error, 1)
	go func() { done <- Run(t.Context(), Config{Dir: dir, SlotTime: time.Hour}, func(r Ready) { up <- r }) }()
	var first Ready
	select {
	case first = <-up:
	case err := <-done:
		t.Fatal(err)
	}
	kept := call[string](t, first.HTTPURL, "requestAirdrop", someone, 4_000_000)
	call[int](t, first.HTTPURL, "test_advance", 1)
	open := call[string](t, first.HTTPURL, "requestAirdrop", someone, 1_000_000)
	call[int](t, first.HTTPURL, "test_crash")
	if err := <-done; err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("run: %v", err)
	}

	blocks, err := os.OpenFile(filepath.Join(dir, "blocks.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blocks.WriteString(`{"slot":1,"hei`); err != nil { // as a full disk would leave it
		t.Fatal(err)
	}
	blocks.Close()

	between, stop := start(t, Config{Dir: dir, SlotTime: time.Hour})
	call[int](t, between.HTTPURL, "test_advance", 40)
	stop()
	second, _ := start(t, Config{Dir: dir, SlotTime: time.Hour})
	if second.GenesisHash != first.GenesisHash {
		t.Error("another chain after the kill")
	}
	if got := balance(t, second.HTTPURL, someone, "finalized"); got != 4_000_000 {
		t.Errorf("balance %d after the kill", got)
	}
	got := call[value[[]any]](t, second.HTTPURL, "getSignatureStatuses", []string{kept, open}).Value
	if got[0] == nil || got[1] != nil {
		t.Errorf("statuses after the kill: %v", got)
	}
}

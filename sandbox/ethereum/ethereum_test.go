package ethereum

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/settlehq/settle/sandbox/contracts"
)

// bundle is a running node and a client of it. stop waits for the gentle end.
type bundle struct {
	*testing.T
	ready Ready
	rpc   *rpc.Client
	eth   *ethclient.Client
	stop  func()
}

// setup starts a node without clock: every block is made by the test.
func setup(t *testing.T, dir string) *bundle {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan Ready, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{Dir: dir, BlockTime: -1}, func(r Ready) { started <- r })
	}()
	b := &bundle{T: t}
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		ended <- nil
	}
	select {
	case b.ready = <-started:
	case err := <-ended:
		t.Fatalf("run: %v", err)
	}
	client, err := rpc.Dial(b.ready.HTTPURL)
	if err != nil {
		t.Fatal(err)
	}
	b.rpc, b.eth = client, ethclient.NewClient(client)
	t.Cleanup(b.stop)
	return b
}

func (b *bundle) call(method string, args ...any) {
	b.Helper()
	if err := b.rpc.CallContext(b.Context(), nil, method, args...); err != nil {
		b.Fatalf("%s%v: %v", method, args, err)
	}
}

func (b *bundle) number(tag string) uint64 {
	b.Helper()
	var header *types.Header
	if err := b.rpc.CallContext(b.Context(), &header, "eth_getBlockByNumber", tag, false); err != nil || header == nil {
		b.Fatalf("block %s: %v", tag, err)
	}
	return header.Number.Uint64()
}

func (b *bundle) wei(address common.Address) uint64 {
	b.Helper()
	balance, err := b.eth.BalanceAt(b.Context(), address, nil)
	if err != nil {
		b.Fatal(err)
	}
	return balance.Uint64()
}

func (b *bundle) usdc(address common.Address) uint64 {
	b.Helper()
	token := contracts.NewTestUSDC()
	var out hexutil.Bytes
	b.mustCall(&out, "eth_call", map[string]any{"to": b.ready.USDC, "data": hexutil.Bytes(token.PackBalanceOf(address))}, "latest")
	balance, err := token.UnpackBalanceOf(out)
	if err != nil {
		b.Fatal(err)
	}
	return balance.Uint64()
}

func (b *bundle) mustCall(out any, method string, args ...any) {
	b.Helper()
	if err := b.rpc.CallContext(b.Context(), out, method, args...); err != nil {
		b.Fatalf("%s: %v", method, err)
	}
}

func (b *bundle) fund(address common.Address, wei, usdc int64) {
	b.Helper()
	b.call("sandbox_fund", address, (*hexutil.Big)(big.NewInt(wei)), (*hexutil.Big)(big.NewInt(usdc)))
}

func TestFinalizedFollowsTheHead(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	for range 70 { // across the multiples of 32 that geth's own simulated beacon finalizes
		b.call("sandbox_mine", 1)
		head, final, safe := b.number("latest"), b.number("finalized"), b.number("safe")
		if final != head-2 || safe != final {
			t.Fatalf("head %d, finalized %d, safe %d", head, final, safe)
		}
	}
}

func TestFundsAndAdministersTheToken(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	who := common.HexToAddress("0x1111111111111111111111111111111111111111")
	b.fund(who, 5, 7)
	b.fund(who, 1, 1)
	if b.wei(who) != 6 || b.usdc(who) != 8 {
		t.Errorf("has %d wei and %d USDC units, want 6 and 8", b.wei(who), b.usdc(who))
	}
	b.call("sandbox_blacklist", who, true)
	zero := (*hexutil.Big)(new(big.Int))
	if err := b.rpc.Call(nil, "sandbox_fund", who, zero, (*hexutil.Big)(big.NewInt(1))); err == nil {
		t.Error("the token paid a blacklisted address")
	}
	b.call("sandbox_blacklist", who, false)
	b.call("sandbox_pauseToken", true)
	b.call("sandbox_pauseToken", false)
	b.fund(who, 0, 2)
	if b.usdc(who) != 10 {
		t.Errorf("has %d USDC units, want 10", b.usdc(who))
	}
}

// TestReorg sends one transaction per way of losing a block.
// The base fee rises as far as asked, and what offered less waits meanwhile.
func TestRaiseBaseFee(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	ctx := b.Context()
	const gwei = 1_000_000_000
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	from := crypto.PubkeyToAddress(key.PublicKey)
	b.call("sandbox_fund", from, (*hexutil.Big)(big.NewInt(1e18)), nil)
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(ChainID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(ChainID), GasTipCap: big.NewInt(gwei), GasFeeCap: big.NewInt(20 * gwei), Gas: 21_000, To: &from})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.eth.SendTransaction(ctx, tx); err != nil {
		t.Fatal(err)
	}
	b.call("sandbox_raiseBaseFee", (*hexutil.Big)(big.NewInt(50*gwei)))
	b.call("sandbox_mine", 1)
	if head, err := b.eth.HeaderByNumber(ctx, nil); err != nil || head.BaseFee.Cmp(big.NewInt(50*gwei)) < 0 {
		t.Fatalf("base fee %s, %v", head.BaseFee, err)
	}
	if _, pending, err := b.eth.TransactionByHash(ctx, tx.Hash()); err != nil || !pending {
		t.Errorf("a transaction that offers less: pending %t, %v", pending, err)
	}
	b.call("sandbox_mine", 20)
	if _, pending, err := b.eth.TransactionByHash(ctx, tx.Hash()); err != nil || pending {
		t.Errorf("after the rush: pending %t, %v", pending, err)
	}
}

func TestReorg(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	key, _ := crypto.GenerateKey()
	from := crypto.PubkeyToAddress(key.PublicKey)
	b.fund(from, 1e18, 0)
	to := common.HexToAddress("0x2222222222222222222222222222222222222222")
	send := func(nonce uint64) common.Hash {
		tx := types.MustSignNewTx(key, types.LatestSignerForChainID(big.NewInt(ChainID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(ChainID), Nonce: nonce, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11), Gas: 21_000, To: &to, Value: big.NewInt(1),
		})
		if err := b.eth.SendTransaction(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		return tx.Hash()
	}
	block := func(hash common.Hash) common.Hash {
		receipt, err := b.eth.TransactionReceipt(t.Context(), hash)
		if err != nil {
			return common.Hash{}
		}
		return receipt.BlockHash
	}

	kept := send(0)
	b.call("sandbox_mine", 1)
	first := block(kept)
	b.call("sandbox_reorg", 1, true)
	if second := block(kept); second == (common.Hash{}) || second == first {
		t.Errorf("kept: was in %s, is in %s", first, second)
	}

	lost := send(1)
	b.call("sandbox_mine", 1)
	b.call("sandbox_reorg", 1, false)
	b.call("sandbox_mine", 1)
	if now := block(lost); now != (common.Hash{}) {
		t.Errorf("dropped by the reorg, but in %s", now)
	}

	dropped := send(1)
	b.call("sandbox_dropPool")
	b.call("sandbox_mine", 1)
	if now := block(dropped); now != (common.Hash{}) {
		t.Errorf("dropped from the pool, but in %s", now)
	}

	b.call("sandbox_setGasTip", (*hexutil.Big)(big.NewInt(5e9)))
	cheap := send(1)
	b.call("sandbox_mine", 1)
	if now := block(cheap); now != (common.Hash{}) {
		t.Errorf("below the tip, but in %s", now)
	}
	b.call("sandbox_setGasTip", (*hexutil.Big)(big.NewInt(1)))
	b.call("sandbox_mine", 1)
	if block(cheap) == (common.Hash{}) {
		t.Error("the tip was lowered, but the transaction still waits")
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "chain")
	who := common.HexToAddress("0x3333333333333333333333333333333333333333")
	first := setup(t, dir)
	first.fund(who, 1, 42)
	first.call("sandbox_mine", 3)
	head := first.number("latest")
	first.stop()

	again := setup(t, dir)
	if got := again.number("latest"); got != head {
		t.Errorf("head %d after the restart, was %d", got, head)
	}
	if again.ready.USDC != first.ready.USDC || again.usdc(who) != 42 {
		t.Errorf("token %s holds %d for the address, want %s and 42", again.ready.USDC, again.usdc(who), first.ready.USDC)
	}
	again.fund(who, 0, 1)
	if again.usdc(who) != 43 {
		t.Error("funding does not work after the restart")
	}
}

// childDir makes this test binary run a node in that directory instead of
// tests: a process to be killed.
const childDir = "SANDBOX_ETHEREUM_TEST_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	err := Run(context.Background(), Config{Dir: dir, BlockTime: -1}, func(r Ready) { _ = json.NewEncoder(os.Stdout).Encode(r) })
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestStateSurvivesAKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "chain")
	who := common.HexToAddress("0x4444444444444444444444444444444444444444")
	var head hexutil.Uint64
	for round := range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill() })
		b := &bundle{T: t}
		if err := json.NewDecoder(out).Decode(&b.ready); err != nil {
			t.Fatal(err)
		}
		if b.rpc, err = rpc.Dial(b.ready.HTTPURL); err != nil {
			t.Fatal(err)
		}
		var found hexutil.Uint64
		b.mustCall(&found, "eth_blockNumber")
		if round > 0 && (found != head || b.usdc(who) != uint64(round)) {
			t.Errorf("round %d: block %d and %d units, want %d and %d", round, found, b.usdc(who), head, round)
		}
		b.fund(who, 0, 1)
		b.mustCall(&head, "sandbox_mine", 5)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait()
	}
}

func TestClockMakesBlocks(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	started := make(chan Ready, 1)
	go func() {
		ended <- Run(ctx, Config{BlockTime: 10 * time.Millisecond}, func(r Ready) { started <- r })
	}()
	ready := <-started
	client, err := ethclient.Dial(ready.WSURL)
	if err != nil {
		t.Fatal(err)
	}
	heads := make(chan *types.Header)
	sub, err := client.SubscribeNewHead(ctx, heads)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		select {
		case <-heads:
		case err := <-sub.Err():
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("gentle stop: %v", err)
	}
}

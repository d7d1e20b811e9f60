package sandbox

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/payment"
)

// EthereumNode works the sandbox's Ethereum through its RPC endpoint: test
// money, and the faults of the namespace "sandbox". Every method fails the
// test on error.
//
// Mine and Fund are harmless to other tests on the same node. Pause, Reorg,
// DropPool, SetGasTip, RaiseBaseFee and PauseToken are not: use them on a node of
// your own.
type EthereumNode struct {
	Ethereum
	client *rpc.Client
}

// ConnectEthereum returns the hooks of a running node.
func ConnectEthereum(t T, e Ethereum) *EthereumNode {
	t.Helper()
	client, err := rpc.Dial(e.HTTPURL)
	if err != nil {
		t.Fatalf("sandbox ethereum: %v", err)
	}
	t.Cleanup(client.Close)
	return &EthereumNode{Ethereum: e, client: client}
}

// EthereumFunding is one line of FundMany.
type EthereumFunding struct {
	Address string
	Wei     *big.Int // may be nil
	USDC    uint64   // base units
}

// Fund gives wei and USDC base units to an address; both are in a block when
// it returns.
func (e *EthereumNode) Fund(t T, address string, wei *big.Int, usdc uint64) {
	t.Helper()
	e.FundMany(t, EthereumFunding{address, wei, usdc})
}

// FundMany is Fund for several addresses at once.
func (e *EthereumNode) FundMany(t T, list ...EthereumFunding) {
	t.Helper()
	type line struct {
		Address string       `json:"address"`
		Wei     *hexutil.Big `json:"wei"`
		USDC    *hexutil.Big `json:"usdc"`
	}
	lines := make([]line, len(list))
	for i, f := range list {
		wei := f.Wei
		if wei == nil {
			wei = new(big.Int)
		}
		lines[i] = line{f.Address, (*hexutil.Big)(wei), (*hexutil.Big)(new(big.Int).SetUint64(f.USDC))}
	}
	e.call(t, nil, "sandbox_fundMany", lines)
}

// Mine makes n blocks at once.
func (e *EthereumNode) Mine(t T, n int) {
	t.Helper()
	e.call(t, nil, "sandbox_mine", n)
}

// Pause stops the block clock until the test ends or Resume is called.
func (e *EthereumNode) Pause(t T) {
	t.Helper()
	e.call(t, nil, "sandbox_pause", true)
	t.Cleanup(func() { e.Resume(t) })
}

// Resume starts the block clock again.
func (e *EthereumNode) Resume(t T) {
	t.Helper()
	e.call(t, nil, "sandbox_pause", false)
}

// Reorg replaces the newest depth blocks by depth+1 others. With keep, their
// transactions go into the new branch; without, they are forgotten.
func (e *EthereumNode) Reorg(t T, depth int, keep bool) {
	t.Helper()
	e.call(t, nil, "sandbox_reorg", depth, keep)
}

// DropPool forgets every transaction that is in no block.
func (e *EthereumNode) DropPool(t T) {
	t.Helper()
	e.call(t, nil, "sandbox_dropPool")
}

// SetGasTip keeps transactions with a lower tip (wei per gas) out of blocks
// until the test ends.
func (e *EthereumNode) SetGasTip(t T, wei int64) {
	t.Helper()
	e.call(t, nil, "sandbox_setGasTip", (*hexutil.Big)(big.NewInt(wei)))
	t.Cleanup(func() { e.call(t, nil, "sandbox_setGasTip", (*hexutil.Big)(big.NewInt(1))) })
}

// RaiseBaseFee makes full blocks until the base fee (wei per gas) is at least
// this much. Every empty block lowers it by an eighth again.
func (e *EthereumNode) RaiseBaseFee(t T, wei *big.Int) {
	t.Helper()
	e.call(t, nil, "sandbox_raiseBaseFee", (*hexutil.Big)(wei))
}

// Blacklist puts an address on the token's blacklist, or takes it off.
func (e *EthereumNode) Blacklist(t T, address string, listed bool) {
	t.Helper()
	e.call(t, nil, "sandbox_blacklist", address, listed)
}

// PauseToken pauses all transfers of the token, or resumes them.
func (e *EthereumNode) PauseToken(t T, paused bool) {
	t.Helper()
	e.call(t, nil, "sandbox_pauseToken", paused)
}

// AdvanceTo mines until blocks from the given chain time on are final.
func (e *EthereumNode) AdvanceTo(t T, at time.Time) {
	t.Helper()
	for {
		var final struct {
			Timestamp hexutil.Uint64 `json:"timestamp"`
		}
		e.call(t, &final, "eth_getBlockByNumber", "finalized", false)
		missing := at.Unix() - int64(final.Timestamp)
		if missing <= 0 {
			return
		}
		e.Mine(t, int(min(missing, 1000)))
	}
}

// USDC returns an address's tokens in the newest block.
func (e *EthereumNode) USDC(t T, address string) payment.Amount {
	t.Helper()
	var out hexutil.Bytes
	token := fiattoken.NewFiatToken()
	e.call(t, &out, "eth_call", map[string]any{
		"to": e.Ethereum.USDC, "data": hexutil.Bytes(token.PackBalanceOf(common.HexToAddress(address))),
	}, "latest")
	units, err := token.UnpackBalanceOf(out)
	if err != nil {
		t.Fatalf("sandbox ethereum: balance of %s: %v", address, err)
	}
	amount, err := payment.ParseUnits(units.String())
	if err != nil {
		t.Fatal(err)
	}
	return amount
}

func (e *EthereumNode) call(t T, out any, method string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Second) // t's context is over in Cleanup
	defer cancel()
	if err := e.client.CallContext(ctx, out, method, args...); err != nil {
		t.Fatalf("sandbox ethereum: %s: %v", method, err)
	}
}

// EthereumWallets are fresh accounts and the signer that holds their keys.
type EthereumWallets struct {
	Treasury string
	Lanes    []string
	*EthereumKeys
}

// NewWallets makes a treasury with 1,000,000 USDC and no ether, and lanes with
// 10 ether and no USDC.
func (e *EthereumNode) NewWallets(t T, lanes int) EthereumWallets {
	t.Helper()
	ten, _ := new(big.Int).SetString("10000000000000000000", 10)
	return e.wallets(t, lanes, ten)
}

// NewDryWallets is NewWallets with lanes that cannot pay for any gas.
func (e *EthereumNode) NewDryWallets(t T, lanes int) EthereumWallets {
	t.Helper()
	return e.wallets(t, lanes, nil)
}

func (e *EthereumNode) wallets(t T, lanes int, wei *big.Int) EthereumWallets {
	t.Helper()
	keys := &EthereumKeys{}
	w := EthereumWallets{Treasury: keys.New(t), EthereumKeys: keys}
	funding := []EthereumFunding{{Address: w.Treasury, USDC: 1_000_000_000_000}}
	for range lanes {
		lane := keys.New(t)
		w.Lanes = append(w.Lanes, lane)
		funding = append(funding, EthereumFunding{Address: lane, Wei: wei})
	}
	e.FundMany(t, funding...)
	return w
}

// EthereumKeys is a chains.Signer with keys in memory, for tests.
type EthereumKeys struct {
	mu   sync.RWMutex
	keys map[string]*ecdsa.PrivateKey
}

// New makes a key and returns its EIP-55 address.
func (k *EthereumKeys) New(t T) string {
	t.Helper()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	address := crypto.PubkeyToAddress(key.PublicKey).Hex()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]*ecdsa.PrivateKey{}
	}
	k.keys[address] = key
	return address
}

// Key returns the private key of an address made by New, in hex without 0x;
// empty for others.
func (k *EthereumKeys) Key(address string) string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[address]
	if !ok {
		return ""
	}
	return fmt.Sprintf("%x", crypto.FromECDSA(key))
}

// Sign signs a 32-byte digest: [R || S || V], V 0 or 1.
func (k *EthereumKeys) Sign(_ context.Context, address string, digest []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.keys[address]
	if !ok {
		return nil, fmt.Errorf("no key for %s", address)
	}
	return crypto.Sign(digest, key)
}

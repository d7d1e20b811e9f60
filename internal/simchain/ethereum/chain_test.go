package ethereum_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"runtime"
	"testing"
	"time"

	geth "github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/simchain"
	"github.com/settlehq/settle/internal/simchain/ethereum"
	"github.com/settlehq/settle/payment"
)

// bundle is a chain with nodes, and Settle's view of it.
type bundle struct {
	testing.TB
	chain    *ethereum.Chain
	nodes    []*ethereum.Node
	keys     *ethereum.Keys
	treasury common.Address
	lane     common.Address
	settle   *evm.Chain
}

const ether = 1_000_000_000_000_000_000

func setup(tb testing.TB, nodes int, change func(*ethereum.Genesis)) *bundle {
	tb.Helper()
	b := &bundle{TB: tb, keys: ethereum.NewKeys("test")}
	b.treasury, b.lane = b.keys.Add("treasury"), b.keys.Add("lane")
	g := ethereum.Genesis{Time: time.Now(), Accounts: map[common.Address]ethereum.Account{
		b.treasury: {USDC: big.NewInt(ether)}, b.lane: {Wei: new(big.Int).Mul(big.NewInt(ether), big.NewInt(1000))},
	}}
	if change != nil {
		change(&g)
	}
	b.chain = ethereum.New(g)
	cfg := evm.Config{
		Name: "ethereum", ChainID: 1, Token: b.chain.Token().Hex(), Treasury: b.treasury.Hex(), Lanes: []string{b.lane.Hex()}, PollIntervalMS: 100, RPCRestMS: 1,
	}
	for range nodes {
		n := b.chain.Node()
		tb.Cleanup(n.Close)
		b.nodes = append(b.nodes, n)
		cfg.RPCURLs = append(cfg.RPCURLs, n.URL)
	}
	var err error
	if b.settle, err = evm.Open(tb.Context(), cfg, b.keys); err != nil {
		tb.Fatal(err)
	}
	b.refresh()
	return b
}

func (b *bundle) refresh() {
	b.Helper()
	if err := b.settle.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// payee is who the payment with this lane nonce is for.
func payee(nonce uint64) common.Address {
	return common.BigToAddress(big.NewInt(int64(1_000_000 + nonce)))
}

func (b *bundle) order(nonce uint64) chains.Order {
	return chains.Order{
		IntentID: fmt.Sprintf("pi_%032d", nonce), Seq: 1, To: payee(nonce).Hex(), Amount: payment.Units(1_000_000),
		Lane: chains.Lane{Address: b.lane.Hex(), Nonce: nonce}, ValidFor: time.Hour, Now: time.Now(),
	}
}

func (b *bundle) sign(o chains.Order) chains.Signed {
	b.Helper()
	s, err := b.settle.Sign(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bundle) send(s chains.Signed) {
	b.Helper()
	if v := b.verdict(s); v.Acceptance != chains.Accepted {
		b.Fatalf("send: %+v", v)
	}
}

func (b *bundle) verdict(s chains.Signed) chains.Verdict {
	return b.settle.Send(b.Context(), chains.StoredTx{Hash: s.Tx.Hash, Raw: s.Tx.Raw})
}

func (b *bundle) scan(o chains.Order, s chains.Signed) chains.Sighting {
	b.Helper()
	got, err := b.settle.Scan(b.Context(), []chains.Watched{{
		IntentID: o.IntentID, Slot: s.Slot, To: o.To, Amount: o.Amount, Txs: []chains.StoredTx{{Hash: s.Tx.Hash, Raw: s.Tx.Raw}},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return got[0]
}

// each runs a case per line, with a fresh chain of one node.
func each(t *testing.T, cases map[string]func(*bundle)) {
	t.Helper()
	t.Parallel()
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(setup(t, 1, nil))
		})
	}
}

// raw signs a transaction of the lane past Settle: price is cap and tip, in
// gwei.
func (b *bundle) raw(nonce, price uint64, change func(*types.DynamicFeeTx)) []byte {
	b.Helper()
	fee := new(big.Int).Mul(new(big.Int).SetUint64(price), big.NewInt(1_000_000_000))
	self := b.lane
	tx := &types.DynamicFeeTx{ChainID: big.NewInt(1), Nonce: nonce, GasTipCap: fee, GasFeeCap: fee, Gas: 21_000, To: &self}
	if change != nil {
		change(tx)
	}
	signer := types.LatestSignerForChainID(tx.ChainID)
	unsigned := types.NewTx(tx)
	sig, err := b.keys.Sign(b.Context(), b.lane.Hex(), signer.Hash(unsigned).Bytes())
	if err != nil {
		b.Fatal(err)
	}
	signed, err := unsigned.WithSignature(signer, sig)
	if err != nil {
		b.Fatal(err)
	}
	out, err := signed.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// TestWords: what a node says to a transaction that it does not take, in
// go-ethereum's words.
func TestWords(t *testing.T) {
	poor := func(tx *types.DynamicFeeTx) { tx.Value = new(big.Int).Mul(big.NewInt(ether), big.NewInt(2000)) }
	half := func(tx *types.DynamicFeeTx) { tx.Value = new(big.Int).Mul(big.NewInt(ether), big.NewInt(600)) }
	cases := map[string]func(*bundle){}
	for want, run := range map[string]func(*bundle) []byte{
		"already known": func(b *bundle) []byte { _ = b.chain.Submit(b.raw(0, 2, nil)); return b.raw(0, 2, nil) },
		"nonce too low: next nonce 1, tx nonce 0": func(b *bundle) []byte {
			_ = b.chain.Submit(b.raw(0, 2, nil))
			b.chain.Mine(1)
			return b.raw(0, 3, nil)
		},
		"replacement transaction underpriced": func(b *bundle) []byte {
			_ = b.chain.Submit(b.raw(0, 100, nil))
			return b.raw(0, 109, nil)
		},
		"transaction underpriced": func(b *bundle) []byte {
			b.chain.SetFull(big.NewInt(3_000_000_000))
			return b.raw(0, 3, nil)
		},
		"transaction gas price below minimum: gas tip cap 0, minimum needed 1": func(b *bundle) []byte { return b.raw(0, 0, nil) },
		"max priority fee per gas higher than max fee per gas": func(b *bundle) []byte {
			return b.raw(0, 2, func(tx *types.DynamicFeeTx) { tx.GasFeeCap = big.NewInt(1) })
		},
		"intrinsic gas too low: gas 20000, minimum needed 21000": func(b *bundle) []byte {
			return b.raw(0, 2, func(tx *types.DynamicFeeTx) { tx.Gas = 20_000 })
		},
		"transaction gas limit too high (cap: 16777216, tx: 20000000)": func(b *bundle) []byte {
			return b.raw(0, 2, func(tx *types.DynamicFeeTx) { tx.Gas = 20_000_000 })
		},
		"invalid sender: invalid chain id for signer: have 5 want 1": func(b *bundle) []byte {
			return b.raw(0, 2, func(tx *types.DynamicFeeTx) { tx.ChainID = big.NewInt(5) })
		},
		"insufficient funds for gas * price + value: balance 1000000000000000000000, tx cost 2000000042000000000000, overshot 1000000042000000000000": func(b *bundle) []byte {
			return b.raw(0, 2, poor)
		},
		"insufficient funds for gas * price + value: balance 1000000000000000000000, queued cost 600000042000000000000, tx cost 600000042000000000000, overshot 200000084000000000000": func(b *bundle) []byte {
			_ = b.chain.Submit(b.raw(0, 2, half))
			return b.raw(1, 2, half)
		},
	} {
		cases[want] = func(b *bundle) {
			if err := b.chain.Submit(run(b)); err == nil || err.Error() != want {
				b.Errorf("said %v", err)
			}
		}
	}
	each(t, cases)
}

func TestPools(t *testing.T) {
	each(t, map[string]func(*bundle){
		"a gap waits": func(b *bundle) {
			b.submit(1, 2)
			b.chain.Mine(2)
			b.wantNonce(0)
			b.submit(0, 2)
			b.chain.Mine(1)
			b.wantNonce(2)
		},
		"ten percent more replaces": func(b *bundle) {
			b.submit(0, 100)
			hash := b.submit(0, 110)
			b.chain.Mine(1)
			if _, ok, mined := b.chain.Mined(hash); !ok || !mined {
				b.Error("the dearer transaction is in no block")
			}
		},
		"a cap below the base fee waits": func(b *bundle) {
			b.submit(0, 2)
			b.chain.SetBaseFee(big.NewInt(3_000_000_000))
			b.chain.Mine(5)
			b.wantNonce(0)
			b.chain.SetBaseFee(big.NewInt(2_000_000_000))
			b.chain.Mine(1)
			b.wantNonce(1)
		},
		"what is dropped may come back": func(b *bundle) {
			b.submit(0, 2)
			b.chain.Drop()
			b.chain.Mine(1)
			b.wantNonce(0)
			b.submit(0, 2)
			b.chain.Mine(1)
			b.wantNonce(1)
		},
		"somebody else uses the nonce": func(b *bundle) {
			o := b.order(0)
			s := b.sign(o)
			b.send(s)
			foreign := b.chain.Foreign(b.keys, b.lane)
			b.chain.Mine(1)
			if _, _, mined := b.chain.Mined(foreign); !mined {
				b.Error("the foreign transaction is in no block")
			}
			if v := b.verdict(s); v.Class != string(evm.ClassNonceUsed) {
				b.Errorf("sent again: %+v", v)
			}
		},
		"fees are charged at the effective price": func(b *bundle) {
			before := b.chain.Account(b.lane).Wei
			b.submit(0, 5)
			b.chain.Mine(1)
			spent := new(big.Int).Sub(before, b.chain.Account(b.lane).Wei)
			if want := big.NewInt(21_000 * 5_000_000_000); spent.Cmp(want) != 0 {
				b.Errorf("charged %s, want %s", spent, want)
			}
		},
	})
}

// submit hands a transfer of nothing to the builders and returns its hash.
func (b *bundle) submit(nonce, price uint64) common.Hash {
	b.Helper()
	raw := b.raw(nonce, price, nil)
	if err := b.chain.Submit(raw); err != nil {
		b.Fatal(err)
	}
	return crypto.Keccak256Hash(raw)
}

func (b *bundle) wantNonce(want uint64) {
	b.Helper()
	if got := b.chain.Account(b.lane).Nonce; got != want {
		b.Errorf("the lane's nonce is %d, want %d", got, want)
	}
}

// TestReverts: what the token says, as a replay of the payment tells it.
func TestReverts(t *testing.T) {
	cases := map[string]func(*bundle){}
	for want, spoil := range map[string]func(*bundle){
		"Pausable: paused":                               func(b *bundle) { b.chain.PauseToken(true) },
		"Blacklistable: account is blacklisted":          func(b *bundle) { b.chain.Blacklist(payee(0), true) },
		"FiatTokenV2: authorization is expired":          func(b *bundle) { b.chain.SetTime(time.Now().Add(2 * time.Hour)) },
		"ERC20: transfer amount exceeds balance":         func(b *bundle) { b.chain.Fund(b.treasury, new(big.Int), big.NewInt(-ether)) },
		"FiatTokenV2: authorization is used or canceled": nil, // by the payment itself
	} {
		cases[want] = func(b *bundle) {
			s := b.sign(b.order(0))
			b.send(s)
			if spoil != nil {
				spoil(b)
			}
			b.chain.Mine(1)
			if _, succeeded, mined := b.chain.Mined(common.HexToHash(s.Tx.Hash)); !mined || succeeded != (spoil == nil) {
				b.Errorf("mined %v, succeeded %v", mined, succeeded)
			}
			if err := b.replay(s); err == nil || err.Error() != "execution reverted: "+want {
				b.Errorf("replayed: %v", err)
			}
		}
	}
	each(t, cases)
}

// replay calls what a payment calls, at the newest block.
func (b *bundle) replay(s chains.Signed) error {
	b.Helper()
	client, err := ethclient.DialContext(b.Context(), b.nodes[0].URL)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var tx types.Transaction
	if err := tx.UnmarshalBinary(s.Tx.Raw); err != nil {
		b.Fatal(err)
	}
	_, err = client.CallContract(b.Context(), geth.CallMsg{From: b.lane, To: tx.To(), Gas: tx.Gas(), Data: tx.Data()}, nil)
	return err
}

func TestBadSignaturesDoNotPay(t *testing.T) {
	each(t, map[string]func(*bundle){
		"another amount": func(b *bundle) {
			s := b.sign(b.order(0))
			var tx types.Transaction
			if err := tx.UnmarshalBinary(s.Tx.Raw); err != nil {
				b.Fatal(err)
			}
			data := bytes.Clone(tx.Data())
			data[4+3*32-1]++ // value
			if err := b.chain.Submit(b.raw(0, 2, func(x *types.DynamicFeeTx) { x.To, x.Data, x.Gas = tx.To(), data, tx.Gas() })); err != nil {
				b.Fatal(err)
			}
			b.chain.Mine(1)
			b.wantNonce(1)
			if got := b.chain.Transfers(); len(got) > 0 {
				b.Errorf("paid %+v", got)
			}
		},
		"out of gas": func(b *bundle) {
			s := b.sign(b.order(0))
			var tx types.Transaction
			if err := tx.UnmarshalBinary(s.Tx.Raw); err != nil {
				b.Fatal(err)
			}
			if err := b.chain.Submit(b.raw(0, 2, func(x *types.DynamicFeeTx) { x.To, x.Data, x.Gas = tx.To(), tx.Data(), 80_000 })); err != nil {
				b.Fatal(err)
			}
			b.chain.Mine(1)
			b.wantNonce(1)
			if got := b.chain.Transfers(); len(got) > 0 {
				b.Errorf("paid %+v", got)
			}
		},
	})
}

// TestReorgs: a payment of a replaced block is gone, and pays again only if
// somebody still has it.
func TestReorgs(t *testing.T) {
	cases := map[string]func(*bundle){}
	for _, keep := range []bool{false, true} {
		cases[fmt.Sprintf("keep=%v", keep)] = func(b *bundle) {
			b.chain.Fund(common.HexToAddress("0x1"), big.NewInt(7), new(big.Int))
			o := b.order(0)
			s := b.sign(o)
			b.send(s)
			b.chain.Mine(2)
			if got := b.scan(o, s); got.Kind != chains.Included {
				b.Fatalf("seen as %s", got.Kind)
			}
			b.chain.Reorg(2, keep)
			if head, _ := b.chain.Head(); head != 3 {
				b.Errorf("head %d after 2 blocks were replaced by 3", head)
			}
			if got := b.scan(o, s); got.Kind != chains.Unseen {
				b.Errorf("reorganised away, but %s", got.Kind)
			}
			if got := b.chain.Account(common.HexToAddress("0x1")).Wei; got.Cmp(big.NewInt(7)) != 0 {
				b.Errorf("what was given is %s now", got)
			}
			b.chain.Mine(3)
			if paid := len(b.chain.Transfers()) == 1; paid != keep {
				b.Errorf("paid %v, kept %v", paid, keep)
			}
			b.chain.Submit(s.Tx.Raw) //nolint:errcheck // known, or used, or new
			b.chain.Mine(3)
			if got := b.scan(o, s); got.Kind != chains.Paid || len(b.chain.Transfers()) != 1 {
				b.Errorf("seen as %s, %d transfers", got.Kind, len(b.chain.Transfers()))
			}
		}
	}
	each(t, cases)
}

func TestFinalityLagsAndNeverGoesBack(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, nil)
	want := func(head, final uint64) {
		t.Helper()
		h, _ := b.chain.Head()
		f, _ := b.chain.Final()
		if h != head || f != final {
			t.Errorf("head %d, final %d, want %d and %d", h, f, head, final)
		}
	}
	b.chain.Mine(5)
	want(5, 3)
	b.chain.SetFinality(10)
	b.chain.Mine(5)
	want(10, 3)
	b.chain.SetFinality(1)
	want(10, 9)
}

// TestHistory: nonces and balances at any block.
func TestHistory(t *testing.T) {
	t.Parallel()
	b := setup(t, 1, nil)
	client, err := ethclient.DialContext(t.Context(), b.nodes[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for nonce := range uint64(3) {
		b.submit(nonce, 2)
		b.chain.Mine(1)
	}
	for number := range int64(4) {
		if got, err := client.NonceAt(t.Context(), b.lane, big.NewInt(number)); err != nil || got != uint64(number) {
			t.Errorf("nonce %d (%v) at block %d", got, err, number)
		}
	}
	if _, err := client.NonceAt(t.Context(), b.lane, big.NewInt(4)); err == nil || err.Error() != "header not found" {
		t.Errorf("nonce at a block that is not there: %v", err)
	}
	var block struct {
		Transactions []struct {
			From  common.Address `json:"from"`
			Nonce hexutil.Uint64 `json:"nonce"`
		} `json:"transactions"`
	}
	if err := client.Client().CallContext(t.Context(), &block, "eth_getBlockByNumber", "0x2", true); err != nil {
		t.Fatal(err)
	}
	if len(block.Transactions) != 1 || block.Transactions[0].From != b.lane || block.Transactions[0].Nonce != 1 {
		t.Errorf("block 2 has %+v", block.Transactions)
	}
}

// TestNodesGoWrong: of three nodes the first does; the payment is made and seen
// all the same.
func TestNodesGoWrong(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*ethereum.Node){
		"lags":           func(n *ethereum.Node) { n.SetLag(5) },
		"fails":          func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{Status: 503})) },
		"limits":         func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{Status: 429})) },
		"hangs up":       func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{HangUp: true})) },
		"hangs up late":  func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{HangUp: true, Late: true})) },
		"hides":          func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{Lie: n.Hides})) },
		"flips":          func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{Lie: n.Flips})) },
		"swallows":       func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{Lie: n.Swallows})) },
		"invents nonces": func(n *ethereum.Node) { n.Strike(simchain.Always(simchain.Fault{Lie: n.Counts(7)})) },
		"forgets":        func(n *ethereum.Node) { n.Drop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 3, nil)
			b.chain.Mine(10)
			spoil(b.nodes[0])
			o := b.order(0)
			s := b.sign(o)
			b.send(s)
			b.await(common.HexToHash(s.Tx.Hash))
			b.chain.Mine(3)
			_ = b.settle.Refresh(b.Context())
			if got := b.scan(o, s); got.Kind != chains.Paid {
				t.Errorf("seen as %s (%s)", got.Kind, got.Reason)
			}
		})
	}
}

// await waits until builders have a transaction: Send is content with one
// node's yes, and others may get the bytes a moment later.
func (b *bundle) await(hash common.Hash) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	for !b.chain.Waiting(hash) {
		if ctx.Err() != nil {
			b.Fatal("no builder has the transaction")
		}
		runtime.Gosched()
	}
}

// TestSwallowedBytesAreInNoPool, while those of a lost answer are.
func TestSwallowedBytesAreInNoPool(t *testing.T) {
	each(t, map[string]func(*bundle){
		"swallowed": func(b *bundle) {
			b.nodes[0].Strike(simchain.Always(simchain.Fault{Lie: b.nodes[0].Swallows}))
			b.send(b.sign(b.order(0)))
			b.chain.Mine(1)
			b.wantNonce(0)
		},
		"answer lost": func(b *bundle) {
			b.nodes[0].Strike(simchain.Always(simchain.Fault{HangUp: true, Late: true}))
			if v := b.verdict(b.sign(b.order(0))); v.Acceptance != chains.Unsure {
				b.Errorf("verdict %+v", v)
			}
			b.chain.Mine(1)
			b.wantNonce(1)
		},
	})
}

// TestSameCallsSameChain: a failing order of events can be repeated.
func TestSameCallsSameChain(t *testing.T) {
	t.Parallel()
	tell := func() string {
		b := setup(t, 1, func(g *ethereum.Genesis) { g.Time = time.Unix(1_800_000_000, 0) })
		for nonce := range uint64(5) {
			b.submit(nonce, 2+nonce)
		}
		b.chain.Mine(2)
		b.chain.Reorg(1, true)
		b.chain.Mine(1)
		client, err := ethclient.DialContext(t.Context(), b.nodes[0].URL)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		var block json.RawMessage
		if err := client.Client().CallContext(t.Context(), &block, "eth_getBlockByNumber", "latest", true); err != nil {
			t.Fatal(err)
		}
		return string(block)
	}
	if a, b := tell(), tell(); a != b {
		t.Errorf("not the same:\n%s\n%s", a, b)
	}
}

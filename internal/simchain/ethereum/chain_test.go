package ethereum_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
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
		Name: "ethereum", ChainID: 1, Token: b.chain.Token().Hex(), Treasury: b.treasury.Hex(), Lanes: []string{b.lane.Hex()}, PollIntervalMS: 1,
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

package evm_test

import (
	"context"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// TestConformance runs the suite of all chain families on a go-ethereum node,
// with both methods of settlement.
func TestConformance(t *testing.T) {
	for _, method := range []string{evm.MethodEIP3009, evm.MethodTransfer} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			chaintest.Run(t, harness(sandbox.StartEthereum(t, 200*time.Millisecond), method))
		})
	}
}

// config is what a test opens the chain with.
func config(node *sandbox.EthereumNode, url string, w chaintest.Wallets, method string) evm.Config {
	return evm.Config{
		Name: "ethereum", ChainID: node.ChainID, RPCURLs: []string{url}, Token: node.Ethereum.USDC, Multicall3: node.Multicall3,
		Treasury: w.Treasury, Lanes: w.Lanes, Method: method, PollIntervalMS: 100, FinalityETAMS: 3000,
	}
}

func harness(node *sandbox.EthereumNode, method string) chaintest.Harness {
	var payees sandbox.EthereumKeys
	h := chaintest.Harness{
		RPCURL: node.HTTPURL,
		NewWallets: func(t *testing.T, lanes int) chaintest.Wallets {
			w := node.NewWallets(t, lanes)
			if method == evm.MethodTransfer {
				w.Treasury = w.Lanes[0]
				for _, lane := range w.Lanes {
					node.Fund(t, lane, nil, chaintest.MinFunding)
				}
			}
			return chaintest.Wallets{Treasury: w.Treasury, Lanes: w.Lanes, Signer: w}
		},
		Open: func(ctx context.Context, o chaintest.Opening) (chains.Chain, error) {
			cfg := config(node, "", o.Wallets, method)
			cfg.RPCURLs = o.RPCURLs
			if o.WrongNetwork {
				cfg.ChainID++
			}
			cfg.PaidEarlier = paidBelow(o.PaidBelow)
			return open(ctx, cfg, o.Wallets.Signer)
		},
		NewPayee:     func(t *testing.T) string { return payees.New(t) },
		TokenBalance: func(t *testing.T, address string) payment.Amount { return node.USDC(t, address) },
		Advance:      func(t *testing.T) { node.Mine(t, 1) },
		DropPending:  func(t *testing.T) { node.DropPool(t) },
		Pause: func(t *testing.T, paused bool) {
			if paused {
				node.Pause(t)
			} else {
				node.Resume(t)
			}
		},
		Reorg:        func(t *testing.T, depth int) { node.Reorg(t, depth, false) },
		CanReuse:     method == evm.MethodEIP3009,
		Lies:         lies(node.Ethereum.USDC),
		Destinations: destinations,
	}
	if method == evm.MethodEIP3009 {
		h.Expire = func(t *testing.T, s chains.Slot) { node.AdvanceTo(t, *s.ExpiresAt) }
	}
	return h
}

// paidBelow has payments of less count as paid with one block on top.
func paidBelow(units string) []evm.Earlier {
	if units == "" {
		return nil
	}
	return []evm.Earlier{{Below: units, Blocks: 1}}
}

var destinations = []chaintest.Destination{
	{Name: "checksum", In: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Want: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
	{Name: "lower case", In: "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", Want: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
	{Name: "upper case", In: "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED", Want: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"},
	{Name: "one capital wrong", In: "0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Code: payment.AddressBadChecksum},
	{Name: "a digit short", In: "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beae", Code: payment.AddressMalformed},
	{Name: "a digit long", In: "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaedd", Code: payment.AddressMalformed},
	{Name: "without 0x", In: "5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", Code: payment.AddressMalformed},
	{Name: "space behind", In: "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed ", Code: payment.AddressMalformed},
	{Name: "no hex", In: "0xzzaeb6053f3e94c9b9a09f33669435e7ef1beaed", Code: payment.AddressMalformed},
	{Name: "zero", In: "0x0000000000000000000000000000000000000000", Code: payment.AddressForbidden},
	{Name: "solana", In: "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v", Code: payment.AddressWrongChain},
}

// open keeps a nil *evm.Chain from becoming a non-nil chains.Chain.
func open(ctx context.Context, cfg evm.Config, signer chains.Signer) (chains.Chain, error) {
	c, err := evm.Open(ctx, cfg, signer)
	if err != nil {
		return nil, err
	}
	return c, nil
}

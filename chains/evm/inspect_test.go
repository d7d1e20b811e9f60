package evm_test

import (
	"strings"
	"testing"

	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

func TestInspectAddress(t *testing.T) {
	t.Parallel()
	node := sandbox.Start(t).Ethereum(t)
	w := node.NewWallets(t, 1)
	c, err := open(t.Context(), config(node, node.HTTPURL, chaintest.Wallets{Treasury: w.Treasury, Lanes: w.Lanes}, evm.MethodEIP3009), w)
	if err != nil {
		t.Fatal(err)
	}
	wallet, listed := sandbox.NewEthereumAddress(t), sandbox.NewEthereumAddress(t)
	node.Blacklist(t, listed, true)
	facts := func(change func(*payment.AddressFacts)) payment.AddressFacts {
		f := payment.AddressFacts{Family: "evm", Canonical: wallet, Checksum: payment.ChecksumValid, Kind: payment.KindWallet, OpensAccount: payment.No, Frozen: payment.No}
		change(&f)
		return f
	}
	nothing := func(f *payment.AddressFacts) {
		f.Canonical, f.Checksum, f.Kind, f.OpensAccount, f.Frozen = "", payment.ChecksumAbsent, payment.KindUnknown, payment.Unknown, payment.Unknown
	}
	for _, tt := range []struct {
		name, address, refused string
		want                   payment.AddressFacts
	}{
		{"wallet", wallet, "", facts(func(*payment.AddressFacts) {})},
		{"lower case", strings.ToLower(wallet), "", facts(func(f *payment.AddressFacts) { f.Checksum = payment.ChecksumAbsent })},
		{"blacklisted", listed, "", facts(func(f *payment.AddressFacts) { f.Canonical, f.Frozen = listed, payment.Yes })},
		{"contract", node.Ethereum.USDC, payment.AddressForbidden, facts(func(f *payment.AddressFacts) { f.Canonical, f.Kind = node.Ethereum.USDC, payment.KindContract })},
		{"ours", w.Treasury, payment.AddressForbidden, facts(func(f *payment.AddressFacts) { f.Canonical, f.Own = w.Treasury, true })},
		{"mistyped", "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed", payment.AddressBadChecksum, facts(func(f *payment.AddressFacts) { nothing(f); f.Checksum = payment.ChecksumInvalid })},
		{"no address", "0x12", payment.AddressMalformed, facts(nothing)},
	} {
		got := c.InspectAddress(t.Context(), tt.address)
		if refused := got.Refusal; (refused == nil) != (tt.refused == "") || refused != nil && refused.Code != tt.refused {
			t.Errorf("%s: refused %v, want %q", tt.name, refused, tt.refused)
		}
		got.Refusal = nil
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

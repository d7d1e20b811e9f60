package solana_test

import (
	"context"
	"testing"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// config is the chain of a sandbox with the wallets of one test.
func config(s sandbox.Solana, url, treasury string, lanes []string) solana.Config {
	return solana.Config{
		Name: "solana", GenesisHash: s.GenesisHash, RPCURLs: []string{url}, Mint: s.USDCMint, Decimals: payment.USDC.Decimals,
		Treasury: treasury, Lanes: lanes, PollIntervalMS: 50,
	}
}

func newPayee(t testing.TB) string {
	t.Helper()
	key, err := sol.NewRandomPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey().String()
}

// expired is enough blocks to end every blockhash, at finalized too, and
// guardExpired to end every variant of a payment with a guard account.
const (
	expired      = 150 + 32 + 1
	guardExpired = 150 + expired
)

// harness works a sandbox's chain for the suites of all families, with
// payments made exclusive in one of the ways.
func harness(s sandbox.Solana, exclusive string) chaintest.Harness {
	return chaintest.Harness{
		RPCURL: s.HTTPURL,
		NewWallets: func(t *testing.T, lanes int) chaintest.Wallets {
			w := s.NewWallets(t, lanes)
			return chaintest.Wallets{Treasury: w.Treasury, Lanes: w.Lanes, Signer: w}
		},
		Open: func(ctx context.Context, o chaintest.Opening) (chains.Chain, error) {
			cfg := config(s, "", o.Wallets.Treasury, o.Wallets.Lanes)
			cfg.RPCURLs, cfg.Exclusive, cfg.PaidEarlier.Below = o.RPCURLs, exclusive, o.PaidBelow
			if o.WrongNetwork {
				cfg.GenesisHash = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
			}
			c, err := solana.Open(ctx, cfg, o.Wallets.Signer)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		NewPayee:     func(t *testing.T) string { return newPayee(t) },
		TokenBalance: func(t *testing.T, address string) payment.Amount { return payment.Units(s.USDC(t, address)) },
		Advance:      func(t *testing.T) { s.AdvanceSlots(t, 1) },
		Expire:       func(t *testing.T, _ chains.Slot) { s.AdvanceSlots(t, guardExpired) },
		DropPending:  func(t *testing.T) { s.DropPending(t) },
		Pause:        func(t *testing.T, paused bool) { s.Pause(t, paused) },
		Reorg:        func(t *testing.T, depth int) { s.Fork(t, depth+1) }, // and the open block above the confirmed one
		CanReuse:     exclusive == solana.ExclusiveGuard,
		Lies:         lies(s),
	}
}

// destinations are good and bad addresses on a chain where a wallet holds
// tokens.
func destinations(t *testing.T, wallet, mint sol.PublicKey) []chaintest.Destination {
	t.Helper()
	ata, _, err := sol.FindAssociatedTokenAddress(wallet, mint)
	if err != nil {
		t.Fatal(err)
	}
	derived, _, err := sol.FindProgramAddress([][]byte{[]byte("nobody")}, sol.TokenProgramID)
	if err != nil {
		t.Fatal(err)
	}
	owner := wallet.String()
	return []chaintest.Destination{
		{Name: "a wallet that exists", In: owner, Want: owner},
		{Name: "its token account", In: ata.String(), Code: payment.AddressTokenAccount},
		{Name: "a program's address", In: derived.String(), Code: payment.AddressOffCurve},
		{Name: "Ethereum", In: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Code: payment.AddressWrongChain},
		{Name: "Ethereum without prefix", In: "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Code: payment.AddressWrongChain},
		{Name: "31 bytes", In: "11111111111111111111111111111112"[:31], Code: payment.AddressMalformed},
		{Name: "a letter that base58 lacks", In: "0" + owner[1:], Code: payment.AddressMalformed},
		{Name: "system program", In: sol.SystemProgramID.String(), Code: payment.AddressForbidden},
		{Name: "token program", In: sol.TokenProgramID.String(), Code: payment.AddressForbidden},
	}
}

// Not parallel: the end of any httptest server closes idle connections of
// http.DefaultTransport, which the suite's gate uses too.
func TestConformance(t *testing.T) { conformance(t, solana.ExclusiveBlockhash) }

func TestConformanceWithGuardAccounts(t *testing.T) { conformance(t, solana.ExclusiveGuard) }

func conformance(t *testing.T, exclusive string) {
	t.Helper()
	s := sandbox.StartSolana(t, 400*time.Millisecond)
	owner := newPayee(t)
	s.Fund(t, owner, 0, 1)
	h := harness(s, exclusive)
	h.Destinations = destinations(t, sol.MustPublicKeyFromBase58(owner), sol.MustPublicKeyFromBase58(s.USDCMint))
	chaintest.Run(t, h)
}

package solana_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"testing"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/solana"
	simulated "github.com/settlehq/settle/internal/simchain/solana"
	"github.com/settlehq/settle/payment"
)

// keyring holds keys and signs with them.
type keyring map[string]ed25519.PrivateKey

func (k keyring) add(t testing.TB) sol.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := sol.PublicKeyFromBytes(public)
	k[key.String()] = private
	return key
}

func (k keyring) Sign(_ context.Context, address string, message []byte) ([]byte, error) {
	private, ok := k[address]
	if !ok {
		return nil, fmt.Errorf("no key for %s", address)
	}
	return ed25519.Sign(private, message), nil
}

const (
	laneLamports   = 100 * sol.LAMPORTS_PER_SOL
	treasuryTokens = 1_000_000_000_000 // base units
)

// newWallets funds a treasury and lanes.
func newWallets(t testing.TB, c *simulated.Chain, lanes int) chaintest.Wallets {
	t.Helper()
	keys := keyring{}
	treasury := keys.add(t)
	c.Fund(treasury, sol.LAMPORTS_PER_SOL, treasuryTokens)
	w := chaintest.Wallets{Treasury: treasury.String(), Signer: keys}
	for range lanes {
		lane := keys.add(t)
		c.Fund(lane, laneLamports, 0)
		w.Lanes = append(w.Lanes, lane.String())
	}
	return w
}

func config(c *simulated.Chain, w chaintest.Wallets, urls ...string) solana.Config {
	return solana.Config{
		Name: "solana", GenesisHash: c.GenesisHash(), RPCURLs: urls, Mint: c.Mint(), Decimals: payment.USDC.Decimals,
		Treasury: w.Treasury, Lanes: w.Lanes, PollIntervalMS: 10,
	}
}

func newPayee(t testing.TB) sol.PublicKey {
	t.Helper()
	return keyring{}.add(t)
}

// expired is enough blocks to end every blockhash, at finalized too.
const expired = 150 + 32 + 1

func harness(t *testing.T, c *simulated.Chain) chaintest.Harness {
	node := c.Node()
	t.Cleanup(node.Close)
	return chaintest.Harness{
		RPCURL:     node.URL,
		NewWallets: func(t *testing.T, lanes int) chaintest.Wallets { return newWallets(t, c, lanes) },
		Open: func(ctx context.Context, o chaintest.Opening) (chains.Chain, error) {
			cfg := config(c, o.Wallets, o.RPCURLs...)
			if o.WrongNetwork {
				cfg.GenesisHash = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
			}
			opened, err := solana.Open(ctx, cfg, o.Wallets.Signer)
			if err != nil {
				return nil, err
			}
			return opened, nil
		},
		NewPayee: func(t *testing.T) string { return newPayee(t).String() },
		TokenBalance: func(_ *testing.T, address string) payment.Amount {
			return payment.Units(c.Tokens(sol.MustPublicKeyFromBase58(address)))
		},
		Advance:     func(*testing.T) { c.Advance(4) },
		Expire:      func(*testing.T, chains.Slot) { c.Advance(expired) },
		DropPending: func(*testing.T) { c.Drop() },
		Pause:       func(*testing.T, bool) {}, // it makes blocks when told to, and only then
		Reorg: func(_ *testing.T, depth int) {
			c.Reorg(depth + 1) // and the block above the confirmed one
			c.Drop()
			c.Advance(depth + 2)
		},
	}
}

// Not parallel: the end of any httptest server closes idle connections of
// http.DefaultTransport, which the suite's gate uses too.
func TestConformance(t *testing.T) {
	c := simulated.New(simulated.Genesis{})
	owner := newPayee(t)
	c.Fund(owner, 0, 1)
	mint := sol.MustPublicKeyFromBase58(c.Mint())
	ata, _, err := sol.FindAssociatedTokenAddress(owner, mint)
	if err != nil {
		t.Fatal(err)
	}
	derived, _, err := sol.FindProgramAddress([][]byte{[]byte("nobody")}, sol.TokenProgramID)
	if err != nil {
		t.Fatal(err)
	}
	h := harness(t, c)
	h.Destinations = []chaintest.Destination{
		{Name: "a wallet that exists", In: owner.String(), Want: owner.String()},
		{Name: "its token account", In: ata.String(), Code: payment.AddressTokenAccount},
		{Name: "a program's address", In: derived.String(), Code: payment.AddressOffCurve},
		{Name: "token program", In: sol.TokenProgramID.String(), Code: payment.AddressForbidden},
	}
	chaintest.Run(t, h)
}

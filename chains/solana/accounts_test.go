package solana_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	sol "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/token"
	"github.com/gagliardetto/solana-go/rpc"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// owner is a payee whose key the test holds, with 5 base units in its token
// account.
type owner struct {
	*bundle
	key     sol.PrivateKey
	address string
	account sol.PublicKey
}

func (b *bundle) newOwner() owner {
	b.Helper()
	key, err := sol.NewRandomPrivateKey()
	if err != nil {
		b.Fatal(err)
	}
	account, _, err := sol.FindAssociatedTokenAddress(key.PublicKey(), sol.MustPublicKeyFromBase58(b.net.USDCMint))
	if err != nil {
		b.Fatal(err)
	}
	o := owner{bundle: b, key: key, address: key.PublicKey().String(), account: account}
	b.net.Fund(b, o.address, sol.LAMPORTS_PER_SOL, 5)
	return o
}

// do sends instructions that the owner signs, and makes them final.
func (o owner) do(instructions ...sol.Instruction) {
	o.Helper()
	client := rpc.New(o.net.HTTPURL)
	latest, err := client.GetLatestBlockhash(o.Context(), rpc.CommitmentConfirmed)
	if err != nil {
		o.Fatal(err)
	}
	tx, err := sol.NewTransaction(instructions, latest.Value.Blockhash, sol.TransactionPayer(o.key.PublicKey()))
	if err != nil {
		o.Fatal(err)
	}
	if _, err := tx.Sign(func(sol.PublicKey) *sol.PrivateKey { return &o.key }); err != nil {
		o.Fatal(err)
	}
	if _, err := client.SendTransactionWithOpts(o.Context(), tx, rpc.TransactionOpts{PreflightCommitment: rpc.CommitmentProcessed}); err != nil {
		o.Fatal(err)
	}
	o.finalize()
}

func (o owner) closeAccount() {
	o.Helper()
	o.do(token.NewBurnInstruction(5, o.account, sol.MustPublicKeyFromBase58(o.net.USDCMint), o.key.PublicKey(), nil).Build(),
		token.NewCloseAccountInstruction(o.account, o.key.PublicKey(), o.key.PublicKey(), nil).Build())
}

func (o owner) giveAway() {
	o.Helper()
	o.do(token.NewSetAuthorityInstruction(token.AuthorityAccountOwner, sol.MustPublicKeyFromBase58(newPayee(o)), o.account, o.key.PublicKey(), nil).Build())
}

// wantRefused expects CheckDestination's definite no.
func (o owner) wantRefused(code string) {
	o.Helper()
	var bad *payment.AddressError
	if _, err := o.chain.CheckDestination(o.Context(), o.address); !errors.As(err, &bad) || bad.Code != code || bad.Detail == "" {
		o.Errorf("destination: %v, want a refusal with %s", err, code)
	}
}

// wantReverted pays the owner and expects the chain to refuse it.
func (o owner) wantReverted(reason string, permanent bool) {
	o.Helper()
	w, s := o.signTo(o.address, 1_000_000)
	o.send(s)
	o.finalize()
	got := o.wantKind(w, chains.Reverted)
	if !strings.HasPrefix(got.Reason, reason) || got.Permanent != permanent || !got.SlotDead || len(got.Proof) == 0 || got.Fee.IsZero() {
		o.Errorf("sighting %+v, want reason %q, permanent %v", got, reason, permanent)
	}
}

func TestFrozenPayeeIsRefused(t *testing.T) {
	b := setup(t, nil)
	o := b.newOwner()
	b.net.Freeze(t, o.address, true)
	b.finalize()
	o.wantRefused(payment.AddressFrozen)
	o.wantReverted("token_account_frozen: the payee's token account is frozen: ", true)
	b.net.Freeze(t, b.wallets.Treasury, true)
	b.finalize()
	o.wantReverted("token_account_frozen: the token accounts of treasury and payee are frozen: ", true)
}

func TestFrozenTreasuryIsNotThePayeesFault(t *testing.T) {
	b := setup(t, nil)
	o := b.newOwner()
	b.net.Freeze(t, b.wallets.Treasury, true)
	o.wantReverted("token_account_frozen: the treasury's token account is frozen: ", false)
	w, s := b.signTo(o.address, 1_000_000)
	b.send(s)
	b.finalize()
	b.net.Freeze(t, b.wallets.Treasury, false)
	b.finalize()
	if got := b.wantKind(w, chains.Reverted); got.Permanent || !strings.Contains(got.Reason, "neither is any more") {
		t.Errorf("sighting %+v", got)
	}
}

func TestTokenAccountOfAnotherOwnerIsRefused(t *testing.T) {
	b := setup(t, nil)
	o := b.newOwner()
	o.giveAway()
	o.wantRefused(payment.AddressForbidden)
	o.wantReverted("payee_account_given_away: ", true)
}

func TestClosedTokenAccountIsOpenedAgain(t *testing.T) {
	b := setup(t, nil)
	o := b.newOwner()
	o.closeAccount()
	if got, err := b.chain.CheckDestination(t.Context(), o.address); err != nil || got != o.address {
		t.Fatalf("destination: %q, %v", got, err)
	}
	w, s := b.signTo(o.address, 1_000_000)
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Paid)
	if got := b.net.USDC(t, o.address); got != 1_000_000 {
		t.Errorf("payee has %d", got)
	}
}

func TestTokenAccountThatCannotBeReadIsUnknown(t *testing.T) {
	silent := &liar{rewrite: func(method string, result json.RawMessage) any {
		if method == "getMultipleAccounts" {
			return map[string]any{"context": map[string]any{"slot": 1}, "value": []any{nil}}
		}
		return result
	}}
	b := setup(t, func(c *solana.Config, s sandbox.Solana) { c.RPCURLs = []string{silent.serve(t, s.HTTPURL)} })
	silent.on.Store(true)
	if got, err := b.chain.CheckDestination(t.Context(), newPayee(t)); !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("destination: %q, %v, want unknown", got, err)
	}
}

func TestInspectAddress(t *testing.T) {
	b := setup(t, nil)
	fresh, frozen, known := newPayee(t), b.newOwner(), b.newOwner()
	b.net.Freeze(t, frozen.address, true)
	b.finalize()
	for _, tt := range []struct {
		name, address, refused string
		kind                   payment.AddressKind
		opens, frozen          payment.Answer
		own                    bool
	}{
		{"new wallet", fresh, "", payment.KindWallet, payment.Yes, payment.No, false},
		{"wallet with a token account", known.address, "", payment.KindWallet, payment.No, payment.No, false},
		{"frozen", frozen.address, payment.AddressFrozen, payment.KindWallet, payment.No, payment.Yes, false},
		{"token account", known.account.String(), payment.AddressTokenAccount, payment.KindTokenAccount, payment.No, payment.No, false},
		{"mint", b.net.USDCMint, payment.AddressForbidden, payment.KindMint, payment.No, payment.No, false},
		{"program", sol.TokenProgramID.String(), payment.AddressForbidden, payment.KindProgram, payment.No, payment.No, false},
		{"ours", b.wallets.Treasury, payment.AddressForbidden, payment.KindWallet, payment.No, payment.No, true},
		{"of another chain", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", payment.AddressWrongChain, payment.KindUnknown, payment.Unknown, payment.Unknown, false},
	} {
		f := b.chain.InspectAddress(t.Context(), tt.address)
		if f.Family != "solana" || f.Kind != tt.kind || f.OpensAccount != tt.opens || f.Frozen != tt.frozen || f.Own != tt.own || f.Unchecked {
			t.Errorf("%s: %+v", tt.name, f)
		}
		if (f.Canonical == tt.address) != (tt.kind != payment.KindUnknown) {
			t.Errorf("%s: canonical %q", tt.name, f.Canonical)
		}
		if r := f.Refusal; (r == nil) != (tt.refused == "") || r != nil && r.Code != tt.refused {
			t.Errorf("%s: refused %v, want %q", tt.name, r, tt.refused)
		}
	}
}

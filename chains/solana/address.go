package solana

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

const destinationTimeout = 2 * time.Second

// hexAddress is how Ethereum writes addresses, with or without prefix.
var hexAddress = regexp.MustCompile(`^(0[xX])?[0-9a-fA-F]{40}$`)

// CheckDestination accepts the base58 address of an owner: a wallet. What is
// no wallet, or has a token account that cannot be paid into, is refused with a
// reason; chains.ErrUnknown if the chain had to be asked and did not answer
// within 2 s. An address that the chain does not know is a new wallet.
func (c *Chain) CheckDestination(ctx context.Context, address string) (string, error) {
	key, bad := c.checkOffline(address)
	if bad != nil {
		return "", bad
	}
	wallet, tokens, err := c.readPayee(ctx, key)
	if err != nil && sol.IsOnCurve(key[:]) {
		return "", fmt.Errorf("check destination %s: %w", key, err)
	}
	if bad := checkPayee(key, wallet, tokens); bad != nil {
		return "", bad
	}
	return key.String(), nil
}

// InspectAddress reads the address, and asks a node within 2 s what lives there
// and at its token account.
func (c *Chain) InspectAddress(ctx context.Context, address string) payment.AddressFacts {
	f := payment.AddressFacts{Family: "solana", Checksum: payment.ChecksumAbsent, Kind: payment.KindUnknown,
		OpensAccount: payment.Unknown, Frozen: payment.Unknown}
	key, bad := c.checkOffline(address)
	f.Refusal = bad
	if bad != nil && bad.Code != payment.AddressForbidden {
		return f // no address of this chain
	}
	f.Canonical, f.Own = key.String(), c.own(key)
	wallet, tokens, err := c.readPayee(ctx, key)
	if f.Refusal == nil {
		f.Refusal = checkPayee(key, wallet, tokens)
		f.Unchecked = err != nil && f.Refusal == nil
	}
	if err != nil {
		return f
	}
	f.Kind = kindOf(key, wallet)
	f.OpensAccount = payment.AnswerOf(f.Kind == payment.KindWallet && (tokens == nil || !isToken(tokens.Owner)))
	f.Frozen = payment.AnswerOf(isFrozen(tokens) || f.Kind == payment.KindTokenAccount && isFrozen(wallet))
	return f
}

// kindOf is what lives at an address; a is nil if nothing does.
func kindOf(key sol.PublicKey, a *account) payment.AddressKind {
	switch {
	case a != nil && isToken(a.Owner) && len(a.Data.bytes) == mintSize:
		return payment.KindMint
	case a != nil && isToken(a.Owner):
		return payment.KindTokenAccount
	case !sol.IsOnCurve(key[:]), a != nil && (a.Executable || a.Owner != sol.SystemProgramID.String()):
		return payment.KindProgram
	}
	return payment.KindWallet
}

// checkPayee refuses by what lives at the address and at its token account.
func checkPayee(key sol.PublicKey, wallet, tokens *account) *payment.AddressError {
	if bad := checkAccount(wallet); bad != nil {
		return bad
	}
	if !sol.IsOnCurve(key[:]) {
		return refuseOffCurve()
	}
	return checkTokens(tokens, key)
}

// ReadAddress is CheckDestination as far as the chain need not be asked. An
// address without a private key is refused; that it is a token account only the
// chain knows.
func (c *Chain) ReadAddress(address string) (string, error) {
	key, bad := c.checkOffline(address)
	if bad == nil && !sol.IsOnCurve(key[:]) {
		bad = refuseOffCurve()
	}
	if bad != nil {
		return "", bad
	}
	return key.String(), nil
}

// readPayee reads what lives at a payee's address and at its associated token
// account.
func (c *Chain) readPayee(ctx context.Context, payee sol.PublicKey) (wallet, tokens *account, err error) {
	ctx, cancel := context.WithTimeout(ctx, destinationTimeout)
	defer cancel()
	ata, err := tokenAccount(payee, c.keys.mint)
	if err != nil {
		return nil, nil, err
	}
	err = c.any(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		call := accountsCall(confirmed, payee, ata)
		if err := n.Do(ctx, call); err != nil {
			return err
		}
		found, _, err := decodeAccounts(call)
		if err == nil {
			wallet, tokens = found[0], found[1]
		}
		return err
	})
	return wallet, tokens, err
}

// checkOffline refuses what needs no look at the chain.
func (c *Chain) checkOffline(address string) (sol.PublicKey, *payment.AddressError) {
	if hexAddress.MatchString(address) {
		return sol.PublicKey{}, refuse(payment.AddressWrongChain, "this is an Ethereum address; use the payee's Solana address, in base58")
	}
	if len(address) > 44 { // the longest base58 text of 32 bytes; decoding is quadratic
		return sol.PublicKey{}, refuse(payment.AddressMalformed, "a Solana address has at most 44 characters")
	}
	key, err := sol.PublicKeyFromBase58(address)
	if err != nil {
		return sol.PublicKey{}, refuse(payment.AddressMalformed, "a Solana address is 32 bytes in base58")
	}
	switch {
	case key == c.keys.mint:
		return key, refuse(payment.AddressForbidden, "this is the token itself; use the address of the payee's wallet")
	case c.own(key):
		return key, refuse(payment.AddressForbidden, "this is an account of ours; use the address of the payee's wallet")
	case key == sol.SystemProgramID:
		return key, refuse(payment.AddressForbidden, "this is the system program; use the address of the payee's wallet")
	}
	return key, nil
}

// own reports whether the account is one of ours.
func (c *Chain) own(key sol.PublicKey) bool {
	return key == c.keys.treasury || key == c.keys.treasuryATA || slices.Contains(c.keys.lanes, key)
}

// checkAccount refuses by what lives at the address; nil is a new wallet.
func checkAccount(a *account) *payment.AddressError {
	switch {
	case a == nil:
		return nil
	case isToken(a.Owner) && len(a.Data.bytes) == mintSize:
		return refuse(payment.AddressForbidden, "this is a token's mint; use the address of the payee's wallet")
	case isToken(a.Owner):
		return refuse(payment.AddressTokenAccount, "this is a token account; use the address of the wallet that owns it")
	case a.Executable:
		return refuse(payment.AddressForbidden, "this is a program; use the address of the payee's wallet")
	}
	return nil
}

// checkTokens refuses by the payee's associated token account; nil, or a closed
// one, is opened by the payment.
func checkTokens(a *account, payee sol.PublicKey) *payment.AddressError {
	switch {
	case a == nil || !isToken(a.Owner):
		return nil
	case !ownedBy(a, payee):
		return refuse(payment.AddressForbidden, "the wallet has given its token account to somebody else; use another wallet of the payee")
	case isFrozen(a):
		return refuse(payment.AddressFrozen, "the token's issuer has frozen the payee's token account; use another wallet of the payee")
	}
	return nil
}

func refuseOffCurve() *payment.AddressError {
	return refuse(payment.AddressOffCurve, "no private key can exist for this address: it is derived from a program; use the address of a wallet")
}

func refuse(code, detail string) *payment.AddressError {
	return &payment.AddressError{Code: code, Detail: detail}
}

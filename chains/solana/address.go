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
// no wallet is refused with a reason; chains.ErrUnknown if the chain had to be
// asked and did not answer within 2 s. An address that the chain does not know
// is a new wallet.
func (c *Chain) CheckDestination(ctx context.Context, address string) (string, error) {
	key, bad := c.checkOffline(address)
	if bad != nil {
		return "", bad
	}
	ctx, cancel := context.WithTimeout(ctx, destinationTimeout)
	defer cancel()
	var found withContext[*account]
	err := c.any(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		info := newCall("getAccountInfo", key.String(), accountOptions(confirmed))
		if err := n.Do(ctx, info); err != nil {
			return err
		}
		return decode(info, &found)
	})
	offCurve := !sol.IsOnCurve(key[:])
	if err != nil && !offCurve {
		return "", fmt.Errorf("check destination %s: %w", key, err)
	}
	if bad := checkAccount(found.Value); bad != nil {
		return "", bad
	}
	if offCurve {
		return "", refuse(payment.AddressOffCurve, "no private key can exist for this address: it is derived from a program; use the address of a wallet")
	}
	return key.String(), nil
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
	case key == c.keys.treasury, key == c.keys.treasuryATA, slices.Contains(c.keys.lanes, key):
		return key, refuse(payment.AddressForbidden, "this is an account of ours; use the address of the payee's wallet")
	case key == sol.SystemProgramID:
		return key, refuse(payment.AddressForbidden, "this is the system program; use the address of the payee's wallet")
	}
	return key, nil
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

func refuse(code, detail string) *payment.AddressError {
	return &payment.AddressError{Code: code, Detail: detail}
}

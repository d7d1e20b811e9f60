package evm

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/mr-tron/base58"

	"github.com/settlehq/settle/payment"
)

// parseAddress reads a hex address. Mixed case must be the EIP-55 checksum;
// all lower or all upper case carries none and is accepted. Errors are
// *payment.AddressError.
func parseAddress(text string) (common.Address, error) {
	refuse := func(code, detail string) (common.Address, error) {
		return common.Address{}, &payment.AddressError{Code: code, Detail: detail}
	}
	digits, prefixed := strings.CutPrefix(text, "0x")
	if !prefixed {
		if raw, err := base58.Decode(text); len(text) <= 44 && err == nil && len(raw) == 32 {
			return refuse(payment.AddressWrongChain, "this is a Solana address: give the payee's address on this chain, 0x and 40 hex digits")
		}
		return refuse(payment.AddressMalformed, "an address is 0x and 40 hex digits")
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != common.AddressLength {
		return refuse(payment.AddressMalformed, "an address is 0x and 40 hex digits")
	}
	address := common.BytesToAddress(raw)
	if mixed(digits) && address.Hex() != text {
		return refuse(payment.AddressBadChecksum, "capitals do not match the EIP-55 checksum: copy the address again from its owner")
	}
	return address, nil
}

// mixed reports whether hex digits have small and capital letters: then the
// capitals are a checksum.
func mixed(digits string) bool {
	return digits != strings.ToLower(digits) && digits != strings.ToUpper(digits)
}

// CheckDestination is ReadAddress: no node needs to be asked.
func (c *Chain) CheckDestination(_ context.Context, text string) (string, error) {
	return c.ReadAddress(text)
}

// ReadAddress returns the EIP-55 form of a payout address, or a
// *payment.AddressError.
func (c *Chain) ReadAddress(text string) (string, error) {
	address, err := parseAddress(text)
	if err != nil {
		return "", err
	}
	if detail := c.set.forbidden(address); detail != "" {
		return "", &payment.AddressError{Code: payment.AddressForbidden, Detail: detail}
	}
	return address.Hex(), nil
}

// forbidden says why an address may not be paid; "" if it may.
func (s settings) forbidden(a common.Address) string {
	switch {
	case a == common.Address{}:
		return "this is the zero address: money sent there is lost"
	case a == s.token:
		return "this is the token's own contract: money sent there is lost"
	case a == s.treasury:
		return "this is our own treasury"
	case slices.Contains(s.lanes, a):
		return "this is one of our own accounts"
	case s.Multicall3 != "" && a == s.multicall3:
		return "this is a utility contract: money sent there is anybody's"
	}
	return ""
}

var errNotOurLane = errors.New("the lane is not configured for this chain")

package evm

import (
	"bytes"
	"context"
	"errors"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

const inspectTimeout = 2 * time.Second

// delegation begins the code of a wallet that lets a contract act for it (EIP-7702).
var delegation = []byte{0xef, 0x01, 0x00}

// InspectAddress reads the address, and asks a node within 2 s whether a
// contract lives there and whether the token has blacklisted it.
func (c *Chain) InspectAddress(ctx context.Context, text string) payment.AddressFacts {
	f := payment.AddressFacts{Family: "evm", Checksum: payment.ChecksumAbsent, Kind: payment.KindUnknown,
		OpensAccount: payment.Unknown, Frozen: payment.Unknown}
	address, err := parseAddress(text)
	if errors.As(err, &f.Refusal) {
		if f.Refusal.Code == payment.AddressBadChecksum {
			f.Checksum = payment.ChecksumInvalid
		}
		return f
	}
	if mixed(strings.TrimPrefix(text, "0x")) {
		f.Checksum = payment.ChecksumValid
	}
	f.Canonical, f.OpensAccount = address.Hex(), payment.No
	f.Own = address == c.set.treasury || slices.Contains(c.set.lanes, address)
	if detail := c.set.forbidden(address); detail != "" {
		f.Refusal = &payment.AddressError{Code: payment.AddressForbidden, Detail: detail}
	}
	var code, listed hexutil.Bytes
	if err := c.readAccount(ctx, address, &code, &listed); err != nil {
		f.Unchecked = f.Refusal == nil
		return f
	}
	f.Kind = payment.KindContract
	if len(code) == 0 || bytes.HasPrefix(code, delegation) {
		f.Kind = payment.KindWallet
	}
	if len(listed) == 32 {
		f.Frozen = payment.AnswerOf(new(big.Int).SetBytes(listed).Sign() != 0)
	}
	return f
}

// readAccount reads the code at an address, and whether the token has
// blacklisted it: listed stays empty if the token does not say.
func (c *Chain) readAccount(ctx context.Context, a common.Address, code, listed *hexutil.Bytes) error {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	return c.read(ctx, func(ctx context.Context, n *rpcpool.Node) error {
		var b batch
		b.add(code, "eth_getCode", a, "latest")
		optional := b.add(listed, "eth_call", call(c.set.token, isBlacklisted(a)), "latest")
		return b.do(ctx, n, optional)
	})
}

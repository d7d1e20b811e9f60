package evm

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm/fiattoken"
)

// Fill signs a transfer of nothing from the lane to itself, which uses up the
// lane's nonce. It is allowed max_cancel_fee_gwei.
func (c *Chain) Fill(ctx context.Context, lane chains.Lane, replaces []chains.StoredTx) (chains.SignedTx, error) {
	now, err := c.fresh(time.Now())
	if err != nil {
		return chains.SignedTx{}, err
	}
	from, replaced, err := c.laneOf(lane, replaces)
	if err != nil {
		return chains.SignedTx{}, err
	}
	nothing := send{lane: from, nonce: lane.Nonce, to: from, gas: c.set.CancelGasLimit}
	return c.signTx(ctx, now.market, nothing, replaced, c.set.maxCancelFee)
}

// Fence signs what kills the slot: the cancellation of an authorization, or a
// fill of the account nonce. It is allowed max_cancel_fee_gwei.
func (c *Chain) Fence(ctx context.Context, slot chains.Slot, lane chains.Lane, replaces []chains.StoredTx) (chains.SignedTx, error) {
	switch slot.Kind {
	case chains.SlotEIP3009:
		return c.cancelAuthorization(ctx, slot, lane, replaces)
	case chains.SlotEVMNonce:
		if !isSlotOf(slot, lane) {
			return chains.SignedTx{}, fmt.Errorf("nonce %s of %s is fenced under itself only", slot.Nonce, slot.Authority)
		}
		return c.Fill(ctx, lane, replaces)
	default:
		return chains.SignedTx{}, fmt.Errorf("a slot of kind %q cannot be fenced here", slot.Kind)
	}
}

// cancelAuthorization submits the treasury's cancellation over the lane. It
// outbids earlier cancellations of the same authorization only.
func (c *Chain) cancelAuthorization(ctx context.Context, slot chains.Slot, lane chains.Lane, replaces []chains.StoredTx) (chains.SignedTx, error) {
	now, err := c.fresh(time.Now())
	if err != nil {
		return chains.SignedTx{}, err
	}
	nonce, err := parseAuthorizationNonce(slot.Nonce)
	if err != nil {
		return chains.SignedTx{}, err
	}
	if c.set.Method != MethodEIP3009 || slot.Authority != c.set.treasury.Hex() {
		return chains.SignedTx{}, fmt.Errorf("authorizations of %s are not ours to cancel", slot.Authority)
	}
	from, replaced, err := c.laneOf(lane, replaces)
	if err != nil {
		return chains.SignedTx{}, err
	}
	sig, err := c.authorizeDigest(ctx, cancelDigest(c.domain, c.set.treasury, nonce))
	if err != nil {
		return chains.SignedTx{}, err
	}
	data := fiattoken.NewFiatToken().PackCancelAuthorization(c.set.treasury, nonce, sig[64], [32]byte(sig[:32]), [32]byte(sig[32:64]))
	for _, tx := range replaced {
		if !c.cancels(tx) || !bytes.Equal(tx.Data()[:cancelTerms], data[:cancelTerms]) {
			return chains.SignedTx{}, fmt.Errorf("transaction %s does not cancel this authorization: cancel under a fresh nonce", tx.Hash())
		}
	}
	return c.signTx(ctx, now.market, send{lane: from, nonce: lane.Nonce, to: c.set.token, data: data, gas: c.set.GasLimit}, replaced, c.set.maxCancelFee)
}

// cancelTerms is how much of the call of cancelAuthorization says what is
// canceled: selector, authorizer and nonce. The signature may differ.
const cancelTerms = 4 + 32 + 32

var (
	cancelType     = crypto.Keccak256([]byte("CancelAuthorization(address authorizer,bytes32 nonce)"))
	cancelSelector = fiattoken.NewFiatToken().PackCancelAuthorization(common.Address{}, common.Hash{}, 0, common.Hash{}, common.Hash{})[:4]
)

// cancelDigest is what the treasury signs (EIP-712).
func cancelDigest(domain common.Hash, treasury common.Address, nonce common.Hash) common.Hash {
	return typedDigest(domain, crypto.Keccak256(cancelType, common.LeftPadBytes(treasury[:], 32), nonce[:]))
}

// cancels reports whether a transaction is the cancellation of an
// authorization.
func (c *Chain) cancels(tx *types.Transaction) bool {
	return tx.To() != nil && *tx.To() == c.set.token && len(tx.Data()) >= cancelTerms && bytes.HasPrefix(tx.Data(), cancelSelector)
}

// fills reports whether a transaction moves nothing and calls nothing.
func fills(tx *types.Transaction) bool {
	return tx.To() != nil && tx.Value().Sign() == 0 && len(tx.Data()) == 0
}

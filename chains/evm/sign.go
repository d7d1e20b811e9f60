package evm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/payment"
)

// Sign makes the transaction that pays the order, priced by the last Refresh.
// An order with Reuse gets another transaction for the slot, which must carry
// the same terms; with Replaces it makes the same call as those, under their
// nonce. The validity of a new authorization counts from the order's Now or
// from the head's time, whichever is later.
func (c *Chain) Sign(ctx context.Context, o chains.Order) (chains.Signed, error) {
	now, err := c.fresh(o.Now)
	if err != nil {
		return chains.Signed{}, err
	}
	to, err := parseAddress(o.To)
	if err != nil {
		return chains.Signed{}, err
	}
	if detail := c.set.forbidden(to); detail != "" {
		return chains.Signed{}, fmt.Errorf("destination: %s", detail)
	}
	if o.Amount.IsZero() || o.IntentID == "" || o.Seq < 1 {
		return chains.Signed{}, errors.New("order needs an intent, a sequence from 1 and an amount above 0")
	}
	if len(o.Replaces) > 0 && o.Reuse == nil {
		return chains.Signed{}, errors.New("a transaction is replaced for the sake of its slot only: give the slot to reuse")
	}
	lane, replaced, err := c.laneOf(o.Lane, o.Replaces)
	if err != nil {
		return chains.Signed{}, err
	}

	bind := c.authorize
	switch {
	case o.Authorization != nil:
		bind = c.sponsored
	case c.set.Method == MethodTransfer:
		bind = c.transfer
	}
	slot, data, err := bind(ctx, o, to, now)
	if err != nil {
		return chains.Signed{}, err
	}
	pay := send{lane: lane, nonce: o.Lane.Nonce, to: c.set.token, data: data, gas: c.set.GasLimit}
	for _, tx := range replaced {
		if !pay.equals(tx) {
			return chains.Signed{}, fmt.Errorf("transaction %s is a cancellation or another payment: a payment outbids its like only", tx.Hash())
		}
	}
	tx, err := c.signTx(ctx, now.market, pay, replaced, perGas(c.set.maxFee, o.MaxFee, pay.gas))
	return chains.Signed{Slot: slot, Tx: tx}, err
}

// fresh is what Refresh read last, if that is recent enough to sign by.
func (c *Chain) fresh(at time.Time) (observation, error) {
	if err := c.anchor.Err(); err != nil {
		return observation{}, err
	}
	now, ok := c.observed()
	if !ok || at.Sub(now.ObservedAt) > c.set.maxAge {
		return observation{}, chains.ErrStale
	}
	return now, nil
}

// laneOf is the lane's address, and the transactions to be replaced, all of
// which must be the lane's and under its nonce.
func (c *Chain) laneOf(l chains.Lane, replaces []chains.StoredTx) (common.Address, []*types.Transaction, error) {
	lane, err := parseAddress(l.Address)
	if err != nil {
		return lane, nil, fmt.Errorf("lane: %w", err)
	}
	if !slices.Contains(c.set.lanes, lane) {
		return lane, nil, fmt.Errorf("%w: %s", errNotOurLane, lane)
	}
	replaced := make([]*types.Transaction, len(replaces))
	for i, stored := range replaces {
		tx, err := decodeTx(stored)
		if err != nil {
			return lane, nil, err
		}
		if from, err := c.sender(tx); err != nil || from != lane || tx.Nonce() != l.Nonce {
			return lane, nil, fmt.Errorf("transaction %s is not of lane %s with nonce %d", tx.Hash(), lane, l.Nonce)
		}
		replaced[i] = tx
	}
	return lane, replaced, nil
}

// decodeTx reads stored bytes, which must have the stored hash.
func decodeTx(stored chains.StoredTx) (*types.Transaction, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(stored.Raw); err != nil {
		return nil, fmt.Errorf("stored transaction %s: %w", stored.Hash, err)
	}
	if tx.Hash() != common.HexToHash(stored.Hash) {
		return nil, fmt.Errorf("stored transaction %s: its bytes have the hash %s", stored.Hash, tx.Hash())
	}
	return tx, nil
}

func (c *Chain) sender(tx *types.Transaction) (common.Address, error) {
	return types.Sender(types.LatestSignerForChainID(c.chainID), tx)
}

// transfer makes the lane's account nonce the slot. Only what replaces a
// transaction may share it.
func (c *Chain) transfer(_ context.Context, o chains.Order, to common.Address, now observation) (chains.Slot, []byte, error) {
	slot := nonceSlot(o.Lane, now.from)
	if o.Reuse != nil {
		if len(o.Replaces) == 0 {
			return chains.Slot{}, nil, errors.New("a plain transfer cannot be submitted over another lane")
		}
		if !isSlotOf(*o.Reuse, o.Lane) {
			return chains.Slot{}, nil, errors.New("the slot to reuse is not the lane's nonce")
		}
		slot = *o.Reuse
	}
	return slot, fiattoken.NewFiatToken().PackTransfer(to, big256(o.Amount.Bytes32())), nil
}

func nonceSlot(l chains.Lane, from uint64) chains.Slot {
	return chains.Slot{Kind: chains.SlotEVMNonce, Authority: common.HexToAddress(l.Address).Hex(), Nonce: strconv.FormatUint(l.Nonce, 10), FromHeight: from}
}

// isSlotOf reports whether the slot is this nonce of this lane.
func isSlotOf(s chains.Slot, l chains.Lane) bool {
	want := nonceSlot(l, 0)
	return s.Kind == want.Kind && s.Authority == want.Authority && s.Nonce == want.Nonce
}

// authorize has the treasury sign, or takes the signature of the reused slot.
func (c *Chain) authorize(ctx context.Context, o chains.Order, to common.Address, now observation) (chains.Slot, []byte, error) {
	nonce := AuthorizationNonce(c.set.ChainID, c.set.token, c.set.treasury, o.IntentID, o.Seq)
	value := big256(o.Amount.Bytes32())
	if o.Reuse != nil {
		a, err := parseAuthorization(o.Reuse.Authorization)
		if err != nil {
			return chains.Slot{}, nil, err
		}
		if o.Reuse.Kind != chains.SlotEIP3009 || o.Reuse.Authority != c.set.treasury.Hex() || a.Nonce != nonce || a.To != to || a.Value.ToInt().Cmp(value) != 0 {
			return chains.Slot{}, nil, errors.New("the slot to reuse is of another payment")
		}
		return *o.Reuse, a.calldata(c.set.treasury), nil
	}

	if o.ValidFor < time.Second {
		return chains.Slot{}, nil, fmt.Errorf("authorization valid for %s: use a second or more", o.ValidFor)
	}
	from := o.Now
	if now.HeadTime.After(from) {
		from = now.HeadTime
	}
	expires := from.Add(o.ValidFor).Truncate(time.Second).UTC()
	a := authorization{To: to, Value: (*hexutil.Big)(value), ValidBefore: uint64(expires.Unix()), Nonce: nonce}
	sig, err := c.authorizeDigest(ctx, a.digest(c.domain, c.set.treasury))
	if err != nil {
		return chains.Slot{}, nil, err
	}
	a.Signature = sig
	stored, err := json.Marshal(a)
	if err != nil {
		return chains.Slot{}, nil, err
	}
	return chains.Slot{
		Kind: chains.SlotEIP3009, Authority: c.set.treasury.Hex(), Nonce: nonce.Hex(),
		FromHeight: now.from, ExpiresAt: &expires, Authorization: stored,
	}, a.calldata(c.set.treasury), nil
}

// authorizeDigest has the treasury sign for the token, whose V is 27 or 28.
func (c *Chain) authorizeDigest(ctx context.Context, digest common.Hash) ([]byte, error) {
	sig, err := c.signDigest(ctx, c.set.treasury, digest)
	if err != nil {
		return nil, fmt.Errorf("treasury: %w", err)
	}
	sig[64] += 27
	return sig, nil
}

// send is a transaction without its price. It carries no native coin.
type send struct {
	lane  common.Address
	nonce uint64
	to    common.Address
	data  []byte
	gas   uint64
}

// equals reports whether a transaction does the same, at whatever price.
func (s send) equals(tx *types.Transaction) bool {
	return tx.To() != nil && *tx.To() == s.to && tx.Value().Sign() == 0 && bytes.Equal(tx.Data(), s.data)
}

// signTx prices the transaction, so that it outbids those it replaces, and
// signs it. It never pays more than most, in wei per gas.
func (c *Chain) signTx(ctx context.Context, m market, s send, replaced []*types.Transaction, most *big.Int) (chains.SignedTx, error) {
	f, err := m.quote(outbidding(replaced, c.set.minTip), most)
	if err != nil {
		return chains.SignedTx{}, err
	}
	unsigned := types.NewTx(&types.DynamicFeeTx{
		ChainID: c.chainID, Nonce: s.nonce, GasTipCap: f.tip, GasFeeCap: f.cap, Gas: s.gas, To: &s.to, Data: s.data,
	})
	rules := types.LatestSignerForChainID(c.chainID)
	sig, err := c.signDigest(ctx, s.lane, rules.Hash(unsigned))
	if err != nil {
		return chains.SignedTx{}, fmt.Errorf("lane: %w", err)
	}
	tx, err := unsigned.WithSignature(rules, sig)
	if err != nil {
		return chains.SignedTx{}, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return chains.SignedTx{}, err
	}
	return chains.SignedTx{
		Hash: tx.Hash().Hex(), Raw: raw, Sender: s.lane.Hex(), Nonce: &s.nonce, GasLimit: s.gas,
		FeeCap: amount(f.cap), TipCap: amount(f.tip), MaxFee: amount(cost(f.cap, s.gas)), FeeCapped: f.capped,
	}, nil
}

// perGas is the lower of two bounds: the chain's, in wei per gas, and that of
// one transaction as a whole, in wei; 0 is none.
func perGas(chain *big.Int, whole payment.Amount, gas uint64) *big.Int {
	if whole.IsZero() {
		return chain
	}
	return minBig(chain, new(big.Int).Quo(big256(whole.Bytes32()), new(big.Int).SetUint64(gas)))
}

// signDigest asks the signer and checks that the signature is of the address:
// a wrong key must fail here, before anything is stored.
func (c *Chain) signDigest(ctx context.Context, address common.Address, digest common.Hash) ([]byte, error) {
	sig, err := c.signer.Sign(ctx, address.Hex(), digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", address, err)
	}
	if len(sig) != crypto.SignatureLength || sig[64] > 1 {
		return nil, fmt.Errorf("sign for %s: the signer returned no [R || S || V] with V 0 or 1", address)
	}
	sig = lowS(slices.Clone(sig))
	key, err := crypto.SigToPub(digest[:], sig)
	if err != nil || crypto.PubkeyToAddress(*key) != address {
		return nil, fmt.Errorf("sign for %s: the signature is of another key", address)
	}
	return sig, nil
}

func big256(b [32]byte) *big.Int { return new(big.Int).SetBytes(b[:]) }

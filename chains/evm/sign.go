package evm

import (
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
)

// Sign makes the transaction that pays the order, priced by the last Refresh.
// An order with Reuse gets another transaction for the authorization of that
// slot, which must carry the same terms. The validity of a new authorization
// counts from the order's Now or from the head's time, whichever is later.
func (c *Chain) Sign(ctx context.Context, o chains.Order) (chains.Signed, error) {
	if err := c.anchor.Err(); err != nil {
		return chains.Signed{}, err
	}
	now, ok := c.observed()
	if !ok || o.Now.Sub(now.ObservedAt) > c.set.maxAge {
		return chains.Signed{}, chains.ErrStale
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
	lane, err := parseAddress(o.Lane.Address)
	if err != nil {
		return chains.Signed{}, fmt.Errorf("lane: %w", err)
	}
	if !slices.Contains(c.set.lanes, lane) {
		return chains.Signed{}, fmt.Errorf("%w: %s", errNotOurLane, lane)
	}

	var slot chains.Slot
	var data []byte
	if c.set.Method == MethodTransfer {
		if o.Reuse != nil {
			return chains.Signed{}, errors.New("a plain transfer cannot be submitted over another lane")
		}
		slot = chains.Slot{Kind: chains.SlotEVMNonce, Authority: lane.Hex(), Nonce: strconv.FormatUint(o.Lane.Nonce, 10), FromHeight: now.from}
		data = fiattoken.NewFiatToken().PackTransfer(to, big256(o.Amount.Bytes32()))
	} else {
		slot, data, err = c.authorize(ctx, o, to, now)
		if err != nil {
			return chains.Signed{}, err
		}
	}
	tx, err := c.signTx(ctx, lane, o.Lane.Nonce, data, now.fees)
	return chains.Signed{Slot: slot, Tx: tx}, err
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
	sig, err := c.signDigest(ctx, c.set.treasury, a.digest(c.domain, c.set.treasury))
	if err != nil {
		return chains.Slot{}, nil, fmt.Errorf("treasury: %w", err)
	}
	sig[64] += 27
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

func (c *Chain) signTx(ctx context.Context, lane common.Address, nonce uint64, data []byte, f fees) (chains.SignedTx, error) {
	unsigned := types.NewTx(&types.DynamicFeeTx{
		ChainID: c.chainID, Nonce: nonce, GasTipCap: f.tip, GasFeeCap: f.cap, Gas: c.set.GasLimit, To: &c.set.token, Data: data,
	})
	rules := types.LatestSignerForChainID(c.chainID)
	sig, err := c.signDigest(ctx, lane, rules.Hash(unsigned))
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
		Hash: tx.Hash().Hex(), Raw: raw, Sender: lane.Hex(), Nonce: &nonce, GasLimit: c.set.GasLimit,
		FeeCap: amount(f.cap), TipCap: amount(f.tip), MaxFee: amount(f.most(c.set.GasLimit)),
	}, nil
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

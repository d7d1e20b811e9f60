package evm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
	"github.com/settlehq/settle/payment"
)

var _ chains.Sponsor = (*Chain)(nil)

func refuse(code, field, format string, args ...any) error {
	return &payment.AuthorizationError{Code: code, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// Admit checks a payer's authorization; see chains.Sponsor. Where two nodes are
// configured, both must find it in order.
func (c *Chain) Admit(ctx context.Context, p payment.Authorization, to string, amount, most payment.Amount) (payment.Authorization, error) {
	if c.set.Sponsor == nil {
		return p, refuse(payment.SponsoringNotOffered, "chain", "%s submits no authorizations of payers", c.set.Name)
	}
	payee, err := parseAddress(to)
	if err != nil {
		return p, err
	}
	from, a, err := c.signedBy(p, payee, amount)
	if err != nil {
		return p, err
	}
	p.From, p.Nonce, p.Signature = from.Hex(), a.Nonce.Hex(), a.Signature.String()
	votes, err := witness.Quorum(ctx, c.pool, c.anchor, func(ctx context.Context, n *rpcpool.Node) (standing, error) {
		return c.standing(ctx, n, from, a)
	})
	if err != nil {
		return p, err
	}
	p.OpenAt = uint64(votes[0].Said.heads.final.Number)
	for _, v := range votes {
		if err := c.judge(v.Said, a, big256(most.Bytes32())); err != nil {
			return p, err
		}
		p.OpenAt = min(p.OpenAt, uint64(v.Said.heads.final.Number))
	}
	return p, nil
}

// signedBy reads a payer's authorization and checks everything about it that
// needs no asking: who pays whom, and that the payer's key signed just that.
func (c *Chain) signedBy(p payment.Authorization, to common.Address, amount payment.Amount) (from common.Address, a authorization, err error) {
	if from, err = parseAddress(p.From); err != nil {
		return from, a, err
	}
	if detail := c.set.forbidden(from); detail != "" {
		return from, a, &payment.AddressError{Code: payment.AddressForbidden, Detail: detail}
	}
	if from == to {
		return from, a, &payment.AddressError{Code: payment.AddressForbidden, Detail: "the payer is the payee: nothing would be paid"}
	}
	if p.ValidAfter < 0 || p.ValidBefore < 0 {
		return from, a, refuse(payment.AuthorizationWindow, "valid_before", "times are seconds since 1970, 0 or more")
	}
	a = authorization{To: to, Value: (*hexutil.Big)(big256(amount.Bytes32())), ValidAfter: uint64(p.ValidAfter), ValidBefore: uint64(p.ValidBefore)}
	if a.Nonce, err = parseAuthorizationNonce(p.Nonce); err != nil {
		return from, a, refuse(payment.AuthorizationMalformed, "nonce", "the nonce is 32 bytes: 0x and 64 hex digits")
	}
	if a.Signature, err = hexutil.Decode(p.Signature); err != nil || len(a.Signature) != crypto.SignatureLength {
		return from, a, refuse(payment.AuthorizationMalformed, "signature", "the signature is 65 bytes, r, s and v: 0x and 130 hex digits; those of contract wallets (ERC-1271) are not supported")
	}
	return from, a, c.checkSignature(a, from)
}

// checkSignature asks for the one form of a signature that the token takes: V 27
// or 28, and the smaller S.
func (c *Chain) checkSignature(a authorization, from common.Address) error {
	v := a.Signature[64]
	if v != 27 && v != 28 {
		return refuse(payment.AuthorizationSignature, "signature", "its last byte, v, is %d: use 27 or 28", v)
	}
	if new(big.Int).SetBytes(a.Signature[32:64]).Cmp(halfOrder) > 0 {
		return refuse(payment.AuthorizationSignature, "signature", "its s is in the upper half of the curve's order, which the token refuses (EIP-2): use the order less s, and the other v")
	}
	raw := append([]byte(nil), a.Signature...)
	raw[64] -= 27
	digest := a.digest(c.domain, from)
	key, err := crypto.SigToPub(digest[:], raw)
	if err != nil || crypto.PubkeyToAddress(*key) != from {
		return refuse(payment.AuthorizationSignature, "signature",
			"it is not %s's signature of these terms for token %s (EIP-712 domain %q, version %q, chain %d); contract wallets (ERC-1271) are not supported",
			from, c.set.token, c.set.TokenName, c.set.TokenVersion, c.set.ChainID)
	}
	return nil
}

// standing is how an authorization stands on chain, by one node's newest block.
type standing struct {
	heads   heads
	used    bool     // or canceled
	balance *big.Int // the payer's, token base units
	price   *big.Int // wei per gas that the next block asks for
	refusal string   // the chain's words when the submission is tried out; empty: it would succeed
}

// standing asks one node.
func (c *Chain) standing(ctx context.Context, n *rpcpool.Node, from common.Address, a authorization) (standing, error) {
	token := fiattoken.NewFiatToken()
	var b batch
	var state, balance, result hexutil.Bytes
	var tip *hexutil.Big
	b.add(&state, "eth_call", call(c.set.token, token.PackAuthorizationState(from, a.Nonce)), "latest")
	b.add(&balance, "eth_call", call(c.set.token, token.PackBalanceOf(from)), "latest")
	suggestion := b.add(&tip, "eth_maxPriorityFeePerGas")
	attempt := rpcpool.NewCall("eth_call", trial(c.set.lanes[0], c.set.token, a.calldata(from), c.set.GasLimit), "latest")
	tried := b.append(attempt, &result)
	h, err := c.readHeads(ctx, n, b, suggestion, tried)
	if err != nil {
		return standing{}, err
	}
	s := standing{heads: h}
	if s.used, err = token.UnpackAuthorizationState(state); err != nil {
		return s, fmt.Errorf("authorization state: %w", err)
	}
	if s.balance, err = token.UnpackBalanceOf(balance); err != nil {
		return s, fmt.Errorf("payer's balance: %w", err)
	}
	if attempt.Err != nil {
		if s.refusal, err = refusal(attempt.Err); err != nil {
			return s, err
		}
	}
	if h.latest.BaseFee == nil {
		return s, errors.New("the newest block has no base fee (EIP-1559)")
	}
	s.price = new(big.Int).Set(c.set.minTip)
	if tip != nil { // the method is no part of the standard
		s.price = maxBig(s.price, tip.ToInt())
	}
	s.price.Add(s.price, h.latest.BaseFee.ToInt())
	return s, nil
}

// judge decides by what one node says. most is what the submission may cost, in
// wei.
func (c *Chain) judge(s standing, a authorization, most *big.Int) error {
	head := uint64(s.heads.latest.Timestamp)
	left := int64(a.ValidBefore) - max(int64(head), time.Now().Unix())
	least, longest := c.set.Sponsor.MinLeftSeconds, c.set.Sponsor.MaxLeftSeconds
	switch {
	case a.ValidAfter >= head:
		return refuse(payment.AuthorizationWindow, "valid_after", "it is not valid yet, the newest block is of %d: come back then, or sign with 0", head)
	case left < least:
		return refuse(payment.AuthorizationWindow, "valid_before", "%d seconds are left, at least %d are needed to land", left, least)
	case left > longest:
		return refuse(payment.AuthorizationWindow, "valid_before", "%d seconds are left, at most %d are accepted", left, longest)
	case s.used:
		return refuse(payment.AuthorizationSpent, "nonce", "the payer has used or canceled this nonce")
	case s.balance.Cmp(a.Value.ToInt()) < 0:
		return refuse(payment.PayerBalance, "amount", "the payer has %s", amount(s.balance).Decimal(payment.USDC.Decimals))
	case s.refusal != "":
		return refuse(payment.AuthorizationRefused, "signature", "the token answers: %s", s.refusal)
	case cost(s.price, c.set.GasLimit).Cmp(most) > 0:
		return refuse(payment.SponsorFeeTooHigh, "chain", "the network asks up to %s wei now, at most %s may be spent", cost(s.price, c.set.GasLimit), most)
	}
	return nil
}

// trial is the eth_call that a transaction is going to be: of the same sender,
// and with its very gas limit.
func trial(from, to common.Address, data []byte, gas uint64) map[string]any {
	c := call(to, data)
	c["from"], c["gas"] = from, hexutil.Uint64(gas)
	return c
}

// refusal is what the chain says to a call that fails by itself: it reverts, or
// its gas does not suffice. Any other error is the node's, and says nothing.
func refusal(err error) (string, error) {
	var answer *rpcpool.Error
	if !errors.As(err, &answer) {
		return "", err
	}
	text := strings.ToLower(answer.Message)
	if answer.Code == 3 || strings.Contains(text, "execution reverted") || strings.Contains(text, "out of gas") {
		return answer.Message, nil
	}
	return "", err
}

// Rehearse tries out a stored transaction; see chains.Sponsor.
func (c *Chain) Rehearse(ctx context.Context, stored chains.StoredTx) (string, error) {
	tx, err := decodeTx(stored)
	if err != nil {
		return "", err
	}
	from, err := c.sender(tx)
	if err != nil {
		return "", fmt.Errorf("stored transaction %s: %w", stored.Hash, err)
	}
	if tx.To() == nil {
		return "", fmt.Errorf("stored transaction %s calls nothing", stored.Hash)
	}
	votes, err := witness.Quorum(ctx, c.pool, c.anchor, func(ctx context.Context, n *rpcpool.Node) (string, error) {
		var result hexutil.Bytes
		err := ask(ctx, n, &result, "eth_call", trial(from, *tx.To(), tx.Data(), tx.Gas()), "latest")
		return refusal(err)
	})
	if err != nil {
		return "", err
	}
	for _, v := range votes {
		if v.Said == "" {
			return "", nil
		}
	}
	return votes[0].Said, nil
}

// sponsored binds the order to the payer's authorization, which is the slot.
func (c *Chain) sponsored(_ context.Context, o chains.Order, to common.Address, _ observation) (chains.Slot, []byte, error) {
	if c.set.Method != MethodEIP3009 {
		return chains.Slot{}, nil, fmt.Errorf("authorizations cannot be submitted with method %q", c.set.Method)
	}
	from, a, err := c.signedBy(*o.Authorization, to, o.Amount)
	if err != nil {
		return chains.Slot{}, nil, err
	}
	if r := o.Reuse; r != nil {
		if r.Kind != chains.SlotEIP3009 || r.Authority != from.Hex() || r.Nonce != a.Nonce.Hex() {
			return chains.Slot{}, nil, errors.New("the slot to reuse is of another payment")
		}
		return *r, a.calldata(from), nil
	}
	stored, err := json.Marshal(a)
	if err != nil {
		return chains.Slot{}, nil, err
	}
	expires := time.Unix(o.Authorization.ValidBefore, 0).UTC()
	return chains.Slot{
		Kind: chains.SlotEIP3009, Authority: from.Hex(), Nonce: a.Nonce.Hex(),
		FromHeight: o.Authorization.OpenAt, ExpiresAt: &expires, Authorization: stored,
	}, a.calldata(from), nil
}

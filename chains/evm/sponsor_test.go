package evm_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// sponsored is a chain that sponsors, a payer with tokens and no ether, and a
// stranger with ether.
type sponsored struct {
	*bundle
	payer, payee, stranger string
}

const (
	paysUnits = 2_500_000
	hasUnits  = 3_000_000
)

// ether is more than any submission may cost here.
var ether = payment.Units(1e18)

func sponsoring(t *testing.T) *sponsored {
	t.Helper()
	s := &sponsored{bundle: setup(t, func(c *evm.Config) { c.Sponsor = &evm.Sponsoring{MinLeftSeconds: 60} })}
	s.payer, s.payee, s.stranger = s.wallets.New(t), s.wallets.New(t), s.wallets.New(t)
	s.node.FundMany(t, sandbox.EthereumFunding{Address: s.payer, USDC: hasUnits}, sandbox.EthereumFunding{Address: s.stranger, Wei: big.NewInt(1e18)})
	return s
}

// authorized is what the payer signs, after change.
func (s *sponsored) authorized(change func(*sandbox.Authorization)) sandbox.Authorization {
	s.Helper()
	a := sandbox.Authorization{From: s.payer, To: s.payee, Value: paysUnits}
	if change != nil {
		change(&a)
	}
	return s.node.Authorize(s.T, s.wallets.EthereumKeys, a)
}

func (s *sponsored) admit(a sandbox.Authorization, most payment.Amount) (payment.Authorization, error) {
	s.Helper()
	return s.chain.Admit(s.Context(), payment.Authorization{AuthorizationTerms: payment.AuthorizationTerms{
		From: a.From, ValidAfter: a.ValidAfter, ValidBefore: a.ValidBefore, Nonce: a.Nonce}, Signature: a.Signature}, a.To, payment.Units(a.Value), most)
}

// ordered admits an authorization and signs the transaction that submits it.
func (s *sponsored) ordered(a sandbox.Authorization) (chains.Order, chains.Signed) {
	s.Helper()
	admitted, err := s.admit(a, ether)
	if err != nil {
		s.Fatal(err)
	}
	if err := s.chain.Refresh(s.Context()); err != nil {
		s.Fatal(err)
	}
	o := s.order(s.wallets.Lanes[0], 0)
	o.To, o.Amount, o.Authorization, o.ValidFor = a.To, payment.Units(a.Value), &admitted, 0
	return o, s.sign(s.chain, o)
}

// dead waits for nothing: it asks for the proof that must be there by now.
func (s *sponsored) dead(w chains.Watched, cause chains.Cause) {
	s.Helper()
	if got := s.want(w, chains.Dead); got.Cause != cause || len(got.Proof) == 0 {
		s.Errorf("dead by %q, want %q: %s", got.Cause, cause, got.Proof)
	}
}

// TestSponsoredPaymentIsMade: the payer's tokens move, ours do not, and the
// payer needs no ether.
func TestSponsoredPaymentIsMade(t *testing.T) {
	t.Parallel()
	s := sponsoring(t)
	a := s.authorized(nil)
	a.From = strings.ToLower(a.From) // another spelling of the same
	o, signed := s.ordered(a)
	if o.Authorization.From != s.payer || signed.Slot.Authority != s.payer || signed.Slot.Nonce != a.Nonce {
		t.Errorf("the slot is %+v of %+v", signed.Slot, o.Authorization)
	}
	if refusal, err := s.chain.Rehearse(t.Context(), bytesOf(signed)); err != nil || refusal != "" {
		t.Errorf("rehearsal: %q, %v", refusal, err)
	}
	s.send(s.chain, signed)
	s.node.Mine(t, 3)
	if paid := s.want(watch(o, signed), chains.Paid); paid.Sender != s.wallets.Lanes[0] || paid.Fee.IsZero() {
		t.Errorf("paid by %s for %s", paid.Sender, paid.Fee)
	}
	for address, want := range map[string]uint64{s.payee: paysUnits, s.payer: hasUnits - paysUnits, s.wallets.Treasury: 1_000_000_000_000} {
		if got := s.node.USDC(t, address); got.Cmp(payment.Units(want)) != 0 {
			t.Errorf("%s has %s, want %d", address, got, want)
		}
	}
	if _, err := s.admit(a, ether); codeOf(err) != payment.AuthorizationSpent {
		t.Errorf("admitted again: %v", err)
	}
}

// TestSponsoredPaymentThatAStrangerMakes counts, and ours is then refused.
func TestSponsoredPaymentThatAStrangerMakes(t *testing.T) {
	t.Parallel()
	s := sponsoring(t)
	a := s.authorized(nil)
	o, signed := s.ordered(a)
	hash := s.node.Use(t, s.wallets.EthereumKeys, s.stranger, a)
	s.node.Mine(t, 1)
	if refusal, err := s.chain.Rehearse(t.Context(), bytesOf(signed)); err != nil || !strings.Contains(refusal, "used or canceled") {
		t.Errorf("rehearsal: %q, %v", refusal, err)
	}
	s.want(watch(o, signed), chains.Included)
	s.send(s.chain, signed) // in vain
	s.node.Mine(t, 2)
	if paid := s.want(watch(o, signed), chains.Paid); paid.TxHash != hash || paid.Sender != s.stranger {
		t.Errorf("paid by %+v, want %s", paid, hash)
	}
}

// TestSponsoredPaymentEnds with a finalized proof only.
func TestSponsoredPaymentEnds(t *testing.T) {
	t.Parallel()
	t.Run("canceled", func(t *testing.T) {
		t.Parallel()
		s := sponsoring(t)
		a := s.authorized(nil)
		o, signed := s.ordered(a)
		s.node.Cancel(t, s.wallets.EthereumKeys, s.stranger, a)
		s.node.Mine(t, 1)
		s.want(watch(o, signed), chains.Unseen)
		s.node.Mine(t, 2)
		s.dead(watch(o, signed), chains.CauseCanceled)
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		s := sponsoring(t)
		ends := s.node.Now(t).Add(2 * time.Minute)
		a := s.authorized(func(a *sandbox.Authorization) { a.ValidBefore = ends.Unix() })
		o, signed := s.ordered(a)
		s.want(watch(o, signed), chains.Unseen)
		s.node.AdvanceTo(t, ends)
		s.dead(watch(o, signed), chains.CauseExpired)
	})
	t.Run("nonce used for another transfer", func(t *testing.T) {
		t.Parallel()
		s := sponsoring(t)
		a := s.authorized(nil)
		o, signed := s.ordered(a)
		other := s.authorized(func(b *sandbox.Authorization) { b.Nonce, b.Value = a.Nonce, 1 })
		s.node.Use(t, s.wallets.EthereumKeys, s.stranger, other)
		s.node.Mine(t, 1)
		s.want(watch(o, signed), chains.Unseen)
		s.node.Mine(t, 2)
		s.dead(watch(o, signed), chains.CauseUsed)
	})
	t.Run("not for want of money", func(t *testing.T) {
		t.Parallel()
		s := sponsoring(t)
		a := s.authorized(nil)
		o, signed := s.ordered(a)
		s.node.Fund(t, s.payer, big.NewInt(1e18), 0)
		s.node.Transfer(t, s.wallets.EthereumKeys, s.payer, s.stranger, hasUnits)
		s.node.Mine(t, 1)
		if refusal, err := s.chain.Rehearse(t.Context(), bytesOf(signed)); err != nil || !strings.Contains(refusal, "exceeds balance") {
			t.Errorf("rehearsal: %q, %v", refusal, err)
		}
		s.send(s.chain, signed)
		s.node.Mine(t, 3)
		if got := s.want(watch(o, signed), chains.Reverted); got.SlotDead {
			t.Errorf("dead, though the payer may get money: %+v", got)
		}
		s.node.Fund(t, s.payer, nil, paysUnits)
		s.node.Use(t, s.wallets.EthereumKeys, s.stranger, a)
		s.node.Mine(t, 3)
		s.want(watch(o, signed), chains.Paid)
	})
}

// codeOf is the stable code of a definite no; empty for any other error.
func codeOf(err error) string {
	var a *payment.AuthorizationError
	var d *payment.AddressError
	switch {
	case errors.As(err, &a):
		return a.Code
	case errors.As(err, &d):
		return d.Code
	}
	return ""
}

// TestSponsoringIsStrict: nothing is submitted that is not exactly what the payer
// signed, or that the token would refuse.
func TestSponsoringIsStrict(t *testing.T) {
	t.Parallel()
	s := sponsoring(t)
	now := s.node.Now(t)
	flip := func(change func(sig []byte)) func(*sandbox.Authorization) {
		return func(a *sandbox.Authorization) {
			sig := common.FromHex(a.Signature)
			change(sig)
			a.Signature = hexutil.Encode(sig)
		}
	}
	highS := func(sig []byte) {
		n := new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(sig[32:64]))
		n.FillBytes(sig[32:64])
		sig[64] ^= 27 ^ 28
	}
	signs := func(change func(*sandbox.Authorization)) func() sandbox.Authorization {
		return func() sandbox.Authorization { return s.authorized(change) }
	}
	sent := func(change func(*sandbox.Authorization)) func() sandbox.Authorization {
		return func() sandbox.Authorization {
			a := s.authorized(nil)
			change(&a)
			return a
		}
	}
	for name, c := range map[string]struct {
		a    func() sandbox.Authorization
		code string
	}{
		"another amount":                {sent(func(a *sandbox.Authorization) { a.Value++ }), payment.AuthorizationSignature},
		"another payee":                 {sent(func(a *sandbox.Authorization) { a.To = s.stranger }), payment.AuthorizationSignature},
		"another payer":                 {sent(func(a *sandbox.Authorization) { a.From = s.stranger }), payment.AuthorizationSignature},
		"another time":                  {sent(func(a *sandbox.Authorization) { a.ValidBefore++ }), payment.AuthorizationSignature},
		"another nonce":                 {sent(func(a *sandbox.Authorization) { a.Nonce = a.Nonce[:65] + flipped(a.Nonce[65:]) }), payment.AuthorizationSignature},
		"v of 0 or 1":                   {sent(flip(func(sig []byte) { sig[64] -= 27 })), payment.AuthorizationSignature},
		"the other v":                   {sent(flip(func(sig []byte) { sig[64] ^= 27 ^ 28 })), payment.AuthorizationSignature},
		"high s":                        {sent(flip(highS)), payment.AuthorizationSignature},
		"r of zeros":                    {sent(flip(func(sig []byte) { clear(sig[:32]) })), payment.AuthorizationSignature},
		"a contract wallet's signature": {sent(func(a *sandbox.Authorization) { a.Signature += "00" }), payment.AuthorizationMalformed},
		"no hex":                        {sent(func(a *sandbox.Authorization) { a.Signature = "signed" }), payment.AuthorizationMalformed},
		"a short nonce":                 {sent(func(a *sandbox.Authorization) { a.Nonce = "0x01" }), payment.AuthorizationMalformed},
		"not valid yet": {signs(func(a *sandbox.Authorization) {
			a.ValidAfter = now.Add(time.Hour).Unix()
			a.ValidBefore = now.Add(2 * time.Hour).Unix()
		}), payment.AuthorizationWindow},
		"expired":                 {signs(func(a *sandbox.Authorization) { a.ValidBefore = now.Unix() }), payment.AuthorizationWindow},
		"little time left":        {signs(func(a *sandbox.Authorization) { a.ValidBefore = now.Add(30 * time.Second).Unix() }), payment.AuthorizationWindow},
		"for ever":                {signs(func(a *sandbox.Authorization) { a.ValidBefore = now.Add(8 * 24 * time.Hour).Unix() }), payment.AuthorizationWindow},
		"more than the payer has": {signs(func(a *sandbox.Authorization) { a.Value = hasUnits + 1 }), payment.PayerBalance},
		"from the treasury":       {signs(func(a *sandbox.Authorization) { a.From = s.wallets.Treasury }), payment.AddressForbidden},
		"from a lane":             {signs(func(a *sandbox.Authorization) { a.From = s.wallets.Lanes[1] }), payment.AddressForbidden},
		"to the payer":            {signs(func(a *sandbox.Authorization) { a.To = s.payer }), payment.AddressForbidden},
	} {
		if _, err := s.admit(c.a(), ether); codeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if _, err := s.admit(s.authorized(nil), payment.Units(1_000)); codeOf(err) != payment.SponsorFeeTooHigh {
		t.Errorf("beyond the fee: %v", err)
	}
	s.node.Blacklist(t, s.payee, true)
	if _, err := s.admit(s.authorized(nil), ether); codeOf(err) != payment.AuthorizationRefused || !strings.Contains(err.Error(), "blacklisted") {
		t.Errorf("to a blacklisted payee: %v", err)
	}
	closed := s.cfg
	closed.Sponsor = nil
	s.chain = s.open(closed)
	if _, err := s.admit(s.authorized(nil), ether); codeOf(err) != payment.SponsoringNotOffered {
		t.Errorf("on a chain that sponsors nobody: %v", err)
	}
}

// flipped is another hex digit.
func flipped(digit string) string {
	if digit == "0" {
		return "1"
	}
	return "0"
}

// TestSponsoringNeedsNodes: a node that is down makes nothing of an
// authorization, neither admitted nor refused.
func TestSponsoringNeedsNodes(t *testing.T) {
	t.Parallel()
	s := sponsoring(t)
	cfg := s.cfg
	cfg.RPCURLs = []string{s.node.HTTPURL, "http://127.0.0.1:1"}
	s.chain = s.open(cfg)
	if _, err := s.admit(s.authorized(nil), ether); err == nil || codeOf(err) != "" || !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("with one node of two: %v, want unknown", err)
	}
}

package e2e_test

import (
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// payers is a Settle that sponsors, people with USDC and no ether, and a
// stranger with ether.
type payers struct {
	*deployment.Deployment
	t        *testing.T
	node     *sandbox.EthereumNode
	keys     *sandbox.EthereumKeys
	stranger string
}

const payersUnits = 5_000_000 // what each payer has, USDC base units

func withPayers(t *testing.T) *payers {
	t.Helper()
	d := setup(t, deployment.Options{})
	p := &payers{t: t, Deployment: d, node: d.Sandbox.Ethereum(t), keys: &sandbox.EthereumKeys{}}
	p.stranger = p.keys.New(t)
	p.node.Fund(t, p.stranger, big.NewInt(1e18), 0)
	d.Sponsor(t, "1.00", "50.00")
	return p
}

// signed is the authorization of a new payer, after change.
func (p *payers) signed(change func(*sandbox.Authorization)) sandbox.Authorization {
	p.t.Helper()
	a := sandbox.Authorization{From: p.keys.New(p.t), To: payeeOn(p.t, "ethereum"), Value: 2_750_000}
	p.node.Fund(p.t, a.From, nil, payersUnits)
	if change != nil {
		change(&a)
	}
	return p.node.Authorize(p.t, p.keys, a)
}

// accepted brings an authorization and returns the id of its payment.
func (p *payers) accepted(a sandbox.Authorization) string {
	p.t.Helper()
	return p.Bring(p.t, a.Nonce, a).Intent(p.t).ID
}

// refused fails the test unless an authorization is refused with a code.
func (p *payers) refused(key string, a sandbox.Authorization, status int, code api.Code) {
	p.t.Helper()
	if got := p.Bring(p.t, key, a); got.Status != status || got.Code() != string(code) {
		p.t.Errorf("the API answered %d, want %d %s: %s", got.Status, status, code, got.Body)
	}
}

// TestPayersWithoutEtherPay: payers sign, the merchant brings what they signed,
// and the payees have the money, though the worker is killed on the way.
func TestPayersWithoutEtherPay(t *testing.T) {
	t.Parallel()
	p := withPayers(t)
	var ids []string
	var all []sandbox.Authorization
	for range 6 {
		all = append(all, p.signed(nil))
		ids = append(ids, p.accepted(all[len(all)-1]))
	}
	for _, step := range []payment.Status{payment.Submitted, payment.Confirming} {
		p.AwaitAny(t, within, ids, step)
		p.Workers[0].Kill()
		p.Workers[0].Start()
	}
	proven(t, p.Deployment, ids)
	for i, a := range all {
		if got := p.node.USDC(t, a.From); got.Cmp(payment.Units(payersUnits-a.Value)) != 0 {
			t.Errorf("payer %d has %s left", i, got)
		}
		r := p.Get(t, ids[i])
		if r.Authorization == nil || r.Authorization.From != a.From || r.Authorization.Nonce != a.Nonce {
			t.Errorf("the payment does not show its authorization: %+v", r.Authorization)
		}
	}

	p.refused("again", all[0], http.StatusConflict, api.AuthorizationTaken)
	p.refused("reused", p.signed(func(a *sandbox.Authorization) { a.From, a.Nonce = all[1].From, all[1].Nonce }), http.StatusConflict, api.AuthorizationTaken)
}

// TestForeignSignaturesAreRefused: what the payer did not sign, or cannot pay, is
// not submitted, and nothing is stored.
func TestForeignSignaturesAreRefused(t *testing.T) {
	t.Parallel()
	p := withPayers(t)
	more := p.signed(nil)
	more.Value++
	p.refused("k", more, http.StatusUnprocessableEntity, api.AuthorizationSignature)
	p.refused("k", p.signed(func(a *sandbox.Authorization) { a.Value = payersUnits + 1 }), http.StatusUnprocessableEntity, api.PayerBalance)
	p.refused("k", p.signed(func(a *sandbox.Authorization) { a.ValidBefore = p.node.Now(t).Add(5 * time.Second).Unix() }), http.StatusUnprocessableEntity, api.AuthorizationWindow)
	p.refused("k", p.signed(func(a *sandbox.Authorization) { a.To = p.EthereumTreasury }), http.StatusUnprocessableEntity, api.AddressForbidden)
	p.Sponsor(t, "0.000001", "50.00")
	p.refused("k", p.signed(nil), http.StatusServiceUnavailable, api.SponsorFeeTooHigh)
	p.Sponsor(t, "1.00", "1.00")
	blocked := p.signed(nil)
	p.Run(t, "addresses", "block", blocked.From, "--chain", "ethereum", "--reason", "sanctioned")
	id := p.accepted(blocked)
	if r := p.Await(t, within, []string{id})[0]; r.Status != payment.Rejected || r.Failure.Code != "address_blocked" {
		t.Errorf("a blocked payer's payment is %s: %+v", r.Status, r.Failure)
	}
	p.refused("k2", p.signed(nil), http.StatusUnprocessableEntity, api.SponsorshipSpent)
	p.Run(t, "merchants", "unsponsor", p.MerchantID)
	p.refused("k2", p.signed(nil), http.StatusForbidden, api.SponsorshipOff)
	p.BooksClose(t)
}

// TestSponsoredPaymentsEndAsTheChainSays: what payers and strangers do with an
// authorization while no worker runs decides, and `failed` has its proof.
func TestSponsoredPaymentsEndAsTheChainSays(t *testing.T) {
	t.Parallel()
	p := withPayers(t)
	soon, later := p.node.Now(t).Add(time.Minute), p.node.Now(t).Add(6*time.Minute)
	type ending struct {
		a      sandbox.Authorization
		status payment.Status
		code   string
	}
	p.Workers[0].Kill()
	all := map[string]ending{
		"front-run":     {p.signed(nil), payment.Settled, ""},
		"canceled":      {p.signed(nil), payment.Failed, "authorization_canceled"},
		"used for less": {p.signed(nil), payment.Failed, "authorization_used"},
		"expired":       {p.signed(func(a *sandbox.Authorization) { a.ValidBefore = soon.Unix() }), payment.Failed, "authorization_expired"},
		"poor":          {p.signed(func(a *sandbox.Authorization) { a.ValidBefore = later.Unix() }), payment.Failed, "authorization_expired"},
		"rescued":       {p.signed(nil), payment.Settled, ""},
	}
	ids := map[string]string{}
	for name, e := range all {
		ids[name] = p.accepted(e.a)
	}
	theirs := p.node.Use(t, p.keys, p.stranger, all["front-run"].a)
	p.node.Cancel(t, p.keys, p.stranger, all["canceled"].a)
	less := all["used for less"].a
	less.Value--
	p.node.Use(t, p.keys, p.stranger, p.node.Authorize(t, p.keys, less))
	for _, name := range []string{"poor", "rescued"} { // they spend their money before we submit
		p.node.Fund(t, all[name].a.From, big.NewInt(1e18), 0)
		p.node.Transfer(t, p.keys, all[name].a.From, p.stranger, payersUnits)
	}
	p.node.AdvanceTo(t, soon)
	p.Workers[0].Start()

	eventually(t, func() bool { return p.Get(t, ids["rescued"]).Substatus == payment.Fencing }, "nobody noticed that the payer has no money")
	p.node.Fund(t, all["rescued"].a.From, nil, payersUnits)
	p.node.Use(t, p.keys, p.stranger, all["rescued"].a)
	p.node.AdvanceTo(t, later)
	otherwise := map[string]payment.Status{}
	var order []string
	for name, e := range all {
		otherwise[ids[name]] = e.status
		order = append(order, ids[name])
	}
	provenBut(t, p.Deployment, order, otherwise)
	for name, e := range all {
		r := p.Get(t, ids[name])
		if r.Status == payment.Failed && (r.Failure == nil || r.Failure.Code != e.code) {
			t.Errorf("%s: %+v, want %s", name, r.Failure, e.code)
		}
		if err := p.proofOf(ids[name]); r.Status == payment.Failed && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := p.Get(t, ids["front-run"]); r.TxHash != theirs {
		t.Errorf("front-run: paid by %s, want %s", r.TxHash, theirs)
	}
}

// proofOf fails unless the payment's only slot is dead with a stored proof.
func (p *payers) proofOf(id string) error {
	attempts, err := p.Store.IntentAttempts(p.t.Context(), id)
	if err != nil {
		return err
	}
	if len(attempts) != 1 || len(attempts[0].Slots) != 1 {
		return fmt.Errorf("%d attempts", len(attempts))
	}
	if o := attempts[0].Slots[0].Outcome; o == nil || o.Result != "dead" || len(o.Proof) < 10 {
		return fmt.Errorf("outcome %+v", o)
	}
	return nil
}

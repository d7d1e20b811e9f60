package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/treasury"
)

// TestCertificate is `make certify` for the time between two cups of coffee:
// some named points, kills of Settle's processes, every network fault and every
// upset, on chains of its own. Then it pays two intents again behind the
// product's back, and expects the certificate to say so.
func TestCertificate(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a minute")
	}
	s := *sandbox.Start(t, sandbox.WithMigrations(deployment.Migrations))
	s.Descriptor.Ethereum = sandbox.StartEthereum(t, 250*time.Millisecond).Ethereum
	s.Descriptor.Solana = sandbox.StartSolana(t, 100*time.Millisecond)
	p := shortPlan()
	p.Parts, p.Seed = false, uint64(time.Now().UnixNano())
	c := newCampaign(t, &s, p)
	if cert := c.run(); !cert.clean() {
		t.Fatalf("the certificate is not clean:\n%s", cert.markdown())
	}

	for _, chain := range chainNames {
		payAgain(t, c.load.d, c.load.paidOn(t, chain))
	}
	c.load.d.AwaitFinality(t)
	cert := c.count()
	if cert.PaidTwice != 2 || cert.Stories != 2 || cert.Drift == 0 || cert.clean() {
		t.Errorf("two payments were made twice, and the certificate says:\n%s", cert.markdown())
	}
	if text := cert.markdown(); !strings.Contains(text, "NOT CLEAN") {
		t.Errorf("a bad certificate must say so:\n%s", text)
	}
}

// paidOn is some payment that settled on a chain.
func (s *site) paidOn(t *testing.T, chain payment.Chain) payment.Resource {
	t.Helper()
	for _, id := range s.ids() {
		if r := s.d.Get(t, id); r.Status == payment.Settled && r.Chain == chain {
			return r
		}
	}
	t.Fatalf("nothing settled on %s", chain)
	return payment.Resource{}
}

// payAgain does what a product does that signs again instead of sending again:
// a further attempt at the same intent, with the treasury's own keys.
func payAgain(t *testing.T, d *deployment.Deployment, r payment.Resource) {
	t.Helper()
	ctx := t.Context()
	chain := open(t, d, r.Chain)
	lane := chains.Lane{Address: chain.Info().Lanes[0]}
	nonce, err := chain.LaneStart(ctx, lane.Address)
	if err != nil {
		t.Fatal(err)
	}
	lane.Nonce = nonce
	if err := chain.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	amount, err := payment.ParseDecimal(r.Amount, payment.USDC.Decimals)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := chain.Sign(ctx, chains.Order{IntentID: r.ID, Seq: 2, To: r.Address, Amount: amount, Lane: lane, ValidFor: time.Hour, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	tx := chains.StoredTx{Hash: signed.Tx.Hash, Raw: signed.Tx.Raw}
	watched := chains.Watched{IntentID: r.ID, Slot: signed.Slot, To: r.Address, Amount: amount, Txs: []chains.StoredTx{tx}}
	if v := chain.Send(ctx, tx); v.Acceptance != chains.Accepted {
		t.Fatalf("the second payment was not accepted: %+v", v)
	}
	await(t, time.Minute, "the second payment", func() bool {
		seen, err := chain.Scan(ctx, []chains.Watched{watched})
		return err == nil && seen[0].Kind == chains.Paid
	})
}

// open connects to a chain with the deployment's settings and keys.
func open(t *testing.T, d *deployment.Deployment, name payment.Chain) chains.Chain {
	t.Helper()
	keys, err := treasury.LoadKeyring(filepath.Join(d.Dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(d.Dir, "chains.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Chains []json.RawMessage }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var e evm.Config
	var s solana.Config
	if err := json.Unmarshal(file.Chains[0], &e); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file.Chains[1], &s); err != nil {
		t.Fatal(err)
	}
	var chain chains.Chain
	if name == "solana" {
		chain, err = solana.Open(t.Context(), s, keys)
	} else {
		chain, err = evm.Open(t.Context(), e, keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

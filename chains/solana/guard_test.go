package solana_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

func setupGuarded(t *testing.T) *bundle {
	return setup(t, func(c *solana.Config, _ sandbox.Solana) { c.Exclusive = solana.ExclusiveGuard })
}

// variant signs another transaction for a payment's slot, with the newest
// blockhash.
func (b *bundle) variant(w chains.Watched, change func(*chains.Order)) (chains.Signed, error) {
	b.Helper()
	if err := b.chain.Refresh(b.Context()); err != nil {
		b.Fatalf("refresh: %v", err)
	}
	o := chains.Order{IntentID: w.IntentID, Seq: 1, To: w.To, Amount: w.Amount, Lane: chains.Lane{Address: b.wallets.Lanes[0]}, Reuse: &w.Slot, Now: time.Now()}
	if change != nil {
		change(&o)
	}
	return b.chain.Sign(b.Context(), o)
}

func (b *bundle) mustVary(w chains.Watched) chains.Signed {
	b.Helper()
	s, err := b.variant(w, nil)
	if err != nil {
		b.Fatalf("sign a variant: %v", err)
	}
	if s.Slot.Nonce != w.Slot.Nonce || s.Tx.Hash == w.Txs[0].Hash {
		b.Fatalf("no other transaction of the same slot: %+v", s.Slot)
	}
	return s
}

func (b *bundle) wantUSDC(payee string, units uint64) {
	b.Helper()
	if got := b.net.USDC(b, payee); got != units {
		b.Errorf("payee has %d, want %d", got, units)
	}
}

func TestOneVariantPays(t *testing.T) {
	b := setupGuarded(t)
	w, first := b.sign(3_000_000)
	b.finalize()
	second := b.mustVary(w)
	w.Txs = append(w.Txs, stored(second))
	b.send(second)
	b.finalize()
	b.send(first)
	b.finalize()
	paid := b.wantKind(w, chains.Paid)
	if paid.TxHash != second.Tx.Hash {
		t.Errorf("paid by %s, want %s", paid.TxHash, second.Tx.Hash)
	}
	const accounts = 2_039_280 + 890_880 // lamports of rent for the payee's account and the guard
	if paid.Fee.Cmp(payment.Units(accounts)) <= 0 || paid.Fee.Cmp(second.Tx.MaxFee) != 0 {
		t.Errorf("charged %s, announced were %s", paid.Fee, second.Tx.MaxFee)
	}
	b.net.AdvanceSlots(t, guardExpired)
	b.wantKind(w, chains.Paid)
	b.wantUSDC(w.To, 3_000_000)
}

func TestGuardedPaymentDiesWithItsLastVariant(t *testing.T) {
	b := setupGuarded(t)
	w, _ := b.sign(3_000_000)
	b.net.AdvanceSlots(t, 100)
	late := b.mustVary(w)
	w.Txs = append(w.Txs, stored(late))
	b.net.AdvanceSlots(t, 100) // the first has expired, the second has not
	b.wantKind(w, chains.Unseen)
	if _, err := b.variant(w, nil); err == nil || !strings.Contains(err.Error(), "wait for its outcome") {
		t.Errorf("signed past the end of the slot: %v", err)
	}
	b.net.AdvanceSlots(t, expired)
	dead := b.wantKind(w, chains.Dead)
	if !strings.Contains(string(dead.Proof), w.Slot.Nonce) || !dead.SlotDead {
		t.Errorf("the proof does not name the guard account: %+v %s", dead, dead.Proof)
	}
	b.send(late)
	b.finalize()
	b.wantKind(w, chains.Dead)
	b.wantUSDC(w.To, 0)
}

func TestVariantPaysTheSameOnly(t *testing.T) {
	b := setupGuarded(t)
	w, _ := b.sign(3_000_000)
	for name, change := range map[string]func(*chains.Order){
		"payee":    func(o *chains.Order) { o.To = newPayee(t) },
		"amount":   func(o *chains.Order) { o.Amount = payment.Units(3_000_001) },
		"intent":   func(o *chains.Order) { o.IntentID += "x" },
		"attempt":  func(o *chains.Order) { o.Seq = 2 },
		"treasury": func(o *chains.Order) { o.Reuse.Authority = newPayee(t) },
		"kind":     func(o *chains.Order) { o.Reuse.Kind = chains.SlotBlockhash },
	} {
		reuse := w
		if s, err := b.variant(reuse, func(o *chains.Order) {
			slot := *o.Reuse
			o.Reuse = &slot
			change(o)
		}); err == nil {
			t.Errorf("%s: signed %+v", name, s.Slot)
		}
	}
}

// A stranger who learns of a guard account can spoil it, which costs the payer
// one expiry and the stranger the rent.
func TestSpoiledGuardIsDeathAfterItsEnd(t *testing.T) {
	b := setupGuarded(t)
	w, s := b.sign(3_000_000)
	b.net.Fund(t, w.Slot.Nonce, 1_000_000, 0)
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Unseen)
	b.net.AdvanceSlots(t, guardExpired)
	dead := b.wantKind(w, chains.Dead)
	var proof struct {
		Observed struct {
			Guard struct {
				Lamports  uint64
				Strangers []string
			}
		}
	}
	if err := json.Unmarshal(dead.Proof, &proof); err != nil {
		t.Fatal(err)
	}
	if g := proof.Observed.Guard; g.Lamports != 1_000_000 || len(g.Strangers) != 1 {
		t.Errorf("proof %s", dead.Proof)
	}
	b.wantUSDC(w.To, 0)
}

// After the database was set back, a variant that paid may be on chain and not
// on record.
func TestPaymentByAnUnknownVariantIsNotDead(t *testing.T) {
	b := setupGuarded(t)
	w, _ := b.sign(3_000_000)
	b.finalize()
	b.send(b.mustVary(w))
	b.net.AdvanceSlots(t, guardExpired)
	if got := b.wantKind(w, chains.Unseen); !strings.Contains(got.Reason, "not on record") {
		t.Errorf("sighting %+v", got)
	}
	b.wantUSDC(w.To, 3_000_000)
}

func TestGuardedPaymentWithoutFundsIsReverted(t *testing.T) {
	b := setupGuarded(t)
	w, s := b.sign(2_000_000_000_000) // the treasury has half of it
	b.send(s)
	b.finalize()
	if got := b.wantKind(w, chains.Reverted); !got.SlotDead || got.Permanent || !strings.HasPrefix(got.Reason, "treasury_needs_tokens") {
		t.Errorf("sighting %+v", got)
	}
}

// Guard addresses are the same in every process, and followed whatever the
// setting is now.
func TestGuardsSurviveRestartAndSetting(t *testing.T) {
	b := setupGuarded(t)
	w, _ := b.sign(3_000_000)
	again, err := solana.Open(t.Context(), config(b.net, b.net.HTTPURL, b.wallets.Treasury, b.wallets.Lanes), b.wallets)
	if err != nil {
		t.Fatal(err)
	}
	b.chain = again
	b.finalize()
	s := b.mustVary(w)
	w.Txs = append(w.Txs, stored(s))
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Paid)
}

package activities

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// seeing are the steps of a worker that sees two chains: what a payment costs
// there, in base units of the asset, and whether the treasury can pay it.
func seeing(s *store.Store, ethereum, solana uint64, liquid bool) *Steps {
	desk := func(name payment.Chain, fee uint64, liquidity payment.Amount) *Desk {
		now := time.Now()
		return &Desk{seen: true, opened: now, network: routing.Network{Chain: name, NativePrice: payment.Units(1), FeePerPayment: payment.Units(fee),
			Liquidity: liquidity, ETASeconds: 10, ObservedAt: now, HeadTime: now}}
	}
	plenty := payment.Units(1_000_000_000_000)
	first := plenty
	if !liquid {
		first = payment.Units(0)
	}
	return &Steps{Store: s, Log: zap.NewNop(), Desks: map[payment.Chain]*Desk{
		"ethereum": desk("ethereum", ethereum, first), "solana": desk("solana", solana, plenty)}}
}

// onBoth is an order to be paid on either chain.
func onBoth(merchantID string) payment.Intent {
	order := storetest.Order(merchantID, 1_000_000)
	order.Destinations = append(order.Destinations, payment.Destination{Chain: "solana", Address: "payee"})
	return order
}

// What a quote promises holds when the payment is routed: the quoted chain,
// unless it does not qualify any more, and no fee beyond the quote.
func TestQuotesAreHonoured(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1_000_000_000)
	tight := payment.Units(20_000)
	for name, c := range map[string]struct {
		steps  *Steps
		maxFee *payment.Amount
		chain  payment.Chain // "": a person is asked
	}{
		"the quoted chain, though another scores better": {seeing(s, 30_000, 10, true), nil, "ethereum"},
		"a little dearer":                        {seeing(s, 40_000, 10, true), nil, "ethereum"},
		"dearer than the bound":                  {seeing(s, 40_001, 10, true), nil, "solana"},
		"no liquidity where it was quoted":       {seeing(s, 30_000, 10, false), nil, "solana"},
		"no chain within the bound":              {seeing(s, 40_001, 40_001, true), nil, ""},
		"the order's own max_fee holds too":      {seeing(s, 30_000, 10, true), &tight, "solana"},
		"another chain beyond the bound is none": {seeing(s, 30_000, 40_001, false), nil, ""},
	} {
		q, err := s.CreateQuote(t.Context(), store.Quote{MerchantID: m.ID, Mode: payment.Live, Decision: json.RawMessage("{}"), Chain: "ethereum", Fee: payment.Units(30_000)}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		order := onBoth(m.ID)
		order.Quote, order.MaxFee = q.ID, c.maxFee
		routed(t, s, c.steps, order, name, c.chain)
	}
}

// routed accepts an order and wants SelectRoute to choose a chain, or none.
func routed(t *testing.T, s *store.Store, steps *Steps, order payment.Intent, name string, want payment.Chain) {
	t.Helper()
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		_, err := storetest.Accept(ctx, tx, order, store.NewID("key"))
		return err
	})
	state, err := steps.SelectRoute(t.Context(), Ref{IntentID: order.ID})
	switch {
	case err != nil:
		t.Errorf("%s: %v", name, err)
	case want == "" && state.ReviewReason != payment.ReviewNoRoute, want != "" && (state.Status != payment.Routed || state.Chain != want):
		t.Errorf("%s: %+v, want %q", name, state, want)
	}
}

// A payment goes over no chain that its order does not allow, whatever that
// costs it, and not after a failure either.
func TestAllowedChainsAreKept(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1_000_000_000)
	only := func() payment.Intent {
		order := onBoth(m.ID)
		order.Allowed = []payment.Chain{"ethereum"}
		return order
	}
	routed(t, s, seeing(s, 30_000, 10, true), only(), "cheaper elsewhere", "ethereum")
	routed(t, s, seeing(s, 30_000, 10, false), only(), "possible only elsewhere", "")

	failed := only()
	steps := seeing(s, 30_000, 10, true)
	routed(t, s, steps, failed, "first attempt", "ethereum")
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		slot := store.NewID("slot")
		attempt, err := tx.OpenAttempt(ctx, failed.ID)
		if err != nil {
			return err
		}
		if err := tx.InsertSlot(ctx, db.InsertSlotParams{ID: slot, AttemptID: attempt.ID, IntentID: failed.ID, Chain: "ethereum", Kind: "eip3009", Authority: "a", Nonce: slot}); err != nil {
			return err
		}
		if err := tx.InsertOutcome(ctx, db.InsertOutcomeParams{SlotID: slot, IntentID: failed.ID, Result: "dead", Chain: "ethereum", Proof: json.RawMessage("{}"), EffectiveAt: time.Now()}); err != nil {
			return err
		}
		return tx.CloseSlot(ctx, db.CloseSlotParams{ID: slot, State: "dead"})
	})
	state, err := steps.SelectRoute(t.Context(), Ref{IntentID: failed.ID})
	if err != nil || state.Chain != "ethereum" {
		t.Errorf("after a dead attempt: %+v, %v", state, err)
	}
	attempts, err := s.IntentAttempts(t.Context(), failed.ID)
	if err != nil || len(attempts) != 2 || slices.ContainsFunc(attempts, func(a store.Attempt) bool { return a.Chain != "ethereum" }) {
		t.Errorf("attempts %+v, %v", attempts, err)
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		i, err := tx.LockIntent(ctx, failed.ID)
		if err != nil {
			return err
		}
		if other, err := elsewhere(ctx, tx, i); other || err != nil {
			t.Errorf("elsewhere: %v, %v", other, err)
		}
		return nil
	})
}

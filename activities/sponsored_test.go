package activities_test

import (
	"context"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// sponsoring is a lane whose gas payers without ether use.
type sponsoring struct {
	*lane
	a sandbox.Authorization // of the payment
}

// sponsored accepts the payment of a new payer, who has its amount and signs for
// some time of the chain.
func sponsored(t *testing.T, validFor time.Duration) (s *sponsoring, id string) {
	t.Helper()
	s = &sponsoring{lane: onLane(t, func(c *evm.Config) { c.Sponsor = &evm.Sponsoring{MinLeftSeconds: 1} })}
	s.a = sandbox.Authorization{From: s.keys.New(t), To: s.payee, Value: amount, ValidBefore: s.node.Now(t).Add(validFor).Unix()}
	s.node.Fund(t, s.a.From, nil, amount)
	s.a = s.node.Authorize(t, s.keys.EthereumKeys, s.a)
	return s, s.acceptSponsored()
}

func (s *sponsoring) acceptSponsored() string {
	s.Helper()
	admitted, err := s.chain.(chains.Sponsor).Admit(s.Context(), payment.Authorization{AuthorizationTerms: payment.AuthorizationTerms{
		From: s.a.From, ValidAfter: s.a.ValidAfter, ValidBefore: s.a.ValidBefore, Nonce: s.a.Nonce}, Signature: s.a.Signature},
		s.a.To, payment.Units(amount), payment.Units(1e18))
	if err != nil {
		s.Fatal(err)
	}
	limits := store.Sponsorship{MaxFee: payment.Units(50_000_000), MaxFeePerDay: payment.Units(50_000_000)}
	order := storetest.Order(s.merchant.ID, amount)
	order.Destinations = []payment.Destination{{Chain: "ethereum", Address: s.a.To}}
	order.Authorization, order.MaxFee = &admitted, &limits.MaxFee
	storetest.Tx(s, s.store, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Sponsor(ctx, s.merchant.ID, limits); err != nil {
			return err
		}
		if err := tx.TakeSponsored(ctx, order, s.chain.Info().Token); err != nil {
			return err
		}
		_, err := tx.CreateIntent(ctx, order, store.NewID("key"))
		return err
	})
	return order.ID
}

// gasOnly fails the test unless the payment moved nothing in the books but gas,
// in so many postings.
func (s *sponsoring) gasOnly(id string, postings int) {
	s.Helper()
	if got := s.phases(id); len(got) != postings || slices.ContainsFunc(got, func(phase string) bool { return phase != "single" }) {
		s.Errorf("the ledger has %v, want %d fees", got, postings)
	}
	s.booksClose()
}

// lapsed waits until the authorization has ended and the payment with it.
func (s *sponsoring) lapsed(id string, status payment.Status, code string) {
	s.Helper()
	s.node.AdvanceTo(s.T, time.Unix(s.a.ValidBefore, 0))
	s.upkeep("the payment has ended", s.status(id, status))
	if f := s.intent(id).Failure; f == nil || f.Code != code {
		s.Errorf("failure %+v, want %s", f, code)
	}
	s.everyNonceIsFinal()
}

// Each step may run often, and the payer's money is moved once; the treasury's
// is not, and counts as free all the while.
func TestStepsOfASponsoredPaymentMayRunOften(t *testing.T) {
	t.Parallel()
	s, id := sponsored(t, time.Hour)
	for _, step := range []func(context.Context, activities.Ref) (activities.State, error){s.steps.Screen, s.steps.SelectRoute, s.steps.ReserveNonce} {
		s.oftenDo(step, id)
	}
	if slot := s.onlySlot(id); slot.Authority != s.a.From || slot.Nonce != s.a.Nonce || len(slot.Transactions) != 1 {
		t.Errorf("slot %+v", slot)
	}
	if got, err := s.store.Queries().CommittedOnChain(t.Context(), "ethereum"); err != nil || !got.IsZero() {
		t.Errorf("%s of the treasury is committed (%v)", got, err)
	}
	if st := s.oftenDo(s.steps.Broadcast, id); st.Status != payment.Submitted || st.Substatus != payment.AwaitingBlock {
		t.Errorf("after Broadcast: %+v", st)
	}
	if st := s.settle(id, s.await(id, chains.Paid)); st.Status != payment.Settled {
		t.Errorf("after Settle: %+v", st)
	}
	if payer, payee := s.usdc(s.a.From), s.usdc(s.payee); payer != 0 || payee != amount {
		t.Errorf("the payer has %d, the payee %d", payer, payee)
	}
	s.gasOnly(id, 1)
	s.changesNothing(id)
	s.everyNonceIsFinal()
}

func TestBumpGetsAStuckSponsoredPaymentIn(t *testing.T) {
	t.Parallel()
	s, id := sponsored(t, time.Hour)
	s.node.SetGasTip(t, 2_000_000_000)
	s.send(id)
	s.upkeep("it is outbid", func() bool { return s.intent(id).Substatus == payment.FeeBumped })
	s.upkeep("the payment is settled", s.status(id, payment.Settled))
	if got := s.usdc(s.payee); got != amount {
		t.Errorf("the payee has %d", got)
	}
	s.everyNonceIsFinal()
	s.gasOnly(id, 1)
}

// The payer's money was gone when the transaction was included: gas is spent
// once, nothing is canceled in the payer's name, and the authorization's end is
// waited for.
func TestSponsoredPaymentThatFailedIsNotRepeated(t *testing.T) {
	t.Parallel()
	s, id := sponsored(t, 10*time.Minute)
	s.node.Pause(t)
	s.send(id)
	s.node.DropPool(t)
	s.node.Resume(t)
	s.node.Fund(t, s.a.From, big.NewInt(1e18), 0)
	s.node.Transfer(t, s.keys.EthereumKeys, s.a.From, s.keys.Treasury, amount)
	s.eventually("the payer has nothing", func() bool { return s.usdc(s.a.From) == 0 })
	s.upkeep("the failure is seen", func() bool { return s.intent(id).Substatus == payment.Fencing })
	s.gasOnly(id, 1)
	for range 3 {
		if got := s.tend(); got.Fenced != 0 {
			t.Fatalf("tended %+v: the payer's authorization was to be canceled", got)
		}
		s.sweep()
	}
	if i := s.intent(id); i.Status.Terminal() {
		t.Fatalf("the payment is %s, though the payer may still pay", i.Status)
	}
	s.lapsed(id, payment.Failed, "authorization_expired")
	s.gasOnly(id, 1)
}

// It was seen in time that the payer's money is gone: nothing is sent, and the
// nonce is filled.
func TestSponsoredPaymentThatWouldFailIsNotSent(t *testing.T) {
	t.Parallel()
	s, id := sponsored(t, 10*time.Minute)
	s.reserve(id)
	s.node.Fund(t, s.a.From, big.NewInt(1e18), 0)
	s.node.Transfer(t, s.keys.EthereumKeys, s.a.From, s.keys.Treasury, amount)
	s.eventually("the payer has nothing", func() bool { return s.usdc(s.a.From) == 0 })
	if st := s.oftenDo(s.steps.Broadcast, id); st.Status != payment.Submitted || st.Substatus != payment.Fencing {
		t.Errorf("after Broadcast: %+v", st)
	}
	if n := s.count("SELECT count(*) FROM transactions WHERE purpose = 'payment' AND send_intent_at IS NOT NULL"); n != 0 {
		t.Errorf("%d payments were sent", n)
	}
	s.lapsed(id, payment.Failed, "authorization_expired")
}

// A reviewer cannot cancel what a payer has signed, only stop submitting it: the
// payment ends when the authorization does, or is paid by somebody else.
func TestCanceledSponsoredPaymentWaitsForItsEnd(t *testing.T) {
	t.Parallel()
	s, id := sponsored(t, 10*time.Minute)
	s.node.Pause(t)
	s.send(id)
	s.steps.StalledAfter = time.Millisecond
	s.settle(id, s.await(id, chains.Unseen))
	s.steps.StalledAfter = 0
	s.node.DropPool(t)
	if st := s.review(id, payment.CancelAction); !st.Waiting() || st.Substatus != payment.Fencing {
		t.Fatalf("after cancel: %+v", st)
	}
	if got := s.tend(); got.Fenced != 0 || got.Replaced != 1 {
		t.Errorf("tended %+v, want the nonce filled and nothing canceled", got)
	}
	s.node.Resume(t)
	s.lapsed(id, payment.Canceled, "canceled_by_reviewer")
	if got := s.usdc(s.payee); got != 0 {
		t.Errorf("the payee has %d", got)
	}
}

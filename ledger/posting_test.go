package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func live(m store.Merchant) ledger.Holder {
	return ledger.Holder{MerchantID: m.ID, Mode: payment.Live}
}

// wantBalance compares a merchant's live balance, in base units.
func wantBalance(t *testing.T, s *store.Store, merchantID string, available, held uint64) {
	t.Helper()
	b, err := ledger.MerchantBalance(t.Context(), s, ledger.Holder{MerchantID: merchantID, Mode: payment.Live}, payment.USDC)
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Balance{Available: payment.Units(available), Held: payment.Units(held), Posted: payment.Units(available + held)}
	if b != want {
		t.Errorf("balance %+v, want %+v", b, want)
	}
}

// wantPlatform compares the platform accounts that are not zero.
func wantPlatform(t *testing.T, s *store.Store, want map[string]string) {
	t.Helper()
	balances, err := ledger.PlatformBalances(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, b := range balances {
		if b.Balance.String() != "0" {
			got[fmt.Sprintf("%s:%s[%s]", b.Kind, b.Owner, b.Asset)] = b.Balance.String()
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("platform accounts:\ngot  %v\nwant %v", got, want)
	}
}

func wantClean(t *testing.T, s *store.Store) ledger.Report {
	t.Helper()
	report, err := ledger.Check(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range report.Differences {
		t.Error(d)
	}
	return report
}

func TestTheWayOfMoney(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	wantBalance(t, s, "mer_none", 0, 0)

	m := storetest.Merchant(t, s, 1_000)
	wantBalance(t, s, m.ID, 1_000, 0)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			ledger.FundTreasury(ctx, tx, "fund:1", "ethereum", payment.USDC, payment.Units(50)),
			ledger.FundGas(ctx, tx, "gas:1", "ethereum", "ETH", payment.Units(1_000_000)),
		)
	})
	wantPlatform(t, s, map[string]string{
		"custody:ethereum[USDC.ethereum]": "1050", "conversion:ethereum[USDC.ethereum]": "-1000", "conversion:ethereum[USDC]": "1000",
		"equity:ethereum[USDC.ethereum]": "-50", "gas_tank:ethereum[ETH]": "1000000", "equity:ethereum[ETH]": "-1000000",
	})

	paid, dropped := storetest.Intent(t, s, m.ID, 600), storetest.Intent(t, s, m.ID, 300)
	wantBalance(t, s, m.ID, 100, 900)
	storetest.Settle(t, s, paid.ID)
	wantBalance(t, s, m.ID, 100, 300)
	storetest.End(t, s, dropped.ID, payment.Expired)
	wantBalance(t, s, m.ID, 400, 0)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return ledger.NetworkFee(ctx, tx, "tx:0xlost:fee", "ethereum", "ETH", payment.Units(79_000), time.Now(), dropped.ID)
	})
	wantPlatform(t, s, map[string]string{
		"custody:ethereum[USDC.ethereum]": "450", "conversion:ethereum[USDC.ethereum]": "-400", "conversion:ethereum[USDC]": "400",
		"equity:ethereum[USDC.ethereum]": "-50", "equity:ethereum[ETH]": "-1000000",
		"gas_tank:ethereum[ETH]": "900000", "gas_expense:ethereum[ETH]": "100000",
	})
	report := wantClean(t, s)
	if report.Intents != 2 || report.Events != 6 || report.Transfers != 8 || report.At.IsZero() {
		t.Errorf("the check looked at %+v", report)
	}
}

func TestFeesThatAreNotOurs(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 100)
	for _, fee := range []struct {
		amount uint64
		ours   bool
	}{{0, true}, {500, false}} {
		i := storetest.Intent(t, s, m.ID, 10)
		storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
			return ledger.Settle(ctx, tx, ledger.Settlement{
				IntentID: i.ID, HoldID: i.HoldID, Holder: live(m), Chain: "ethereum", Asset: payment.USDC, Amount: i.Amount,
				Fee: payment.Units(fee.amount), NativeAsset: "ETH", FeePaidByUs: fee.ours, EffectiveAt: time.Now(),
			})
		})
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return ledger.NetworkFee(ctx, tx, "tx:0xfree:fee", "ethereum", "ETH", payment.Units(0), time.Now(), "")
	})
	wantPlatform(t, s, map[string]string{
		"custody:ethereum[USDC.ethereum]": "80", "conversion:ethereum[USDC.ethereum]": "-80", "conversion:ethereum[USDC]": "80",
	})
}

// Temporal runs activities at least once: every posting may come again.
func TestPostingsAreRepeatable(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 1_000)
	order := storetest.Order(m.ID, 100)
	at := time.Now()

	var holdID string
	settlement := func() ledger.Settlement {
		return ledger.Settlement{
			IntentID: order.ID, HoldID: holdID, Holder: live(m), Chain: "ethereum", Asset: payment.USDC, Amount: order.Amount,
			Fee: payment.Units(7), NativeAsset: "ETH", FeePaidByUs: true, EffectiveAt: at,
		}
	}
	steps := []struct {
		name  string
		again func(ctx context.Context, tx *store.Tx) error
		other func(ctx context.Context, tx *store.Tx) error // the same reference for something else
	}{
		{"deposit", func(ctx context.Context, tx *store.Tx) error {
			return ledger.Deposit(ctx, tx, "d", live(m), "ethereum", payment.USDC, payment.Units(5), at)
		}, func(ctx context.Context, tx *store.Tx) error {
			return ledger.Deposit(ctx, tx, "d", live(m), "ethereum", payment.USDC, payment.Units(6), at)
		}},
		{"hold", func(ctx context.Context, tx *store.Tx) error {
			id, err := ledger.Hold(ctx, tx, order)
			if holdID != "" && id != holdID {
				return fmt.Errorf("another hold: %s after %s", id, holdID)
			}
			holdID = id
			return err
		}, func(ctx context.Context, tx *store.Tx) error {
			larger := order
			larger.Amount = payment.Units(101)
			_, err := ledger.Hold(ctx, tx, larger)
			return err
		}},
		{"settle", func(ctx context.Context, tx *store.Tx) error { return ledger.Settle(ctx, tx, settlement()) },
			func(ctx context.Context, tx *store.Tx) error {
				dearer := settlement()
				dearer.Fee = payment.Units(8)
				return ledger.Settle(ctx, tx, dearer)
			}},
		{"fee", func(ctx context.Context, tx *store.Tx) error {
			return ledger.NetworkFee(ctx, tx, "tx:0x1:fee", "ethereum", "ETH", payment.Units(3), at, "")
		}, func(ctx context.Context, tx *store.Tx) error {
			return ledger.NetworkFee(ctx, tx, "tx:0x1:fee", "ethereum", "ETH", payment.Units(4), at, "")
		}},
	}
	for _, step := range steps {
		for range 2 {
			storetest.Tx(t, s, step.again)
		}
		if err := s.Tx(t.Context(), step.other); !errors.Is(err, ledger.ErrReferenceConflict) {
			t.Errorf("%s with other content: %v", step.name, err)
		}
	}
	wantBalance(t, s, m.ID, 905, 0)
	wantPlatform(t, s, map[string]string{
		"custody:ethereum[USDC.ethereum]": "905", "conversion:ethereum[USDC.ethereum]": "-905", "conversion:ethereum[USDC]": "905",
		"gas_tank:ethereum[ETH]": "-10", "gas_expense:ethereum[ETH]": "10",
	})
}

func TestHoldIsResolvedOnce(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 100)
	settle := func(i payment.Intent) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			return ledger.Settle(ctx, tx, ledger.Settlement{
				IntentID: i.ID, HoldID: i.HoldID, Holder: live(m), Chain: "ethereum", Asset: payment.USDC, Amount: i.Amount, EffectiveAt: i.CreatedAt,
			})
		})
	}
	void := func(i payment.Intent) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return ledger.Void(ctx, tx, i) })
	}
	paid, dropped := storetest.Intent(t, s, m.ID, 40), storetest.Intent(t, s, m.ID, 50)
	if err := errors.Join(settle(paid), void(dropped)); err != nil {
		t.Fatal(err)
	}
	if err := void(paid); !errors.Is(err, ledger.ErrHoldInvalid) {
		t.Errorf("voided after settling: %v", err)
	}
	if err := settle(dropped); !errors.Is(err, ledger.ErrHoldInvalid) {
		t.Errorf("settled after voiding: %v", err)
	}
	if err := void(dropped); err != nil {
		t.Errorf("voided again: %v", err)
	}
	greedy := storetest.Intent(t, s, m.ID, 10)
	greedy.Amount = payment.Units(11)
	if err := settle(greedy); !errors.Is(err, ledger.ErrHoldInvalid) {
		t.Errorf("settled for more than held: %v", err)
	}
	wantBalance(t, s, m.ID, 50, 10)
}

func TestHoldsNeverExceedTheBalance(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 100)
	var accepted, refused atomic.Int64
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				_, err := storetest.Accept(ctx, tx, storetest.Order(m.ID, 7), store.NewID("key"))
				return err
			})
			switch {
			case err == nil:
				accepted.Add(1)
			case errors.Is(err, ledger.ErrInsufficientFunds):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if accepted.Load() != 14 || refused.Load() != 36 {
		t.Errorf("%d accepted, %d refused", accepted.Load(), refused.Load())
	}
	wantBalance(t, s, m.ID, 2, 98)
	wantClean(t, s)
}

// Deposits, holds, settlements and voids of few merchants from many sides at
// once: nothing is lost, and the order of locks leaves no deadlock to retry.
func TestConcurrentLife(t *testing.T) {
	t.Parallel()
	var retries atomic.Int64
	s := storetest.Open(t, store.OnRetry(func(state string) {
		if state == "40P01" {
			retries.Add(1)
		}
	}))
	merchants := []store.Merchant{storetest.Merchant(t, s, 10_000), storetest.Merchant(t, s, 10_000)}
	// Opening the platform accounts may collide, once in their life.
	storetest.Settle(t, s, storetest.Intent(t, s, merchants[0].ID, 1).ID)

	var group sync.WaitGroup
	for worker := range 8 {
		random := rand.New(rand.NewPCG(42, uint64(worker)))
		group.Go(func() {
			for range 10 {
				m := merchants[random.IntN(len(merchants))]
				i := storetest.Intent(t, s, m.ID, 1+random.Uint64N(100))
				switch random.IntN(4) {
				case 0:
					storetest.Settle(t, s, i.ID)
				case 1:
					storetest.End(t, s, i.ID, payment.Canceled)
				case 2:
					storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
						return ledger.Deposit(ctx, tx, "deposit:"+i.ID, live(m), "solana", payment.USDC, i.Amount, time.Now())
					})
				default: // stays open
				}
			}
		})
	}
	group.Wait()
	if n := retries.Load(); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	report := wantClean(t, s)
	if report.Intents != 81 {
		t.Errorf("%d intents", report.Intents)
	}
}

// An account that was opened by a transaction that rolled back is not
// remembered: the next posting opens it again.
func TestAccountsOfRolledBackTransactions(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	fund := func(ctx context.Context, tx *store.Tx) error {
		return ledger.FundGas(ctx, tx, "gas", "ethereum", "ETH", payment.Units(5))
	}
	undo := errors.New("undo")
	err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		if err := fund(ctx, tx); err != nil {
			return err
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	storetest.Tx(t, s, fund)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error { // now from memory
		return ledger.FundGas(ctx, tx, "gas2", "ethereum", "ETH", payment.Units(6))
	})
	wantPlatform(t, s, map[string]string{"gas_tank:ethereum[ETH]": "11", "equity:ethereum[ETH]": "-11"})
}

func TestSigned(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0", "5", "-5", "-115792089237316195423570985008687907853269984665640564039457584007913129639935"} {
		s, err := ledger.ParseSigned(text)
		if err != nil || s.String() != text {
			t.Errorf("%s came back as %s, %v", text, s, err)
		}
	}
	if s, err := ledger.ParseSigned("-0"); err != nil || s != (ledger.Signed{}) {
		t.Errorf("-0 is %+v, %v", s, err)
	}
	for _, text := range []string{"", "-", "--5", "+5", "5.0"} {
		if s, err := ledger.ParseSigned(text); err == nil {
			t.Errorf("%q was read as %s", text, s)
		}
	}
}

package activities_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/testsuite"
	"go.uber.org/zap"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/treasury"
)

const (
	amount  = 12_500_000 // base units of every payment
	balance = 1_000_000_000
	within  = 90 * time.Second
)

// world is a merchant with money, the steps of a worker on a database of its
// own, and one chain that the worker serves and watches.
type world struct {
	*testing.T
	store    *store.Store
	sql      *pgx.Conn
	steps    *activities.Steps
	merchant store.Merchant
	chain    chains.Chain
	payee    string
	// usdc is what an address has on the chain, in base units.
	usdc func(address string) uint64
}

// newWorld has no chain yet: nothing can be routed.
func newWorld(t *testing.T) *world {
	t.Helper()
	s, url := storetest.OpenURL(t, store.Trace(costs{}))
	w := &world{T: t, store: s, sql: storetest.SQL(t, url), merchant: storetest.Merchant(t, s, balance)}
	w.payee = sandbox.NewEthereumAddress(t)
	w.steps = &activities.Steps{Store: s, Desks: map[payment.Chain]*activities.Desk{}, Log: zap.NewNop(), AuthorizationValidity: time.Hour}
	return w
}

// on opens a world on a chain: its lanes are registered, it is watched until
// the test ends, and routing knows it.
func (w *world) on(c chains.Chain, err error) *world {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	w.chain = c
	info := c.Info()
	var lanes []treasury.LaneSeed
	for _, lane := range info.Lanes {
		start, err := c.LaneStart(w.Context(), lane)
		if err != nil {
			w.Fatal(err)
		}
		lanes = append(lanes, treasury.LaneSeed{Address: lane, StartNonce: start, MaxInFlight: info.LaneInFlight})
	}
	if err := treasury.RegisterWallets(w.Context(), w.store, info.Name, info.Treasury, lanes); err != nil {
		w.Fatal(err)
	}
	desk := activities.NewDesk(c, payment.Units(3_000_000_000), w.store, "test", zap.NewNop())
	w.steps.Desks[info.Name] = desk
	ctx, stop := context.WithCancel(context.WithoutCancel(w.Context()))
	var watching sync.WaitGroup
	watching.Go(func() { desk.Watcher.Run(ctx) })
	w.Cleanup(func() {
		stop()
		watching.Wait()
	})
	w.eventually("the chain is observed", func() bool {
		_, ok := desk.Network()
		return ok
	})
	return w
}

func onEthereum(t *testing.T, node *sandbox.EthereumNode) *world {
	t.Helper()
	return newWorld(t).openEthereum(node, node.NewWallets(t, 2), nil)
}

// openEthereum adds a chain with these wallets, configured by change.
func (w *world) openEthereum(node *sandbox.EthereumNode, keys sandbox.EthereumWallets, change func(*evm.Config)) *world {
	w.Helper()
	t := w.T
	w.usdc = func(address string) uint64 {
		units, _ := node.USDC(t, address).Uint64()
		return units
	}
	cfg := evm.Config{
		Name: "ethereum", ChainID: node.ChainID, RPCURLs: []string{node.HTTPURL}, Token: node.Ethereum.USDC, Multicall3: node.Multicall3,
		Treasury: keys.Treasury, Lanes: keys.Lanes, PollIntervalMS: 100,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := evm.Open(t.Context(), cfg, keys)
	return w.on(c, err)
}

func onSolana(t *testing.T, net sandbox.Solana, exclusive string) *world {
	t.Helper()
	w := newWorld(t)
	w.payee = sandbox.NewSolanaAddress(t)
	w.usdc = func(address string) uint64 { return net.USDC(t, address) }
	return w.openSolana(net, func(c *solana.Config) { c.Exclusive = exclusive })
}

// openSolana adds a chain with new wallets, configured by change.
func (w *world) openSolana(net sandbox.Solana, change func(*solana.Config)) *world {
	w.Helper()
	t, keys := w.T, net.NewWallets(w.T, 1)
	cfg := solana.Config{
		Name: "solana", GenesisHash: net.GenesisHash, RPCURLs: []string{net.HTTPURL}, Mint: net.USDCMint, Decimals: payment.USDC.Decimals,
		Treasury: keys.Treasury, Lanes: keys.Lanes, PollIntervalMS: 50, ResendAfterMS: 30_000,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := solana.Open(t.Context(), cfg, keys)
	return w.on(c, err)
}

// eachChain runs a test on the sandbox's two chains, and on Solana with both
// ways to make a payment exclusive.
func eachChain(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	t.Run("ethereum", func(t *testing.T) {
		t.Parallel()
		test(t, onEthereum(t, sandbox.Start(t).Ethereum(t)))
	})
	for _, exclusive := range []string{solana.ExclusiveBlockhash, solana.ExclusiveGuard} {
		t.Run("solana, "+exclusive, func(t *testing.T) {
			t.Parallel()
			test(t, onSolana(t, sandbox.Start(t).Descriptor.Solana, exclusive))
		})
	}
}

// accept stores an intent for the payee, after change.
func (w *world) accept(change func(*payment.Intent)) string {
	w.Helper()
	order := storetest.Order(w.merchant.ID, amount)
	order.Destinations = []payment.Destination{{Chain: "ethereum", Address: w.payee}}
	if w.chain != nil {
		order.Destinations[0].Chain = w.chain.Info().Name
	}
	if change != nil {
		change(&order)
	}
	storetest.Tx(w, w.store, func(ctx context.Context, tx *store.Tx) error {
		_, err := storetest.Accept(ctx, tx, order, store.NewID("key"))
		return err
	})
	return order.ID
}

// do runs a step once.
func (w *world) do(step func(context.Context, activities.Ref) (activities.State, error), id string) activities.State {
	w.Helper()
	s, err := step(w.Context(), activities.Ref{IntentID: id})
	if err != nil {
		w.Fatal(err)
	}
	return s
}

// often runs a step as Temporal may: several times at once, and again after
// that. Every run must succeed, and the later ones must find nothing to do.
func often[R any](w *world, id string, step func() (R, error)) R {
	w.Helper()
	const atOnce = 3
	results, errs := make([]R, atOnce), make([]error, atOnce)
	var running sync.WaitGroup
	for i := range atOnce {
		running.Go(func() { results[i], errs[i] = step() })
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
	}
	before := w.facts(id)
	again, err := step()
	if err != nil {
		w.Fatal(err)
	}
	if after := w.facts(id); after != before {
		w.Errorf("another run changed\n%s\nto\n%s", before, after)
	}
	for _, r := range results {
		a, _ := json.Marshal(r)
		b, _ := json.Marshal(again)
		if string(a) != string(b) {
			w.Errorf("concurrent runs returned %s and %s", a, b)
		}
	}
	return again
}

// oftenDo is often for the steps that take a Ref.
func (w *world) oftenDo(step func(context.Context, activities.Ref) (activities.State, error), id string) activities.State {
	w.Helper()
	return often(w, id, func() (activities.State, error) { return step(w.Context(), activities.Ref{IntentID: id}) })
}

// settle tells Settle about a sighting, often.
func (w *world) settle(id string, seen activities.Sighting) activities.State {
	w.Helper()
	return often(w, id, func() (activities.State, error) {
		return w.steps.Settle(w.Context(), activities.SettleInput{IntentID: id, Sighting: seen})
	})
}

// review decides, often.
func (w *world) review(id string, action payment.ReviewAction) activities.State {
	w.Helper()
	in := activities.ReviewInput{IntentID: id, Review: payment.Review{Action: action, Actor: "ops@example.com", Reason: "test"}}
	return often(w, id, func() (activities.State, error) { return w.steps.Review(w.Context(), in) })
}

// await waits for the live slot's outcome, twice at once.
func (w *world) await(id string, want chains.SightingKind) activities.Sighting {
	w.Helper()
	seen := make([]activities.Sighting, 2)
	errs := make([]error, 2)
	var waiting sync.WaitGroup
	for i := range seen {
		waiting.Go(func() {
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment() // for the heartbeat
			env.RegisterActivity(w.steps.AwaitConfirmation)
			v, err := env.ExecuteActivity(w.steps.AwaitConfirmation, activities.Ref{IntentID: id})
			if err == nil {
				err = v.Get(&seen[i])
			}
			errs[i] = err
		})
	}
	waiting.Wait()
	for i, err := range errs {
		if err != nil {
			w.Fatal(err)
		}
		if seen[i].Kind != want {
			w.Fatalf("sighting %+v, want %s", seen[i], want)
		}
	}
	return seen[0]
}

// reserve takes an accepted intent to its first signed transaction.
func (w *world) reserve(id string) {
	w.Helper()
	w.do(w.steps.Screen, id)
	w.do(w.steps.SelectRoute, id)
	if s := w.do(w.steps.ReserveNonce, id); s.Status != payment.Routed {
		w.Fatalf("after ReserveNonce: %+v", s)
	}
}

func (w *world) attempts(id string) []store.Attempt {
	w.Helper()
	a, err := w.store.IntentAttempts(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return a
}

// onlySlot is the slot of an intent that has had one.
func (w *world) onlySlot(id string) store.Slot {
	w.Helper()
	a := w.attempts(id)
	if len(a) != 1 || len(a[0].Slots) != 1 {
		w.Fatalf("attempts %+v, want one with one slot", a)
	}
	return a[0].Slots[0]
}

func (w *world) intent(id string) payment.Intent {
	w.Helper()
	i, err := w.store.Intent(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	return i
}

// facts is everything that is stored about an intent, except when its bytes
// were sent last, and the nonces that its chain's lanes gave out.
func (w *world) facts(id string) string {
	w.Helper()
	attempts := w.attempts(id)
	var raw []string
	for _, a := range attempts {
		for _, s := range a.Slots {
			txs, err := w.store.Queries().SlotTransactions(w.Context(), s.ID)
			if err != nil {
				w.Fatal(err)
			}
			for i, tx := range txs {
				raw = append(raw, hex.EncodeToString(tx.Raw))
				s.Transactions[i].LastSentAt = nil
			}
		}
	}
	transfers, err := w.store.IntentTransfers(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	audit, err := w.store.AuditLog(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	var nonces, events int
	if err := w.sql.QueryRow(w.Context(), "SELECT (SELECT count(*) FROM lane_nonces), (SELECT count(*) FROM events)").Scan(&nonces, &events); err != nil {
		w.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"intent": w.intent(id), "attempts": attempts, "raw": raw, "transfers": transfers,
		"audit": audit, "nonces": nonces, "events": events})
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// phases lists the ledger transfers of an intent by phase, sorted.
func (w *world) phases(id string) []string {
	w.Helper()
	transfers, err := w.store.IntentTransfers(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, x := range transfers {
		out = append(out, x.Phase)
	}
	slices.Sort(out)
	return out
}

// ended fails the test unless the intent ended like this, unpaid, with its
// hold given back.
func (w *world) ended(id string, status payment.Status, code string) {
	w.Helper()
	i := w.intent(id)
	if i.Status != status || i.Failure == nil || i.Failure.Code != code {
		w.Errorf("%s is %s, %+v; want %s, %s", id, i.Status, i.Failure, status, code)
	}
	if got := w.phases(id); !slices.Equal(got, []string{"hold", "void"}) {
		w.Errorf("ledger has %v, want hold and void", got)
	}
	w.booksClose()
}

// paidOnce fails the test unless the intent is settled and the payee has its
// amount once, on the chain and in the books.
func (w *world) paidOnce(id string) {
	w.Helper()
	if i := w.intent(id); i.Status != payment.Settled {
		w.Errorf("%s is %s", id, i.Status)
	}
	if got := w.usdc(w.payee); got != amount {
		w.Errorf("the payee has %d, want %d", got, amount)
	}
	var paid, posted int
	err := w.sql.QueryRow(w.Context(), `SELECT (SELECT count(*) FROM outcomes WHERE intent_id = $1 AND result = 'paid'),
		(SELECT count(*) FROM ledger_transfers WHERE intent_id = $1 AND pending_id IS NOT NULL)`, id).Scan(&paid, &posted)
	if err != nil || paid != 1 || posted != 1 {
		w.Errorf("%d paid outcomes and %d postings of the hold (%v), want one each", paid, posted, err)
	}
	w.booksClose()
}

func (w *world) booksClose() {
	w.Helper()
	report, err := ledger.Check(w.Context(), w.store)
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range report.Differences {
		w.Error(d)
	}
}

// eventually waits for a condition.
func (w *world) eventually(what string, ready func() bool) {
	w.Helper()
	deadline, tick := time.NewTimer(within), time.NewTicker(20*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !ready() {
		select {
		case <-deadline.C:
			w.Fatalf("waited %s in vain: %s", within, what)
		case <-tick.C:
		}
	}
}

package model

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/treasury"
)

// runsPerDatabase bounds what the check of the books has to read.
const runsPerDatabase = 100

// validity of an authorization, by the chain's clock.
const validity = 6 * time.Hour

// database is where runs take place, one after the other. After a run that
// failed, and after runsPerDatabase, the next one gets a new database.
type database struct {
	t     testing.TB
	store *store.Store
	sql   *pgxpool.Pool
	runs  int
	dirty bool // the run under way, or the last one, has not succeeded
}

// begin makes the database ready for a run.
func (d *database) begin() {
	if d.store == nil || d.dirty || d.runs >= runsPerDatabase {
		d.renew()
	}
	d.runs++
	d.dirty = true
}

func (d *database) renew() {
	d.close()
	url := storetest.URL(d.t) + "&synchronous_commit=off&pool_max_conns=8" // what is lost in a crash of Postgres is not the subject
	s, err := store.Open(d.t.Context(), url)
	if err != nil {
		d.t.Fatal(err)
	}
	pool, err := pgxpool.New(d.t.Context(), url)
	if err != nil {
		d.t.Fatal(err)
	}
	d.store, d.sql, d.runs = s, pool, 0
}

func (d *database) close() {
	if d.store != nil {
		d.store.Close()
		d.sql.Close()
		d.store = nil
	}
}

// sequence numbers the runs of the process: names of chains and keys are of one run.
var sequence atomic.Int64

// world is everything that a run is about.
type world struct {
	*rapid.T
	ctx context.Context
	db  *database
	bug bug

	eth      *ethereum
	sol      *network
	networks []*network // both

	merchant store.Merchant
	worker   *worker
	old      *worker // crashed or replaced; its steps still run
	started  int     // workers
	intents  []*driver
	payees   map[string]*driver // by address
	frozen   []func()           // lift what issuers did
	late     bool               // the patience with unincluded transactions is over
}

func newWorld(t *rapid.T, db *database, b bug, closing *[]func()) *world {
	db.begin()
	seq := sequence.Add(1)
	w := &world{T: t, ctx: t.Context(), db: db, bug: b, payees: map[string]*driver{}}
	w.eth = newEthereum(t, seq, closing)
	w.sol = newSolana(t, seq, closing)
	w.networks = []*network{&w.eth.network, w.sol}
	w.fund()
	if !w.start() {
		t.Fatal("the first worker does not start")
	}
	w.openBooks()
	return w
}

// fund makes the merchant, whose money lies on both chains.
func (w *world) fund() {
	limit := payment.Units(treasuryFunds / 2)
	w.must(w.db.store.Tx(w.ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		m := store.Merchant{Name: "Acme"}
		if rapid.Bool().Draw(w.T, "review above limit") {
			m.ReviewAbove = &limit
		}
		if w.merchant, err = tx.CreateMerchant(ctx, m); err != nil {
			return err
		}
		for _, nw := range w.networks {
			reference := fmt.Sprintf("deposit:%s:%s", nw.name, w.merchant.ID)
			if err := ledger.Deposit(ctx, tx, reference, ledger.Holder{MerchantID: w.merchant.ID, Mode: payment.Live}, nw.name, payment.USDC, payment.Units(treasuryFunds*4/5), time.Now()); err != nil {
				return err
			}
		}
		return nil
	}))
}

// openBooks books what the chains hold beyond what the merchant paid in.
func (w *world) openBooks() {
	balances, err := w.balances()
	w.must(err)
	w.must(ledger.Open(w.ctx, w.db.store, balances))
}

// balances are what the chains say at their finalized blocks.
func (w *world) balances() (out []ledger.ChainBalance, err error) {
	for _, nw := range w.networks {
		info := w.worker.steps.Desks[nw.name].Chain.Info()
		b, err := w.worker.steps.Desks[nw.name].Chain.Balances(w.ctx, append([]string{info.Treasury}, info.Lanes...))
		if err != nil {
			return nil, err
		}
		var native payment.Amount
		for _, lane := range info.Lanes {
			if native, err = native.Add(b.Native[lane]); err != nil {
				return nil, err
			}
		}
		out = append(out, ledger.ChainBalance{Chain: nw.name, Asset: payment.USDC, OnChain: b.Token[info.Treasury],
			NativeAsset: info.NativeAsset, NativeOnChain: native})
	}
	return out, nil
}

func (w *world) must(err error) {
	if err != nil {
		w.Helper()
		w.Fatal(err)
	}
}

// worker is one worker's memory.
type worker struct {
	steps  *activities.Steps
	upkeep *activities.Steps // the same, for whom everything is old enough to be looked after
	ctx    context.Context
	kill   context.CancelFunc
}

// start opens a worker as cmd/settle does. It is false if the nodes do not let
// it: then there is none until a later start.
func (w *world) start() bool {
	w.started++
	name := fmt.Sprint("worker ", w.started)
	next := &worker{steps: &activities.Steps{Store: w.db.store, Desks: map[payment.Chain]*activities.Desk{}, Log: zap.NewNop(),
		AuthorizationValidity: validity, SweepAfter: time.Hour}}
	for _, nw := range w.networks {
		c, err := nw.open(w.ctx)
		if err != nil {
			return false
		}
		c = w.patient(c, nw)
		if err := w.register(c); err != nil {
			return false
		}
		next.steps.Desks[nw.name] = activities.NewDesk(c, nw.price, w.db.store, name, zap.NewNop())
	}
	upkeep := *next.steps
	upkeep.SweepAfter, upkeep.StalledAfter, upkeep.StrandedAfter = time.Nanosecond, time.Nanosecond, time.Nanosecond
	next.upkeep = &upkeep
	next.ctx, next.kill = context.WithCancel(w.ctx)
	w.worker = next
	for _, nw := range w.networks {
		w.look(nw)
	}
	return true
}

// register makes the lanes known, as cmd/settle does. A frozen lane does not
// keep a worker from starting.
func (w *world) register(c chains.Chain) error {
	info := c.Info()
	seeds := make([]treasury.LaneSeed, len(info.Lanes))
	for i, lane := range info.Lanes {
		start, err := c.LaneStart(w.ctx, lane)
		if err != nil {
			return err
		}
		seeds[i] = treasury.LaneSeed{Address: lane, StartNonce: start, MaxInFlight: info.LaneInFlight}
	}
	err := treasury.RegisterWallets(w.ctx, w.db.store, info.Name, info.Treasury, seeds)
	if isForeign(err) {
		return nil
	}
	w.must(err)
	return nil
}

// crash throws the worker's memory away. Its leases end, as they do in time.
func (w *world) crash() {
	if w.worker == nil {
		return
	}
	w.worker.kill()
	for _, d := range w.intents {
		d.giveUpWaiting()
	}
	w.old, w.worker = w.worker, nil
	w.endLeases()
}

func (w *world) endLeases() {
	_, err := w.db.sql.Exec(w.ctx, "UPDATE lanes SET lease_until = 'epoch' WHERE chain = $1", string(w.eth.name))
	w.must(err)
}

// alive starts a worker if there is none, and reports whether there is one.
func (w *world) alive() bool { return w.worker != nil || w.start() }

// look has the worker's watcher look at a chain once, and brings what it found
// to those who wait.
func (w *world) look(nw *network) {
	watcher := w.worker.steps.Desks[nw.name].Watcher
	before := watcher.Waiting()
	watcher.Look(w.ctx)
	w.collect(before - watcher.Waiting())
}

// collect takes the results of so many waits that have ended. One that goes on
// all the same has its reasons, and its driver starts it again.
func (w *world) collect(ended int) {
	within := time.Now().Add(50 * time.Millisecond)
	soon(func() bool {
		for _, d := range w.intents {
			if d.collect() {
				ended--
			}
		}
		return ended <= 0 || time.Now().After(within)
	})
}

// patient is a chain as the model configures it: what is unseen may be sent
// again at once, and is outbid when the model says so. Planted bugs are in it.
func (w *world) patient(c chains.Chain, nw *network) chains.Chain {
	if c, ok := c.(chains.Laner); ok {
		return laner{c, shared{w, nw}}
	}
	return expirer{c.(chains.Expirer), shared{w, nw}}
}

type shared struct {
	w  *world
	nw *network
}

type laner struct {
	chains.Laner
	shared
}

type expirer struct {
	chains.Expirer
	shared
}

func (c laner) Info() chains.Info   { return c.tuned(c.Laner.Info()) }
func (c expirer) Info() chains.Info { return c.tuned(c.Expirer.Info()) }

func (c laner) Send(ctx context.Context, tx chains.StoredTx) chains.Verdict {
	return c.everywhere(ctx, tx, c.Laner.Send)
}

func (c expirer) Send(ctx context.Context, tx chains.StoredTx) chains.Verdict {
	return c.everywhere(ctx, tx, c.Expirer.Send)
}

func (c laner) Scan(ctx context.Context, watched []chains.Watched) ([]chains.Sighting, error) {
	return c.seen(ctx, watched, c.Laner.Scan)
}

func (c expirer) Scan(ctx context.Context, watched []chains.Watched) ([]chains.Sighting, error) {
	return c.seen(ctx, watched, c.Expirer.Scan)
}

func (c laner) Sign(ctx context.Context, o chains.Order) (chains.Signed, error) {
	return c.Laner.Sign(ctx, c.w.bug.signing(o))
}

func (c expirer) Sign(ctx context.Context, o chains.Order) (chains.Signed, error) {
	return c.Expirer.Sign(ctx, c.w.bug.signing(o))
}

func (s shared) seen(ctx context.Context, watched []chains.Watched, scan func(context.Context, []chains.Watched) ([]chains.Sighting, error)) ([]chains.Sighting, error) {
	seen, err := scan(ctx, watched)
	if err == nil {
		s.w.bug.scanned(watched, seen)
	}
	return seen, err
}

func (s shared) tuned(info chains.Info) chains.Info {
	info.ResendAfter, info.BumpAfter = 0, time.Hour
	if s.w.late {
		info.BumpAfter = time.Nanosecond
	}
	return info
}

// everywhere waits until every node has had the bytes that go to all of them
// in the background, so that what happens next does not depend on the
// scheduler. A node that is left alone gets none: the wait is short.
func (s shared) everywhere(ctx context.Context, tx chains.StoredTx, send func(context.Context, chains.StoredTx) chains.Verdict) chains.Verdict {
	before := make([]int64, len(s.nw.nodes))
	for i, n := range s.nw.nodes {
		before[i] = n.handled.Load()
	}
	v := send(ctx, tx)
	within := time.Now().Add(2 * time.Millisecond)
	soon(func() bool {
		missing := false
		for i, n := range s.nw.nodes {
			missing = missing || n.handled.Load() == before[i]
		}
		return !missing || time.Now().After(within)
	})
	return v
}

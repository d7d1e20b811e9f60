package treasury_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/treasury"
)

type lane struct {
	Address     string
	NextNonce   int64
	MaxInFlight int32
	State       string
}

type bundle struct {
	*testing.T
	store *store.Store
	conn  *pgx.Conn
}

func setup(t *testing.T) bundle {
	s, url := storetest.OpenURL(t)
	return bundle{t, s, storetest.SQL(t, url)}
}

func (b bundle) register(lanes ...treasury.LaneSeed) error {
	return treasury.RegisterWallets(b.Context(), b.store, "ethereum", "0xtreasury", lanes)
}

func (b bundle) lanes() []lane {
	b.Helper()
	rows, err := b.conn.Query(b.Context(), "SELECT address, next_nonce, max_in_flight, state FROM lanes ORDER BY address")
	if err != nil {
		b.Fatal(err)
	}
	lanes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[lane])
	if err != nil {
		b.Fatal(err)
	}
	return lanes
}

func (b bundle) want(want ...lane) {
	b.Helper()
	got := b.lanes()
	if len(got) != len(want) {
		b.Fatalf("lanes %+v, want %+v", got, want)
	}
	for n := range got {
		if got[n] != want[n] {
			b.Errorf("lane %+v, want %+v", got[n], want[n])
		}
	}
}

func seed(address string, nonce uint64) treasury.LaneSeed {
	return treasury.LaneSeed{Address: address, StartNonce: nonce, MaxInFlight: 16}
}

func TestRegisterWallets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 { // every start does it
		if err := b.register(seed("0xb", 7), seed("0xa", 0)); err != nil {
			t.Fatal(err)
		}
	}
	b.want(lane{"0xa", 0, 16, "active"}, lane{"0xb", 7, 16, "active"})

	var wallets int
	if err := b.conn.QueryRow(t.Context(), "SELECT count(*) FROM wallets").Scan(&wallets); err != nil || wallets != 3 {
		t.Errorf("%d wallets, %v", wallets, err)
	}
	smaller := seed("0xa", 0)
	smaller.MaxInFlight = 4
	if err := b.register(smaller); err != nil {
		t.Fatal(err)
	}
	b.want(lane{"0xa", 0, 4, "active"}, lane{"0xb", 7, 16, "active"})
}

// The chain lags behind what we gave out: transactions wait for their block.
func TestLaneNeverGoesBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.register(seed("0xa", 9)); err != nil {
		t.Fatal(err)
	}
	if err := b.register(seed("0xa", 5)); err != nil {
		t.Fatal(err)
	}
	b.want(lane{"0xa", 9, 16, "active"})
}

func TestForeignTransactionFreezesTheLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.register(seed("0xa", 5), seed("0xb", 5)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays frozen, and is said again
		err := b.register(seed("0xa", 6), seed("0xb", 5), seed("0xc", 0))
		var foreign *treasury.ForeignTransactionError
		if !errors.As(err, &foreign) {
			t.Fatalf("error %v", err)
		}
		if *foreign != (treasury.ForeignTransactionError{Chain: "ethereum", Lane: "0xa", Stored: 5, OnChain: 6}) {
			t.Errorf("%+v", foreign)
		}
		b.want(lane{"0xa", 5, 16, "frozen"}, lane{"0xb", 5, 16, "active"}, lane{"0xc", 0, 16, "active"})
	}
	log, err := b.store.AuditLog(t.Context(), "ethereum:0xa")
	if err != nil || len(log) != 1 || log[0].Action != "lane.freeze" {
		t.Errorf("audit log %+v, %v", log, err)
	}
	// A restart whose view of the chain is old does not thaw it.
	if err := b.register(seed("0xa", 5)); err != nil {
		t.Error(err)
	}
	if got := b.lanes()[0].State; got != "frozen" {
		t.Errorf("lane 0xa is %s", got)
	}
}

func TestEveryForeignLaneIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.register(seed("0xa", 5), seed("0xb", 5)); err != nil {
		t.Fatal(err)
	}
	err := b.register(seed("0xa", 6), seed("0xb", 9))
	if err == nil || !strings.Contains(err.Error(), "lane 0xa on ethereum") || !strings.Contains(err.Error(), "lane 0xb on ethereum") {
		t.Errorf("error %v", err)
	}
	b.want(lane{"0xa", 5, 16, "frozen"}, lane{"0xb", 5, 16, "frozen"})
}

// All replicas register the same wallets when they start.
func TestConcurrentRegistration(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			lanes := []treasury.LaneSeed{seed("0xa", 1), seed("0xb", 2), seed("0xc", 3)}
			lanes[0], lanes[n%3] = lanes[n%3], lanes[0]
			if err := b.register(lanes...); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b.want(lane{"0xa", 1, 16, "active"}, lane{"0xb", 2, 16, "active"}, lane{"0xc", 3, 16, "active"})
}

package api_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// pool is a number of API processes on the bench's database, each with the
// listener that it has in production.
func (b *bench) pool(n int) []*bench {
	b.t.Helper()
	servers := make([]*bench, n)
	for i := range servers {
		one := &bench{t: b.t, store: b.store, sql: b.sql, temporal: b.temporal, destinations: b.destinations, merchant: b.merchant, key: b.key}
		one.serve(peppers)
		one.run(one.server.Run)
		servers[i] = one
	}
	return servers
}

// run serves the bench with the listener that it has in production.
func (b *bench) run(run func(context.Context, net.Listener, time.Duration) error) {
	b.t.Helper()
	b.http.Close()
	listener, err := (&net.ListenConfig{}).Listen(b.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.http.URL = "http://" + listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, listener, time.Second) }()
	b.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

const listeners = "FROM pg_stat_activity WHERE application_name = 'settle listen principals' AND datname = current_database()"

// listening waits until n processes hear of changes.
func (b *bench) listening(n int) {
	b.t.Helper()
	eventually(b.t.(*testing.T), "every process listens", func() bool {
		var found int
		if err := b.sql.QueryRow(b.t.Context(), "SELECT count(*) "+listeners+" AND query = '-- ping'").Scan(&found); err != nil {
			b.t.Fatal(err)
		}
		return found >= n
	})
}

// refusedAfter is how long every server of a pool took to refuse a key.
func refusedAfter(t *testing.T, servers []*bench, key string, since time.Time) time.Duration {
	t.Helper()
	for i, s := range servers {
		eventually(t, fmt.Sprintf("server %d refuses the key", i), func() bool { return s.do("GET", list, nil, s.as(key)).StatusCode == http.StatusUnauthorized })
	}
	return time.Since(since)
}

// A key that was revoked by one process is refused by all within a second,
// whatever happens to what tells them so.
func TestRevocationIsInEffectWithinASecondEverywhere(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(t *testing.T, b *bench){
		"undisturbed": func(t *testing.T, b *bench) { b.listening(2) },
		"listeners killed all the time": func(t *testing.T, b *bench) {
			b.listening(2)
			killer := storetest.SQL(t, b.sql.Config().ConnString())
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for tick := time.NewTicker(20 * time.Millisecond); ; {
					_, _ = killer.Exec(context.Background(), "SELECT pg_terminate_backend(pid) "+listeners)
					select {
					case <-stop:
						tick.Stop()
						return
					case <-tick.C:
					}
				}
			}()
			t.Cleanup(func() { close(stop); <-done })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			servers := b.pool(2)
			key := b.issue(b.merchant.ID, payment.Live)
			for _, s := range servers {
				s.do("GET", list, nil, s.as(key)).want(200)
			}
			disturb(t, b)
			for _, s := range servers {
				s.do("GET", list, nil, s.as(key)).want(200)
			}
			if _, err := api.RevokeKey(t.Context(), b.store, key[8:16], "leaked", "test"); err != nil {
				t.Fatal(err)
			}
			if took := refusedAfter(t, servers, key, time.Now()); took > 1500*time.Millisecond { // a second, and the requests of this test
				t.Errorf("refused after %s", took)
			}
			servers[0].do("GET", list, nil).want(200)
		})
	}
}

func (b *bench) sqlMust(statements ...string) {
	b.t.Helper()
	for _, s := range statements {
		if _, err := b.sql.Exec(b.t.Context(), s); err != nil {
			b.t.Fatal(err)
		}
	}
}

// What the database tells spares the reading: a cached key lasts longer than
// the second that it would without.
func TestKeysAreReadSeldomWhileTheDatabaseTells(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server := b.pool(1)[0]
	b.listening(1)
	server.do("GET", list, nil).want(200)
	// Behind the back of what tells: nobody is told, and nobody looks.
	b.sqlMust("ALTER TABLE api_keys DISABLE TRIGGER tell", "UPDATE api_keys SET revoked_at = now() WHERE id = '"+b.key[8:16]+"'")
	for range 3 {
		server.do("GET", list, nil).want(200)
	}
	b.sqlMust("ALTER TABLE api_keys ENABLE TRIGGER tell", "UPDATE api_keys SET revoked_at = now() WHERE id = '"+b.key[8:16]+"'")
	refusedAfter(t, []*bench{server}, b.key, time.Now())
}

// A merchant's new limit holds at once, in every process.
func TestANewLimitHoldsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	servers := b.pool(2)
	b.listening(2)
	for _, s := range servers {
		s.create()
	}
	limit := payment.Units(1_000_000)
	storetest.Tx(t, b.store, func(ctx context.Context, tx *store.Tx) error {
		_, _, err := tx.ChangeMerchant(ctx, b.merchant.ID, func(m *store.Merchant) { m.MaxAmount = &limit })
		return err
	})
	for _, s := range servers {
		eventually(t, "the limit holds", func() bool {
			return s.do("POST", list, order(), idempotent(store.NewID("key"))).json["code"] == string(api.AmountAboveLimit)
		})
	}
}

func TestRollOverlaps(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old := b.issue(b.merchant.ID, payment.Test, api.IntentsRead)
	roll := func(key string, overlap time.Duration) (string, error) {
		fresh, err := api.RollKey(t.Context(), b.store, peppers, api.KeyID(key), overlap, nil, "test")
		return fresh.Text, err
	}
	fresh, err := roll(old, time.Hour)
	if err != nil || !strings.HasPrefix(fresh, "sk_test_") || fresh == old {
		t.Fatal(fresh, err)
	}
	for _, key := range []string{old, fresh} {
		b.do("GET", list, nil, b.as(key)).want(200)
		b.do("POST", list, order(), idempotent("k"), b.as(key)).refused(403, api.ScopeMissing, "")
	}
	b.clock.Store(3601)
	b.do("GET", list, nil, b.as(old)).refused(401, api.APIKeyInvalid, "")
	b.do("GET", list, nil, b.as(fresh)).want(200)

	last, err := roll(fresh, 0) // leaked: it ends now
	if err != nil {
		t.Fatal(err)
	}
	b.clock.Add(2)
	b.do("GET", list, nil, b.as(fresh)).refused(401, api.APIKeyInvalid, "")
	b.do("GET", list, nil, b.as(last)).want(200)

	for name, bad := range map[string]func() (string, error){
		"ended":    func() (string, error) { return roll(fresh, time.Hour) },
		"unknown":  func() (string, error) { return roll("nobodys", time.Hour) },
		"too long": func() (string, error) { return roll(last, api.MaxOverlap+time.Second) },
		"negative": func() (string, error) { return roll(last, -time.Second) },
	} {
		if key, err := bad(); err == nil {
			t.Errorf("%s: rolled to %s", name, key)
		}
	}
	entries, err := b.store.AuditLog(t.Context(), api.KeyID(last))
	if err != nil || len(entries) != 1 || entries[0].Action != "api_key.rolled" || !strings.Contains(string(entries[0].Detail), api.KeyID(fresh)) {
		t.Errorf("audit: %v, %v", entries, err)
	}
}

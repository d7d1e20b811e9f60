package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func TestNewID(t *testing.T) {
	t.Parallel()
	ids := make([]string, 1000)
	for n := range ids {
		ids[n] = store.NewID("pi")
		if len(ids[n]) != len("pi_")+32 || ids[n][:3] != "pi_" {
			t.Fatalf("id %q", ids[n])
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(ids)) != len(ids) {
		t.Error("ids of one process are not ascending")
	}
}

func TestTxCommitsOrLeavesNothing(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	create := func(id string, end error) error {
		return s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			if _, err := tx.CreateMerchant(ctx, store.Merchant{ID: id}); err != nil {
				return err
			}
			return end
		})
	}
	change := errors.New("changed my mind")
	if err := create("mer_no", change); !errors.Is(err, change) {
		t.Errorf("error %v", err)
	}
	if _, err := s.Merchant(t.Context(), "mer_no"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a rolled back merchant: %v", err)
	}
	if err := create("mer_yes", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Merchant(t.Context(), "mer_yes"); err != nil {
		t.Error(err)
	}
}

func TestTxRetriesWhatPostgresAsksFor(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		state string
		fails int // times in a row
		runs  int
		ok    bool
	}{
		{"serialization failure", "40001", 2, 3, true},
		{"deadlock", "40P01", 1, 2, true},
		{"lock timeout", "55P03", 5, 6, true},
		{"for ever", "40001", 1000, 6, false},
		{"unique violation", "23505", 1, 1, false},
		{"statement timeout", "57014", 1, 1, false},
	}
	var mu sync.Mutex
	counted := map[string]int{}
	s := storetest.Open(t, store.OnRetry(func(state string) {
		mu.Lock()
		defer mu.Unlock()
		counted[state]++
	}))
	retries := map[string]int{}
	for _, tt := range tests {
		runs := 0
		err := s.Tx(t.Context(), func(context.Context, *store.Tx) error {
			if runs++; runs <= tt.fails {
				return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: tt.state})
			}
			return nil
		})
		if runs != tt.runs || (err == nil) != tt.ok {
			t.Errorf("%s: %d runs, %v", tt.name, runs, err)
		}
		if tt.runs > 1 {
			retries[tt.state] += tt.runs - 1
		}
	}
	for state, n := range retries {
		if counted[state] != n {
			t.Errorf("%s: %d retries were counted, not %d", state, counted[state], n)
		}
	}
}

func TestTxStopsRetryingWithItsContext(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := s.Tx(ctx, func(context.Context, *store.Tx) error {
		runs++
		cancel()
		return &pgconn.PgError{Code: "40001"}
	})
	if err == nil || runs != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

func TestRememberOnlyAfterCommit(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	remember := func(value int, end error) {
		_ = s.Tx(t.Context(), func(_ context.Context, tx *store.Tx) error {
			tx.Remember("fact", value)
			return end
		})
	}
	recall := func() (value any, ok bool) {
		storetest.Tx(t, s, func(_ context.Context, tx *store.Tx) error {
			value, ok = tx.Recall("fact")
			return nil
		})
		return value, ok
	}
	remember(1, errors.New("roll back"))
	if v, ok := recall(); ok {
		t.Errorf("a rolled back fact is remembered: %v", v)
	}
	remember(2, nil)
	if v, ok := recall(); !ok || v != 2 {
		t.Errorf("recalled %v, %v", v, ok)
	}
}

func TestErrorsSayWhatTheyMean(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 0)
	tests := []struct {
		name string
		want error
		run  func(ctx context.Context, tx *store.Tx) error
	}{
		{"unique key", store.ErrConflict, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateMerchant(ctx, store.Merchant{ID: m.ID})
			return err
		}},
		{"check", store.ErrRefused, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateMerchant(ctx, store.Merchant{ID: "not a merchant"})
			return err
		}},
		{"foreign key", store.ErrRefused, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateAPIKey(ctx, store.APIKey{ID: "k", MerchantID: "mer_none", Mode: "test", Hash: make([]byte, 32)})
			return err
		}},
		{"no row", store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.GetMerchant(ctx, "mer_none") // generated code maps its errors, too
			return err
		}},
		{"funds", store.ErrInsufficientFunds, func(ctx context.Context, tx *store.Tx) error {
			_, err := storetest.Accept(ctx, tx, storetest.Order(m.ID, 1), "key")
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var inside error
			outside := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
				inside = tt.run(ctx, tx)
				return inside
			})
			if !errors.Is(inside, tt.want) || !errors.Is(outside, tt.want) {
				t.Errorf("inside %v, outside %v, want %v", inside, outside, tt.want)
			}
		})
	}
}

// What only commit finds out has the same meaning.
func TestErrorsOfCommit(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 10)
	err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return tx.ClaimIdempotency(ctx, store.IdempotencyKey{MerchantID: m.ID, Mode: payment.Live, Route: "POST /x", Key: "k", RequestHash: []byte{1}})
	})
	if !errors.Is(err, store.ErrRefused) || store.SQLState(err) != "23514" {
		t.Errorf("a claim without its answer: %v", err)
	}
}

func TestOpenRefusesWhatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://127.0.0.1:1/none?connect_timeout=2", "not a url"} {
		if s, err := store.Open(t.Context(), url); err == nil {
			s.Close()
			t.Errorf("%s was opened", url)
		}
	}
}

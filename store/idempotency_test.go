package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func key(merchantID, name string) store.IdempotencyKey {
	return store.IdempotencyKey{
		MerchantID: merchantID, Mode: payment.Live, Route: "POST /v1/payment_intents", Key: name, RequestHash: []byte("hash"),
	}
}

func TestIdempotencyRecord(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 0)
	k := key(m.ID, "k")
	body := []byte(`{"a": 1 }`) // not canonical on purpose: bytes are replayed as they were

	if rec, err := s.FindIdempotency(t.Context(), k); rec != nil || err != nil {
		t.Fatalf("before: %v, %v", rec, err)
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.ClaimIdempotency(ctx, k); err != nil {
			return err
		}
		return tx.StoreIdempotency(ctx, k, "pi_1", 201, body)
	})
	rec, err := s.FindIdempotency(t.Context(), k)
	if err != nil || rec == nil {
		t.Fatal(rec, err)
	}
	if rec.ResourceID != "pi_1" || rec.Status != 201 || string(rec.Body) != string(body) || rec.CreatedAt.IsZero() {
		t.Errorf("stored %+v", rec)
	}
	if !rec.Matches([]byte("hash")) || rec.Matches([]byte("other")) {
		t.Error("the record does not tell its request from another")
	}
	for name, take := range map[string]func(context.Context, *store.Tx) error{
		"claim": func(ctx context.Context, tx *store.Tx) error { return tx.ClaimIdempotency(ctx, k) },
		"insert": func(ctx context.Context, tx *store.Tx) error {
			return tx.InsertIdempotency(ctx, store.IdempotencyRecord{IdempotencyKey: k, Status: 201, Body: body})
		},
		"store again": func(ctx context.Context, tx *store.Tx) error {
			return tx.StoreIdempotency(ctx, k, "pi_2", 500, nil)
		},
	} {
		if err := s.Tx(t.Context(), take); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, other := range map[string]func(k *store.IdempotencyKey){
		"key":      func(k *store.IdempotencyKey) { k.Key = "other" },
		"mode":     func(k *store.IdempotencyKey) { k.Mode = payment.Test },
		"route":    func(k *store.IdempotencyKey) { k.Route = "POST /v1/webhook_endpoints" },
		"merchant": func(k *store.IdempotencyKey) { k.MerchantID = storetest.Merchant(t, s, 0).ID },
	} {
		k := k
		other(&k)
		if rec, err := s.FindIdempotency(t.Context(), k); rec != nil || err != nil {
			t.Errorf("another %s finds it: %v, %v", name, rec, err)
		}
		storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.InsertIdempotency(ctx, store.IdempotencyRecord{IdempotencyKey: k, Status: 200})
		})
	}
	if n, err := s.ForgetIdempotency(t.Context(), rec.CreatedAt); err != nil || n != 0 {
		t.Errorf("forgot %d too early, %v", n, err)
	}
	if n, err := s.ForgetIdempotency(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 5 {
		t.Errorf("forgot %d of 5, %v", n, err)
	}
}

// A claim without an answer would be replayed as nothing.
func TestClaimWithoutAnswerCannotCommit(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 0)
	err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return tx.ClaimIdempotency(ctx, key(m.ID, "k")) })
	if !errors.Is(err, store.ErrRefused) {
		t.Errorf("committed: %v", err)
	}
}

// A merchant's client that retries too eagerly: 200 requests with one key at
// once, and money for just one. One intent and one hold come of it, and every
// request gets the same answer.
func TestConcurrentCreatesWithOneKey(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 100)
	k := key(m.ID, "k")
	create := func(ctx context.Context) (string, error) {
		rec, err := s.FindIdempotency(ctx, k)
		if err != nil {
			return "", err
		}
		if rec != nil {
			return string(rec.Body), nil
		}
		var body string
		err = s.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.ClaimIdempotency(ctx, k); err != nil {
				return err
			}
			i, err := storetest.Accept(ctx, tx, storetest.Order(m.ID, 100), k.Key)
			if err != nil {
				return err
			}
			body = fmt.Sprintf("created %s", i.ID)
			return tx.StoreIdempotency(ctx, k, i.ID, 201, []byte(body))
		})
		if errors.Is(err, store.ErrConflict) {
			rec, err := s.FindIdempotency(ctx, k)
			if err != nil {
				return "", err
			}
			return string(rec.Body), nil
		}
		return body, err
	}

	answers := make([]string, 200)
	var group sync.WaitGroup
	for n := range answers {
		group.Go(func() {
			var err error
			if answers[n], err = create(t.Context()); err != nil {
				t.Errorf("request %d: %v", n, err)
			}
		})
	}
	group.Wait()
	for n, a := range answers {
		if a == "" || a != answers[0] {
			t.Fatalf("request %d got %q, request 0 %q", n, a, answers[0])
		}
	}
	list, _, err := s.ListIntents(t.Context(), store.ListFilter{MerchantID: m.ID, Mode: payment.Live}, nil, 10)
	if err != nil || len(list) != 1 {
		t.Errorf("%d intents, %v", len(list), err)
	}
	balance, err := ledger.MerchantBalance(t.Context(), s, ledger.Holder{MerchantID: m.ID, Mode: payment.Live}, payment.USDC)
	if err != nil || balance.Held != payment.Units(100) || !balance.Available.IsZero() {
		t.Errorf("balance %+v, %v", balance, err)
	}
	report, err := ledger.Check(t.Context(), s)
	if err != nil || !report.Clean() || report.Transfers != 2 {
		t.Errorf("check: %+v, %v", report, err)
	}
}

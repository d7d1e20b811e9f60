package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func TestMerchantLimits(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	review, limit := payment.Units(5), payment.Units(9)
	var made store.Merchant
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		made, err = tx.CreateMerchant(ctx, store.Merchant{Name: "Acme", ReviewAbove: &review, MaxAmount: &limit})
		return err
	})
	got, err := s.Merchant(t.Context(), made.ID)
	if err != nil || got.Name != "Acme" || *got.ReviewAbove != review || *got.MaxAmount != limit {
		t.Errorf("%+v, %v", got, err)
	}
	if unlimited := storetest.Merchant(t, s, 0); unlimited.ReviewAbove != nil || unlimited.MaxAmount != nil {
		t.Errorf("no limits came back as %+v", unlimited)
	}
}

func TestAPIKeyLife(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	m := storetest.Merchant(t, s, 0)
	expires := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	k := store.APIKey{
		ID: "ab12cd34", MerchantID: m.ID, Mode: payment.Test, PepperID: "p1", Hash: bytes.Repeat([]byte{7}, 32),
		Scopes: []string{"intents:write"}, Name: "ci", ExpiresAt: &expires,
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateAPIKey(ctx, k)
		return err
	})
	got, merchant, err := s.Principal(t.Context(), k.ID)
	if err != nil || merchant != m || got.MerchantID != m.ID || got.Mode != payment.Test || !bytes.Equal(got.Hash, k.Hash) ||
		got.Scopes[0] != "intents:write" || !got.ExpiresAt.Equal(expires) || got.RevokedAt != nil {
		t.Errorf("%+v, %v", got, err)
	}

	revoke := func() (revoked store.APIKey) {
		storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			revoked, err = tx.RevokeAPIKey(ctx, k.ID)
			return err
		})
		return revoked
	}
	first, again := revoke(), revoke()
	if first.RevokedAt == nil || !again.RevokedAt.Equal(*first.RevokedAt) {
		t.Errorf("revoked at %v, then at %v", first.RevokedAt, again.RevokedAt)
	}
	err = s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.RevokeAPIKey(ctx, "none")
		return err
	})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked a key that is not there: %v", err)
	}
}

func TestIsBlocked(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(
			tx.BlockAddress(ctx, "ethereum", "0xbad", "old reason"),
			tx.BlockAddress(ctx, "ethereum", "0xbad", "sanctioned"),
			tx.BlockAddress(ctx, store.EveryChain, "0xworse", "stolen funds"),
		)
	})
	tests := []struct {
		chain   payment.Chain
		address string
		reason  string
	}{
		{"ethereum", "0xbad", "sanctioned"},
		{"solana", "0xbad", ""},
		{"ethereum", "0xworse", "stolen funds"},
		{"solana", "0xworse", "stolen funds"},
		{"ethereum", "0xgood", ""},
	}
	for _, tt := range tests {
		reason, blocked, err := s.IsBlocked(t.Context(), tt.chain, tt.address)
		if err != nil || reason != tt.reason || blocked != (tt.reason != "") {
			t.Errorf("%s on %s: %q, %v, %v", tt.address, tt.chain, reason, blocked, err)
		}
	}
}

func TestAuditIsWrittenWithTheAct(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	entry := store.AuditEntry{
		Actor: "ops@example.com", Action: "review.approve", ObjectID: "pi_1", Reason: "known payee", RequestID: "req_1",
		Detail: map[string]int{"n": 1},
	}
	undo := errors.New("undo")
	err := s.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return errors.Join(tx.Audit(ctx, entry), undo) })
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.Audit(ctx, entry), tx.Audit(ctx, store.AuditEntry{Actor: "system", Action: "x", ObjectID: "pi_1"}))
	})
	log, err := s.AuditLog(t.Context(), "pi_1")
	if err != nil || len(log) != 2 {
		t.Fatalf("%+v, %v", log, err)
	}
	if log[0].Actor != entry.Actor || log[0].Reason != entry.Reason || string(log[0].Detail) != `{"n": 1}` || string(log[1].Detail) != "{}" {
		t.Errorf("%+v", log)
	}
}

func TestLatestConditions(t *testing.T) {
	t.Parallel()
	s := storetest.Open(t)
	at := time.Now()
	for _, o := range []struct {
		chain  payment.Chain
		worker string
		head   string
		at     time.Time
	}{
		{"ethereum", "w1", "1", at},
		{"ethereum", "w2", "2", at.Add(time.Second)},
		{"ethereum", "w1", "3", at.Add(2 * time.Second)},
		{"ethereum", "w1", "late", at.Add(time.Second)}, // arrives after a newer one of its worker
		{"solana", "w2", "4", at},
	} {
		if err := s.SaveConditions(t.Context(), o.chain, o.worker, json.RawMessage(`"`+o.head+`"`), o.at); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.LatestConditions(t.Context())
	if err != nil || len(got) != 2 || string(got["ethereum"]) != `"3"` || string(got["solana"]) != `"4"` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestUseOfAKeyIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	s, url := storetest.OpenURL(t)
	sql := storetest.SQL(t, url)
	m := storetest.Merchant(t, s, 0)
	storetest.Tx(t, s, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.CreateAPIKey(ctx, store.APIKey{ID: "k1", MerchantID: m.ID, Mode: payment.Live, PepperID: "p", Hash: make([]byte, 32)})
		return err
	})
	noted := func() (at *time.Time) {
		t.Helper()
		if err := s.NoteKeyUse(t.Context(), "k1"); err != nil {
			t.Fatal(err)
		}
		if err := sql.QueryRow(t.Context(), "SELECT last_used_at FROM api_keys WHERE id = 'k1'").Scan(&at); err != nil || at == nil {
			t.Fatal(at, err)
		}
		return at
	}
	first := noted()
	if again := noted(); !again.Equal(*first) {
		t.Errorf("noted at %s and again at %s", first, again)
	}
	if _, err := sql.Exec(t.Context(), "UPDATE api_keys SET last_used_at = last_used_at - interval '1 minute'"); err != nil {
		t.Fatal(err)
	}
	if later := noted(); later.Before(*first) {
		t.Errorf("not noted a minute later: %s", later)
	}
	if err := s.NoteKeyUse(t.Context(), "none"); err != nil {
		t.Errorf("a key that does not exist: %v", err)
	}
}

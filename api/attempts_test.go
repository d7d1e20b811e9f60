package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// tried gives a routed payment an attempt that died, with everything
// that is stored of one.
func (b *bench) tried(id string) {
	b.t.Helper()
	storetest.Tx(b.t, b.store, func(ctx context.Context, tx *store.Tx) error {
		attempt, err := storetest.OpenAttempt(ctx, tx, id, json.RawMessage("{}"))
		if err != nil {
			return err
		}
		slot := store.NewID("slot")
		if err := tx.InsertSlot(ctx, db.InsertSlotParams{ID: slot, AttemptID: attempt, IntentID: id, Chain: "ethereum", Kind: "eip3009",
			Authority: "secret-authority", Nonce: "secret-nonce", Authorization: json.RawMessage(`{"signature": "secret-signature"}`)}); err != nil {
			return err
		}
		for _, purpose := range []string{"payment", "payment", "cancel"} {
			hash := store.NewID("0xhash-" + purpose)
			if err := tx.InsertTransaction(ctx, db.InsertTransactionParams{ID: "tx_" + hash, Chain: "ethereum", Hash: hash, Raw: []byte("secret-bytes"), Sender: "secret-lane", Purpose: purpose, GasLimit: 1}); err != nil {
				return err
			}
			if err := tx.LinkTransaction(ctx, db.LinkTransactionParams{TransactionID: "tx_" + hash, AttemptID: attempt, SlotID: slot}); err != nil {
				return err
			}
			if err := tx.MarkSending(ctx, []string{"tx_" + hash}); err != nil {
				return err
			}
			if purpose == "cancel" {
				if _, err := tx.InsertTransactionResult(ctx, db.InsertTransactionResultParams{TransactionID: "tx_" + hash, Succeeded: true, BlockHash: "0xblock", BlockHeight: 7, EffectiveAt: time.Now()}); err != nil {
					return err
				}
			}
		}
		if err := tx.InsertOutcome(ctx, db.InsertOutcomeParams{SlotID: slot, IntentID: id, Result: "dead", Chain: "ethereum", EffectiveAt: time.Now(),
			Proof: json.RawMessage(`{"kind": "dead", "node": "secret-node", "observed": {"node": "secret-node", "height": 7},
				"witnesses": [{"node": "secret-node", "proof": {"kind": "dead", "node": "secret-node"}}], "signatures": ["a", "b"], "guard": null}`)}); err != nil {
			return err
		}
		return tx.CloseSlot(ctx, db.CloseSlotParams{ID: slot, State: "dead"})
	})
}

// Whoever reads the attempts can neither send what was signed, nor get in the
// way of it, nor learn which nodes we ask.
func TestAttemptsKeepSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.create().id()
	storetest.Advance(t, b.store, id, payment.Routed)
	b.tried(id)
	a := b.do("GET", list+"/"+id+"/attempts", nil).want(200)
	if strings.Contains(string(a.raw), "secret") {
		t.Errorf("attempts show too much: %s", a.raw)
	}
	slot := a.data()[0]["slots"].([]any)[0].(map[string]any)
	var signed []string
	for _, x := range slot["transactions"].([]any) {
		m := x.(map[string]any)
		signed = append(signed, fmt.Sprint(m["purpose"], " ", strings.HasPrefix(m["hash"].(string), "0xhash-"), " ", m["sent_at"] != nil, " ", m["result"] != nil))
	}
	if got := strings.Join(signed, ", "); got != "payment true true false, payment true true false, cancel true true true" {
		t.Errorf("transactions: %s", got)
	}
	proof, err := json.Marshal(slot["outcome"].(map[string]any)["proof"])
	if err != nil || string(proof) != `{"guard":null,"kind":"dead","observed":{"height":7},"signatures":["a","b"],"witnesses":[{"proof":{"kind":"dead"}}]}` {
		t.Errorf("proof: %s, %v", proof, err)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	b := setup(t)
	endpoint := b.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com/hook","event_types":["*"]}`).want(201).id()
	id := b.create().id()
	event := b.do("GET", list+"/"+id+"/events", nil).want(200).data()[0]["id"].(string)
	storetest.Advance(t, b.store, id, payment.Routed)
	b.tried(id)
	storetest.Advance(t, b.store, id, payment.ManualReview)
	storetest.End(t, b.store, id, payment.Canceled)
	if _, err := b.sql.Exec(t.Context(), `INSERT INTO webhook_attempts (event_id, endpoint_id, attempt, status, duration_ms, sent_at)
		VALUES ($1, $2, 1, 404, 5, clock_timestamp()), ($1, $2, 2, 204, 5, clock_timestamp())`, event, endpoint); err != nil {
		t.Fatal(err)
	}
	a := b.do("GET", list+"/"+id+"/timeline", nil).want(200)
	var kinds []string
	var last string
	for _, e := range a.data() {
		kinds = append(kinds, e["kind"].(string))
		if at, _ := e["at"].(string); e["summary"] == "" || at == "" {
			t.Errorf("incomplete: %v", e)
		}
		last, _ = e["summary"].(string)
	}
	counts := map[string]int{}
	for _, kind := range kinds {
		counts[kind]++
	}
	want := map[string]int{"accepted": 1, "routed": 1, "signed": 1, "outbid": 1, "stopping": 1, "final": 1, "dead": 1, "review": 1, "canceled": 1, "webhook_failed": 1, "webhook_delivered": 1}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("kinds %v, want %v", counts, want)
	}
	if kinds[0] != "accepted" || !slices.Contains(kinds[:len(kinds)-2], "canceled") || last != "payment_intent.created was delivered to "+endpoint {
		t.Errorf("order %v, last %q", kinds, last)
	}
	if strings.Contains(string(a.raw), "secret") {
		t.Errorf("the timeline shows too much: %s", a.raw)
	}
}

package webhooks_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/settlehq/settle/webhooks"
)

// After Reseal the old master key may go: both secrets of an endpoint still
// sign, though neither was ever shown again.
func TestResealMovesSecretsToTheCurrentMasterKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r, e := b.endpoint("*")
	_, second, err := webhooks.RotateSecret(b.ctx, b.store, b.sealer, b.at(e), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.endpoint("*") // another, not rotated
	both := newSealer(t, "k2", map[string][]byte{"k1": key(1), "k2": key(2)})
	only2 := newSealer(t, "k2", map[string][]byte{"k2": key(2)})
	if _, err := webhooks.Reseal(b.ctx, b.store, only2); err == nil {
		t.Error("resealed without the old key")
	}
	for _, want := range []int{2, 0} {
		if n, err := webhooks.Reseal(b.ctx, b.store, both); err != nil || n != want {
			t.Errorf("resealed %d, %v; want %d", n, err, want)
		}
	}
	var secret, previous []byte
	var keyID string
	if err := b.sql.QueryRow(b.ctx, "SELECT secret, previous_secret, secret_key_id FROM webhook_endpoints WHERE id = $1", e.ID).Scan(&secret, &previous, &keyID); err != nil {
		t.Fatal(err)
	}
	raw, err := webhooks.DecodeSecret(second)
	if err != nil || keyID != "k2" || bytes.Contains(secret, raw) || bytes.Contains(previous, raw) {
		t.Errorf("stored under %s, %v", keyID, err)
	}
	after := webhooks.NewDeliverer(b.store, only2, newSender(t, webhooks.SenderConfig{Guard: loopback}))
	sum, err := after.DeliverPending(b.ctx, b.intent())
	if err != nil || sum.Delivered != 2 || r.Stats().Accepted != 1 { // r knows the first secret only
		t.Errorf("%+v, %v, %+v", sum, err, r.Stats())
	}
}

// Both secrets are sealed under the current master key when one is rotated.
func TestRotationSealsBothSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, e := b.endpoint("*")
	if _, _, err := webhooks.RotateSecret(b.ctx, b.store, b.sealer, b.at(e), webhooks.MaxOverlap+time.Second); err == nil {
		t.Error("overlap above the maximum was accepted")
	}
	both := newSealer(t, "k2", map[string][]byte{"k1": key(1), "k2": key(2)})
	if _, _, err := webhooks.RotateSecret(b.ctx, b.store, both, b.at(e), time.Hour); err != nil {
		t.Fatal(err)
	}
	only2 := newSealer(t, "k2", map[string][]byte{"k2": key(2)})
	var secret, previous []byte
	if err := b.sql.QueryRow(b.ctx, "SELECT secret, previous_secret FROM webhook_endpoints WHERE id = $1 AND secret_key_id = 'k2'", e.ID).Scan(&secret, &previous); err != nil {
		t.Fatal(err)
	}
	for _, sealed := range [][]byte{secret, previous} {
		if _, err := only2.Open(sealed, e.ID); err != nil {
			t.Error(err)
		}
	}
}

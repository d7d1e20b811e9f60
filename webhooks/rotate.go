package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Bounds of the time for which a rotated secret goes on signing.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
)

// newSealedSecret makes a signing secret for an endpoint, and its sealed form.
func newSealedSecret(sealer *Sealer, endpointID string) (secret string, sealed []byte, err error) {
	secret = NewSecret()
	key, err := DecodeSecret(secret)
	if err != nil {
		return "", nil, err
	}
	return secret, sealer.Seal(key, endpointID), nil
}

// RotateSecret gives an endpoint a new signing secret and returns it, once. For
// overlap (0 to MaxOverlap) requests carry the signatures of both secrets, the
// new one first; the secret before the previous one stops at once. It fails
// with store.ErrNotFound, or when the master key of the old secret is missing.
func RotateSecret(ctx context.Context, st *store.Store, sealer *Sealer, r EndpointRef, overlap time.Duration) (Endpoint, string, error) {
	if overlap < 0 || overlap > MaxOverlap {
		return Endpoint{}, "", fmt.Errorf("rotate secret of %s: overlap of %s, needs 0 to %s", r.ID, overlap, MaxOverlap)
	}
	secret, sealed, err := newSealedSecret(sealer, r.ID)
	if err != nil {
		return Endpoint{}, "", err
	}
	var row db.WebhookEndpoint
	err = st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		old, err := tx.LockMerchantWebhookEndpoint(ctx, db.LockMerchantWebhookEndpointParams{ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode)})
		if err != nil {
			return err
		}
		p := db.RotateWebhookSecretParams{ID: r.ID, Secret: sealed, SecretKeyID: sealer.KeyID()}
		if overlap > 0 {
			if p.PreviousSecret, err = sealer.reseal(old.Secret, r.ID); err != nil {
				return err
			}
			seconds := overlap.Seconds()
			p.OverlapSeconds = &seconds
		}
		row, err = tx.RotateWebhookSecret(ctx, p)
		return err
	})
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("rotate secret of %s: %w", r.ID, err)
	}
	return endpointOf(row), secret, nil
}

// Reseal seals every signing secret that is not under the sealer's current
// master key again, one endpoint per transaction, and returns how many
// endpoints it did. Afterwards the older master keys may be dropped. It stops
// at the first that does not open (ErrUnknownKey, ErrSealed); it may be run
// again, and while requests are sent.
func Reseal(ctx context.Context, st *store.Store, sealer *Sealer) (n int, err error) {
	ids, err := st.Queries().ListWebhookEndpointsToReseal(ctx, sealer.KeyID())
	if err != nil {
		return 0, fmt.Errorf("reseal webhook secrets: %w", err)
	}
	for _, id := range ids {
		if err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return resealOne(ctx, tx, sealer, id) }); err != nil {
			return n, fmt.Errorf("reseal secrets of %s: %w", id, err)
		}
		n++
	}
	return n, nil
}

func resealOne(ctx context.Context, tx *store.Tx, sealer *Sealer, id string) error {
	old, err := tx.LockWebhookEndpoint(ctx, id)
	if err != nil {
		return err
	}
	p := db.ResealWebhookSecretsParams{ID: id, SecretKeyID: sealer.KeyID()}
	if p.Secret, err = sealer.reseal(old.Secret, id); err != nil {
		return err
	}
	if old.PreviousSecret != nil {
		if p.PreviousSecret, err = sealer.reseal(old.PreviousSecret, id); err != nil {
			return err
		}
	}
	return tx.ResealWebhookSecrets(ctx, p)
}

package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// MaxEndpoints is how many enabled endpoints a merchant may have per mode.
const MaxEndpoints = 16

// Errors of endpoints.
var (
	// ErrEventType is wrapped with the event type that no event can match.
	ErrEventType = errors.New("webhook event type")
	// ErrTooManyEndpoints: the merchant has MaxEndpoints enabled in this mode.
	ErrTooManyEndpoints = fmt.Errorf("more than %d enabled webhook endpoints", MaxEndpoints)
	// ErrEndpointDisabled: nothing is sent to the endpoint before it is enabled.
	ErrEndpointDisabled = errors.New("webhook endpoint is disabled")
)

// EndpointState says whether events are sent to an endpoint.
type EndpointState string

// Endpoint states. Events that happen while an endpoint is disabled are not due
// at it, unless it asks for them later.
const (
	Enabled  EndpointState = "enabled"
	Disabled EndpointState = "disabled"
	deleted  EndpointState = "deleted" // as good as not there
)

// DisabledReason says who disabled an endpoint.
type DisabledReason string

// Reasons.
const (
	ByMerchant DisabledReason = "merchant" // asked for
	ByGone     DisabledReason = "gone"     // it answered 410
	ByFailing  DisabledReason = "failing"  // it failed for DisableAfter
)

// Endpoint is a merchant's URL that events are sent to, as the API and events
// show it. Its secret is shown when it is made, and never again.
type Endpoint struct {
	ID                   string         `json:"id" example:"we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object               string         `json:"object" enum:"webhook_endpoint"`
	MerchantID           string         `json:"-"`
	Mode                 payment.Mode   `json:"mode" enum:"test,live"`
	URL                  string         `json:"url"`
	Description          string         `json:"description"`
	EventTypes           []string       `json:"event_types" doc:"Exact types, \"*\", or a prefix that ends in \".*\""`
	APIVersion           string         `json:"api_version" doc:"Shape of the bodies, as of creation"`
	State                EndpointState  `json:"state" enum:"enabled,disabled"`
	DisabledReason       DisabledReason `json:"disabled_reason,omitempty" enum:"merchant,gone,failing" doc:"gone: it answered 410; failing: nothing but failures for five days"`
	Failures             int            `json:"failures" doc:"Attempts that failed since the last one that did not"`
	FailingSince         *time.Time     `json:"failing_since,omitempty" doc:"When the first of them was made"`
	PreviousSecretExpiry *time.Time     `json:"previous_secret_expires_at,omitempty" doc:"Until then requests are signed with the previous secret too"`
	CreatedAt            time.Time      `json:"created_at"`
	UpdatedAt            time.Time      `json:"updated_at"`
}

// EndpointRef names an endpoint of a merchant and mode. What it does not name
// exactly is store.ErrNotFound, as if it did not exist.
type EndpointRef struct {
	MerchantID string
	Mode       payment.Mode
	ID         string
}

// NewEndpoint is what a merchant asks for.
type NewEndpoint struct {
	MerchantID  string
	Mode        payment.Mode
	URL         string
	Description string
	EventTypes  []string // default: DefaultEventTypes
}

// CreateEndpoint stores an enabled endpoint and returns it with its signing
// secret, which cannot be read again. Errors: ErrURL, ErrAddressRefused,
// ErrEventType, ErrTooManyEndpoints, store.ErrNotFound (no such merchant).
func CreateEndpoint(ctx context.Context, st *store.Store, sealer *Sealer, guard Guard, n NewEndpoint) (Endpoint, string, error) {
	if err := guard.CheckURL(n.Mode, n.URL); err != nil {
		return Endpoint{}, "", err
	}
	types, err := eventTypes(n.EventTypes)
	if err != nil {
		return Endpoint{}, "", err
	}
	id := store.NewID("we")
	secret, sealed, err := newSealedSecret(sealer, id)
	if err != nil {
		return Endpoint{}, "", err
	}
	var row db.WebhookEndpoint
	err = st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockMerchant(ctx, n.MerchantID); err != nil {
			return fmt.Errorf("merchant %s: %w", n.MerchantID, err)
		}
		row, err = tx.InsertWebhookEndpoint(ctx, db.InsertWebhookEndpointParams{
			ID: id, MerchantID: n.MerchantID, Mode: string(n.Mode), Url: n.URL, Description: n.Description, EventTypes: types,
			ApiVersion: payment.APIVersion, Secret: sealed, SecretKeyID: sealer.KeyID(), MaxEndpoints: MaxEndpoints,
		})
		if errors.Is(err, store.ErrNotFound) {
			return ErrTooManyEndpoints
		}
		return err
	})
	if err != nil {
		return Endpoint{}, "", fmt.Errorf("create webhook endpoint: %w", err)
	}
	return endpointOf(row), secret, nil
}

// GetEndpoint returns one endpoint.
func GetEndpoint(ctx context.Context, st *store.Store, r EndpointRef) (Endpoint, error) {
	row, err := st.Queries().GetWebhookEndpoint(ctx, db.GetWebhookEndpointParams{ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode)})
	if err != nil {
		return Endpoint{}, fmt.Errorf("webhook endpoint %s: %w", r.ID, err)
	}
	return endpointOf(row), nil
}

// ListEndpoints returns a merchant's endpoints of one mode, oldest first,
// disabled ones included.
func ListEndpoints(ctx context.Context, st *store.Store, merchantID string, mode payment.Mode) ([]Endpoint, error) {
	rows, err := st.Queries().ListWebhookEndpoints(ctx, db.ListWebhookEndpointsParams{MerchantID: merchantID, Mode: string(mode)})
	if err != nil {
		return nil, fmt.Errorf("list webhook endpoints: %w", err)
	}
	endpoints := make([]Endpoint, len(rows))
	for i, row := range rows {
		endpoints[i] = endpointOf(row)
	}
	return endpoints, nil
}

// Changes are what a merchant wants to be different; nil stays as it is.
type Changes struct {
	URL         *string
	Description *string
	EventTypes  []string
}

// UpdateEndpoint changes where and what is sent, from the next attempt and the
// next event on. Errors as of CreateEndpoint, and store.ErrNotFound.
func UpdateEndpoint(ctx context.Context, st *store.Store, guard Guard, r EndpointRef, c Changes) (Endpoint, error) {
	if c.URL != nil {
		if err := guard.CheckURL(r.Mode, *c.URL); err != nil {
			return Endpoint{}, err
		}
	}
	if c.EventTypes != nil {
		var err error
		if c.EventTypes, err = eventTypes(c.EventTypes); err != nil {
			return Endpoint{}, err
		}
	}
	var row db.WebhookEndpoint
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		row, err = tx.UpdateWebhookEndpoint(ctx, db.UpdateWebhookEndpointParams{
			ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode), Url: c.URL, Description: c.Description, EventTypes: c.EventTypes,
		})
		return err
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("update webhook endpoint %s: %w", r.ID, err)
	}
	return endpointOf(row), nil
}

// EnableEndpoint sends to an endpoint again, from the next event on; what it
// missed is not sent by itself. Enabling twice is harmless. Errors:
// ErrTooManyEndpoints, store.ErrNotFound.
func EnableEndpoint(ctx context.Context, st *store.Store, r EndpointRef) (Endpoint, error) {
	var row db.WebhookEndpoint
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if _, err := tx.LockMerchant(ctx, r.MerchantID); err != nil {
			return err
		}
		row, err = tx.GetWebhookEndpoint(ctx, db.GetWebhookEndpointParams{ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode)})
		if err != nil || row.State == string(Enabled) {
			return err
		}
		row, err = tx.EnableWebhookEndpoint(ctx, db.EnableWebhookEndpointParams{ID: r.ID, MaxEndpoints: MaxEndpoints})
		if errors.Is(err, store.ErrNotFound) {
			return ErrTooManyEndpoints
		}
		return err
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("enable webhook endpoint %s: %w", r.ID, err)
	}
	return endpointOf(row), nil
}

// DisableEndpoint stops sending to an endpoint; disabling twice is harmless.
// What is still due at it is discarded when its turn comes.
func DisableEndpoint(ctx context.Context, st *store.Store, r EndpointRef) (Endpoint, error) {
	var row db.WebhookEndpoint
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		row, err = tx.DisableWebhookEndpoint(ctx, db.DisableWebhookEndpointParams{ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode)})
		return err
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("disable webhook endpoint %s: %w", r.ID, err)
	}
	return endpointOf(row), nil
}

// DeleteEndpoint disables an endpoint for ever and hides it. The log of what
// was sent to it stays with its events.
func DeleteEndpoint(ctx context.Context, st *store.Store, r EndpointRef) error {
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.DeleteWebhookEndpoint(ctx, db.DeleteWebhookEndpointParams{ID: r.ID, MerchantID: r.MerchantID, Mode: string(r.Mode)})
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete webhook endpoint %s: %w", r.ID, err)
	}
	return nil
}

func endpointOf(r db.WebhookEndpoint) Endpoint {
	return Endpoint{
		ID: r.ID, Object: "webhook_endpoint", MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode), URL: r.Url, Description: r.Description,
		EventTypes: r.EventTypes, APIVersion: r.ApiVersion, State: EndpointState(r.State), DisabledReason: DisabledReason(r.DisabledReason),
		Failures: int(r.Failures), FailingSince: payment.UTC(r.FailingSince), PreviousSecretExpiry: payment.UTC(r.PreviousSecretUntil),
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
}

package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

const (
	// MaxEndpoints is how many enabled endpoints a merchant may have per mode.
	MaxEndpoints = 16

	maxEventTypes = 32
)

// Errors of endpoints.
var (
	// ErrEventType is wrapped with the event type that no event can match.
	ErrEventType = errors.New("webhook event type")
	// ErrTooManyEndpoints: the merchant has MaxEndpoints enabled in this mode.
	ErrTooManyEndpoints = fmt.Errorf("more than %d enabled webhook endpoints", MaxEndpoints)
)

// EndpointState says whether events are sent to an endpoint.
type EndpointState string

// Endpoint states. Events that happen while an endpoint is disabled are never
// due at it.
const (
	Enabled  EndpointState = "enabled"
	Disabled EndpointState = "disabled"
)

// Endpoint is a merchant's URL that events are sent to. Its secret is shown
// once, by CreateEndpoint.
type Endpoint struct {
	ID         string
	MerchantID string
	Mode       payment.Mode
	URL        string
	EventTypes []string // exact, "*", or a prefix that ends in ".*"
	APIVersion string   // shape of the bodies, as of creation
	State      EndpointState
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// NewEndpoint is what a merchant asks for.
type NewEndpoint struct {
	MerchantID string
	Mode       payment.Mode
	URL        string
	EventTypes []string // default: DefaultEventTypes
}

// DefaultEventTypes are the ends of a payment, and the one state in which it
// waits for a person.
func DefaultEventTypes() []string {
	var types []string
	for _, s := range []payment.Status{payment.Settled, payment.Failed, payment.Canceled, payment.Expired, payment.Rejected, payment.ManualReview} {
		types = append(types, string(payment.EventTypeOf(s)))
	}
	return types
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
	secret := NewSecret()
	key, err := DecodeSecret(secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	id := store.NewID("we")
	var row db.WebhookEndpoint
	err = st.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.LockMerchant(ctx, n.MerchantID); err != nil {
			return fmt.Errorf("merchant %s: %w", n.MerchantID, err)
		}
		row, err = tx.InsertWebhookEndpoint(ctx, db.InsertWebhookEndpointParams{
			ID: id, MerchantID: n.MerchantID, Mode: string(n.Mode), Url: n.URL, EventTypes: types,
			ApiVersion: payment.APIVersion, Secret: sealer.Seal(key, id), SecretKeyID: sealer.KeyID(),
			MaxEndpoints: MaxEndpoints,
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

// DisableEndpoint stops sending to an endpoint; disabling twice is harmless.
// What is still due at it is discarded when its turn comes. store.ErrNotFound
// if the merchant has no such endpoint in this mode.
func DisableEndpoint(ctx context.Context, st *store.Store, merchantID string, mode payment.Mode, id string) (Endpoint, error) {
	var row db.WebhookEndpoint
	err := st.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		row, err = tx.DisableWebhookEndpoint(ctx, db.DisableWebhookEndpointParams{ID: id, MerchantID: merchantID, Mode: string(mode)})
		return err
	})
	if err != nil {
		return Endpoint{}, fmt.Errorf("disable webhook endpoint %s: %w", id, err)
	}
	return endpointOf(row), nil
}

// eventTypes checks a subscription and fills in the default. A type that no
// event has is refused, because it would be silent for ever.
func eventTypes(asked []string) ([]string, error) {
	if len(asked) == 0 {
		return DefaultEventTypes(), nil
	}
	if len(asked) > maxEventTypes {
		return nil, fmt.Errorf("%w: %d of them, at most %d", ErrEventType, len(asked), maxEventTypes)
	}
	known := []string{string(payment.IntentUpdated)}
	for _, s := range payment.Statuses() {
		known = append(known, string(payment.EventTypeOf(s)))
	}
	for _, t := range asked {
		prefix, wild := strings.CutSuffix(t, "*")
		wild = wild && (prefix == "" || strings.HasSuffix(prefix, "."))
		if !slices.ContainsFunc(known, func(k string) bool { return k == t || wild && strings.HasPrefix(k, prefix) }) {
			return nil, fmt.Errorf("%w: %q matches none of %s", ErrEventType, t, strings.Join(known, ", "))
		}
	}
	types := slices.Clone(asked)
	slices.Sort(types)
	return slices.Compact(types), nil
}

func endpointOf(r db.WebhookEndpoint) Endpoint {
	return Endpoint{
		ID: r.ID, MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode), URL: r.Url, EventTypes: r.EventTypes,
		APIVersion: r.ApiVersion, State: EndpointState(r.State), CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
}

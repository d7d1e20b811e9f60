package webhooks_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/webhooks/receiver"
)

// bundle is a merchant with money, and a deliverer.
type bundle struct {
	*testing.T
	store     *store.Store
	sql       *pgx.Conn
	sealer    *webhooks.Sealer
	deliverer *webhooks.Deliverer
	merchant  string
	lines     *observer.ObservedLogs
	ctx       context.Context // carries the logger behind lines
}

func setup(t *testing.T) *bundle {
	t.Helper()
	s, url := storetest.OpenURL(t)
	b := &bundle{T: t, store: s, sql: storetest.SQL(t, url), sealer: newSealer(t, "k1", map[string][]byte{"k1": key(1)})}
	b.deliverer = webhooks.NewDeliverer(s, b.sealer, newSender(t, webhooks.SenderConfig{Guard: loopback}))
	b.merchant = storetest.Merchant(t, s, 0).ID
	storetest.Deposit(t, s, b.merchant, payment.Test, 1_000_000)
	core, lines := observer.New(zap.InfoLevel)
	b.lines, b.ctx = lines, telemetry.WithLogger(t.Context(), zap.New(core))
	return b
}

// endpoint makes a receiver and subscribes it.
func (b *bundle) endpoint(types ...string) (*receiver.Receiver, webhooks.Endpoint) {
	b.Helper()
	r, err := receiver.New()
	if err != nil {
		b.Fatal(err)
	}
	e, secret := b.subscribe(r, types...)
	if err := r.AddSecret(secret); err != nil {
		b.Fatal(err)
	}
	return r, e
}

func (b *bundle) subscribe(h http.Handler, types ...string) (webhooks.Endpoint, string) {
	b.Helper()
	srv := httptest.NewServer(h)
	b.Cleanup(srv.Close)
	e, secret, err := webhooks.CreateEndpoint(b.ctx, b.store, b.sealer, loopback, webhooks.NewEndpoint{
		MerchantID: b.merchant, Mode: payment.Test, URL: srv.URL, EventTypes: types,
	})
	if err != nil {
		b.Fatal(err)
	}
	return e, secret
}

// at names an endpoint.
func (b *bundle) at(e webhooks.Endpoint) webhooks.EndpointRef {
	return webhooks.EndpointRef{MerchantID: e.MerchantID, Mode: e.Mode, ID: e.ID}
}

// intent makes one in test mode, which is one event: payment_intent.created.
func (b *bundle) intent() string {
	b.Helper()
	order := storetest.Order(b.merchant, 100)
	order.Mode = payment.Test
	storetest.Tx(b.T, b.store, func(ctx context.Context, tx *store.Tx) error {
		_, err := storetest.Accept(ctx, tx, order, order.ID)
		return err
	})
	return order.ID
}

func (b *bundle) deliverPending(intent string) webhooks.Summary {
	b.Helper()
	sum, err := b.deliverer.DeliverPending(b.ctx, intent)
	if err != nil {
		b.Fatal(err)
	}
	return sum
}

func (b *bundle) deliverOne(ref webhooks.DeliveryRef) webhooks.OneResult {
	b.Helper()
	res, err := b.deliverer.DeliverOne(b.ctx, ref.EventID, ref.EndpointID)
	if err != nil {
		b.Fatal(err)
	}
	return res
}

// elapse lets the wait of a delivery pass.
func (b *bundle) elapse(ref webhooks.DeliveryRef) {
	b.Helper()
	if _, err := b.sql.Exec(b.ctx, "UPDATE webhook_deliveries SET next_due = now() WHERE event_id = $1 AND endpoint_id = $2", ref.EventID, ref.EndpointID); err != nil {
		b.Fatal(err)
	}
}

// delivery reads where one stands, with its attempts.
func (b *bundle) delivery(ref webhooks.DeliveryRef) (db.DeliveryRow, []db.DeliveryAttemptsRow) {
	b.Helper()
	d, err := b.store.Queries().Delivery(b.ctx, db.DeliveryParams{EventID: ref.EventID, EndpointID: ref.EndpointID})
	if err != nil {
		b.Fatal(err)
	}
	a, err := b.store.Queries().DeliveryAttempts(b.ctx, db.DeliveryAttemptsParams{EventID: ref.EventID, EndpointID: ref.EndpointID})
	if err != nil {
		b.Fatal(err)
	}
	return d, a
}

func (b *bundle) ref(e webhooks.Endpoint, intent string) webhooks.DeliveryRef {
	b.Helper()
	ref := webhooks.DeliveryRef{EndpointID: e.ID}
	err := b.sql.QueryRow(b.ctx, "SELECT event_id FROM webhook_deliveries WHERE endpoint_id = $1 AND intent_id = $2", e.ID, intent).Scan(&ref.EventID)
	if err != nil {
		b.Fatal(err)
	}
	return ref
}

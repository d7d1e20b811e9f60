package activities_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// An attempt that fails because of us is made again soon, as often as it takes:
// neither does it use up the schedule, nor grows the wait.
func TestDeliveryWaitsShortlyForUs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guard := webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	sealer := func(id string, n byte) *webhooks.Sealer {
		s, err := webhooks.NewSealer(id, map[string][]byte{id: bytes.Repeat([]byte{n}, 32)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	endpoint, _, err := webhooks.CreateEndpoint(t.Context(), w.store, sealer("k1", 1), guard, webhooks.NewEndpoint{
		MerchantID: w.merchant.ID, Mode: payment.Live, URL: "https://127.0.0.1:1", EventTypes: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	order := storetest.Order(w.merchant.ID, 100)
	storetest.Tx(t, w.store, func(ctx context.Context, tx *store.Tx) error {
		_, err := storetest.Accept(ctx, tx, order, order.ID)
		return err
	})
	sender := webhooks.NewSender(webhooks.SenderConfig{Guard: guard})
	defer sender.Close()
	w.steps.Deliverer = webhooks.NewDeliverer(w.store, sealer("k2", 2), sender) // the key is lost
	ref := activities.DeliveryRef{EndpointID: endpoint.ID}
	if err := w.sql.QueryRow(t.Context(), "SELECT event_id FROM webhook_deliveries WHERE intent_id = $1", order.ID).Scan(&ref.EventID); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := w.steps.RetryWebhook(t.Context(), ref)
		var failed *temporal.ApplicationError
		if !errors.As(err, &failed) || failed.NonRetryable() || failed.NextRetryDelay() != 30*time.Second || failed.Unwrap() == nil {
			t.Fatalf("%v, to be tried again as %+v", err, failed)
		}
	}
	ref.EventID = "evt_none"
	var failed *temporal.ApplicationError
	if _, err := w.steps.RetryWebhook(t.Context(), ref); !errors.As(err, &failed) || !failed.NonRetryable() {
		t.Errorf("what does not exist: %v", err)
	}
}

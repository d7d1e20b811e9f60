package webhooks_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

func TestCreateEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t)
	create := func(n webhooks.NewEndpoint) (webhooks.Endpoint, string, error) {
		if n.MerchantID == "" {
			n.MerchantID = b.merchant
		}
		return webhooks.CreateEndpoint(b.ctx, b.store, b.sealer, webhooks.Guard{}, n)
	}
	e, secret, err := create(webhooks.NewEndpoint{Mode: payment.Live, URL: "https://example.com/hook"})
	if err != nil {
		t.Fatal(err)
	}
	if e.State != webhooks.Enabled || e.Mode != payment.Live || e.APIVersion != payment.APIVersion || !slices.Equal(e.EventTypes, webhooks.DefaultEventTypes()) {
		t.Errorf("%+v", e)
	}
	if _, err := webhooks.DecodeSecret(secret); err != nil {
		t.Error(err)
	}
	var sealed []byte
	if err := b.sql.QueryRow(b.ctx, "SELECT secret FROM webhook_endpoints WHERE id = $1 AND secret_key_id = 'k1'", e.ID).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	raw, _ := webhooks.DecodeSecret(secret)
	if opened, err := b.sealer.Open(sealed, e.ID); err != nil || string(opened) != string(raw) {
		t.Errorf("the stored secret is not the one shown: %v", err)
	}

	for name, c := range map[string]struct {
		n    webhooks.NewEndpoint
		want error
	}{
		"http":             {webhooks.NewEndpoint{Mode: payment.Live, URL: "http://example.com"}, webhooks.ErrURL},
		"inside":           {webhooks.NewEndpoint{Mode: payment.Live, URL: "https://10.0.0.1"}, webhooks.ErrAddressRefused},
		"unknown type":     {webhooks.NewEndpoint{Mode: payment.Live, URL: "https://example.com", EventTypes: []string{"payment_intent.paid"}}, webhooks.ErrEventType},
		"half a prefix":    {webhooks.NewEndpoint{Mode: payment.Live, URL: "https://example.com", EventTypes: []string{"payment_int*"}}, webhooks.ErrEventType},
		"other object":     {webhooks.NewEndpoint{Mode: payment.Live, URL: "https://example.com", EventTypes: []string{"payout.*"}}, webhooks.ErrEventType},
		"unknown merchant": {webhooks.NewEndpoint{MerchantID: "mer_none", Mode: payment.Live, URL: "https://example.com"}, store.ErrNotFound},
	} {
		if _, secret, err := create(c.n); !errors.Is(err, c.want) || secret != "" {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	e, _, err = create(webhooks.NewEndpoint{Mode: payment.Test, URL: "https://example.com", EventTypes: []string{"payment_intent.settled", "*", "payment_intent.*", "*"}})
	if want := []string{"*", "payment_intent.*", "payment_intent.settled"}; err != nil || !slices.Equal(e.EventTypes, want) {
		t.Errorf("%v, %v", e.EventTypes, err)
	}
}

func TestEndpointsAreLimitedPerMerchantAndMode(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var refused atomic.Int32
	var wg sync.WaitGroup
	for range webhooks.MaxEndpoints + 3 {
		wg.Go(func() {
			_, _, err := webhooks.CreateEndpoint(b.ctx, b.store, b.sealer, webhooks.Guard{}, webhooks.NewEndpoint{
				MerchantID: b.merchant, Mode: payment.Live, URL: "https://example.com",
			})
			if errors.Is(err, webhooks.ErrTooManyEndpoints) {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := webhooks.ListEndpoints(b.ctx, b.store, b.merchant, payment.Live)
	if err != nil || len(list) != webhooks.MaxEndpoints || refused.Load() != 3 {
		t.Fatalf("%d endpoints, %d refused, %v", len(list), refused.Load(), err)
	}
	// a disabled one makes room
	if _, err := webhooks.DisableEndpoint(b.ctx, b.store, webhooks.EndpointRef{MerchantID: b.merchant, Mode: payment.Live, ID: list[0].ID}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := webhooks.CreateEndpoint(b.ctx, b.store, b.sealer, webhooks.Guard{}, webhooks.NewEndpoint{
		MerchantID: b.merchant, Mode: payment.Live, URL: "https://example.com",
	}); err != nil {
		t.Error(err)
	}
}

func TestMerchantsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, e := b.endpoint("*")
	other := storetest.Merchant(t, b.store, 0).ID
	for _, who := range []struct {
		merchant string
		mode     payment.Mode
	}{{other, payment.Test}, {b.merchant, payment.Live}} {
		if list, err := webhooks.ListEndpoints(b.ctx, b.store, who.merchant, who.mode); err != nil || len(list) != 0 {
			t.Errorf("%v: %v, %v", who, list, err)
		}
		if _, err := webhooks.DisableEndpoint(b.ctx, b.store, webhooks.EndpointRef{MerchantID: who.merchant, Mode: who.mode, ID: e.ID}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v: %v, want not found", who, err)
		}
	}
	for range 2 {
		if got, err := webhooks.DisableEndpoint(b.ctx, b.store, b.at(e)); err != nil || got.State != webhooks.Disabled {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

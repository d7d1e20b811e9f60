package api_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/webhooks/receiver"
)

// hooks is a merchant with test keys, an endpoint that is a real receiver, and
// a deliverer in the place of the workflows that the API starts.
type hooks struct {
	*bench
	deliverer *webhooks.Deliverer
	receiver  *receiver.Receiver
	at        string // path of the endpoint
	endpoint  string
	secret    string
}

func setupHooks(t *testing.T, types ...string) *hooks {
	t.Helper()
	b := setup(t)
	b.key = b.issue(b.merchant.ID, payment.Test)
	storetest.Deposit(t, b.store, b.merchant.ID, payment.Test, 1_000_000_000)
	h := &hooks{bench: b}
	sealer, err := webhooks.NewSealer("w1", map[string][]byte{"w1": bytes.Repeat([]byte{9, 4}, 16)})
	if err != nil {
		t.Fatal(err)
	}
	sender := webhooks.NewSender(webhooks.SenderConfig{Guard: webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}})
	t.Cleanup(sender.Close)
	h.deliverer = webhooks.NewDeliverer(b.store, sealer, sender)
	h.receiver, h.endpoint, h.secret = h.subscribe(types...)
	h.at = "/v1/webhook_endpoints/" + h.endpoint
	return h
}

func (h *hooks) subscribe(types ...string) (r *receiver.Receiver, id, secret string) {
	h.t.Helper()
	r, err := receiver.New()
	if err != nil {
		h.t.Fatal(err)
	}
	srv := httptest.NewServer(r)
	h.t.Cleanup(srv.Close)
	a := h.do("POST", "/v1/webhook_endpoints", map[string]any{"url": srv.URL, "event_types": types, "description": "the shop"}).want(201)
	secret = a.json["secret"].(string)
	if err := r.AddSecret(secret); err != nil {
		h.t.Fatal(err)
	}
	return r, a.id(), secret
}

// deliver makes the attempt that the API asked Temporal for.
func (h *hooks) deliver(event, endpoint string) webhooks.OneResult {
	h.t.Helper()
	if n := h.temporal.starts(event + "/" + endpoint); n == 0 {
		h.t.Errorf("no workflow was started for %s at %s", event, endpoint)
	}
	res, err := h.deliverer.DeliverOne(h.t.Context(), event, endpoint)
	if err != nil {
		h.t.Fatal(err)
	}
	return res
}

// pay makes one event, payment_intent.created, tries to deliver it, and returns
// its id.
func (h *hooks) pay() (event string) {
	h.t.Helper()
	id := h.create().id()
	if _, err := h.deliverer.DeliverPending(h.t.Context(), id); err != nil {
		h.t.Fatal(err)
	}
	return h.do("GET", "/v1/payment_intents/"+id+"/events", nil).want(200).data()[0]["id"].(string)
}

func TestWebhookEndpointIsChangedAndDeleted(t *testing.T) {
	t.Parallel()
	h := setupHooks(t)
	a := h.do("GET", h.at, nil).want(200)
	if a.id() != h.endpoint || a.json["description"] != "the shop" || a.json["state"] != "enabled" || a.json["secret"] != nil || a.json["failures"] != float64(0) {
		t.Errorf("got: %s", a.raw)
	}
	a = h.do("PATCH", h.at, `{"url":"https://example.com/new","event_types":["payment_intent.settled"]}`).want(200)
	if a.json["url"] != "https://example.com/new" || a.json["description"] != "the shop" || fmt.Sprint(a.json["event_types"]) != "[payment_intent.settled]" || a.json["api_version"] != payment.APIVersion {
		t.Errorf("changed: %s", a.raw)
	}
	for _, bad := range []struct {
		body    string
		code    api.Code
		pointer string
	}{
		{`{"url":"http://8.8.8.8/"}`, api.WebhookURLRefused, "#/url"},
		{`{"url":"ftp://example.com"}`, api.WebhookURLInvalid, "#/url"},
		{`{"event_types":["payment.paid"]}`, api.FieldInvalid, "#/event_types"},
		{`{"event_types":[]}`, api.FieldInvalid, "#/event_types"},
		{`{"description":"\u0000"}`, api.FieldInvalid, "#/description"},
		{`{"state":"enabled"}`, api.FieldUnknown, "#/state"},
	} {
		h.do("PATCH", h.at, bad.body).refused(422, bad.code, bad.pointer)
	}
	if a := h.do("POST", h.at+"/disable", nil).want(200); a.json["state"] != "disabled" || a.json["disabled_reason"] != "merchant" {
		t.Errorf("disabled: %s", a.raw)
	}
	h.do("POST", h.at+"/test", nil).refused(409, api.WebhookEndpointOff, "")
	for range 2 {
		if a := h.do("POST", h.at+"/enable", nil).want(200); a.json["state"] != "enabled" || a.json["disabled_reason"] != nil {
			t.Errorf("enabled: %s", a.raw)
		}
	}
	event := h.pay()
	h.do("DELETE", h.at, nil).want(204)
	for _, r := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/enable"}, {"POST", "/test"}, {"POST", "/rotate_secret"}, {"GET", "/deliveries"}} {
		h.do(r[0], h.at+r[1], nil).refused(404, api.NotFound, "")
	}
	if d := h.do("GET", "/v1/webhook_endpoints", nil).want(200).data(); len(d) != 0 {
		t.Errorf("listed: %v", d)
	}
	h.do("GET", "/v1/events/"+event+"/deliveries", nil).want(200)
}

func TestEnablingRespectsTheLimit(t *testing.T) {
	t.Parallel()
	h := setupHooks(t)
	h.do("POST", h.at+"/disable", nil).want(200)
	for range webhooks.MaxEndpoints {
		h.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com/more"}`).want(201)
	}
	h.do("POST", h.at+"/enable", nil).refused(409, api.WebhookEndpointLimit, "")
}

// Through a rotation a receiver that knows the old secret, the new one or both
// accepts every request; after it, only the new one counts.
func TestRotatedSecretsOverlap(t *testing.T) {
	t.Parallel()
	h := setupHooks(t, "*")
	rotate := func(body any) (secret string, expires any) {
		t.Helper()
		a := h.do("POST", h.at+"/rotate_secret", body).want(200)
		return a.json["secret"].(string), a.json["previous_secret_expires_at"]
	}
	accepted := func(secret string) bool {
		t.Helper()
		only, err := receiver.New(secret)
		if err != nil {
			t.Fatal(err)
		}
		srv := httptest.NewServer(only)
		defer srv.Close()
		h.do("PATCH", h.at, map[string]any{"url": srv.URL}).want(200)
		event := h.do("POST", h.at+"/test", nil).want(202).json["event_id"].(string)
		return h.deliver(event, h.endpoint).State == store.DeliveryDelivered
	}
	first := h.secret
	second, expires := rotate(nil)
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(expires)); err != nil || time.Until(at) < 23*time.Hour || time.Until(at) > 25*time.Hour {
		t.Errorf("by default the previous secret expires at %v, want in a day", expires)
	}
	if second == first || !accepted(first) || !accepted(second) {
		t.Error("during the overlap both secrets must verify")
	}
	// the default holds for every rotation, not just the first
	third, expires := rotate(nil)
	if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(expires)); err != nil || time.Until(at) < 23*time.Hour {
		t.Errorf("after the second rotation the previous secret expires at %v", expires)
	}
	if accepted(first) || !accepted(second) || !accepted(third) {
		t.Error("the current and the previous secret must verify, and no older one")
	}
	if _, err := h.sql.Exec(t.Context(), "UPDATE webhook_endpoints SET previous_secret_until = now() - interval '1 second'"); err != nil {
		t.Fatal(err)
	}
	if accepted(second) || !accepted(third) {
		t.Error("after the overlap only the current secret may verify")
	}
	fourth, expires := rotate(`{"expire_previous_after":0}`)
	if expires != nil || accepted(third) || !accepted(fourth) {
		t.Error("with expire_previous_after 0 the previous secret must stop at once")
	}
	h.do("POST", h.at+"/rotate_secret", `{"expire_previous_after":604801}`).refused(422, api.FieldInvalid, "#/expire_previous_after")
	h.do("POST", h.at+"/rotate_secret", `{"expire_previous_after":-1}`).refused(422, api.FieldInvalid, "#/expire_previous_after")
}

func TestDeliveryLogShowsEveryAttempt(t *testing.T) {
	t.Parallel()
	h := setupHooks(t, "payment_intent.created")
	h.receiver.FailNext(500, 1)
	failed, fine := h.pay(), h.pay()
	if failed == fine {
		t.Fatal("one event")
	}
	list := h.do("GET", h.at+"/deliveries", nil).want(200).data()
	if len(list) != 2 || list[0]["event_id"] != fine || list[0]["state"] != "delivered" || list[1]["state"] != "pending" || list[1]["next_due"] == nil || list[1]["event_type"] != "payment_intent.created" {
		t.Errorf("listed: %v", list)
	}
	if d := h.do("GET", h.at+"/deliveries?state=pending,exhausted", nil).want(200).data(); len(d) != 1 || d[0]["event_id"] != failed {
		t.Errorf("pending: %v", d)
	}
	page := h.do("GET", h.at+"/deliveries?limit=1", nil).want(200)
	next := h.do("GET", h.at+"/deliveries?limit=1&cursor="+page.json["next_cursor"].(string), nil).want(200)
	if page.data()[0]["event_id"] != fine || next.data()[0]["event_id"] != failed || next.json["has_more"] != false {
		t.Errorf("pages: %s, %s", page.raw, next.raw)
	}
	h.do("GET", h.at+"/deliveries?state=pending&cursor="+page.json["next_cursor"].(string), nil).refused(400, api.CursorInvalid, "query:cursor")

	if d := h.do("GET", "/v1/events/"+failed+"/deliveries", nil).want(200).data(); len(d) != 1 || d[0]["endpoint_id"] != h.endpoint {
		t.Errorf("of the event: %v", d)
	}
	a := h.do("GET", "/v1/events/"+failed+"/deliveries/"+h.endpoint, nil).want(200)
	attempt := a.json["attempts"].([]any)[0].(map[string]any)
	if attempt["status"] != float64(500) || attempt["response"] != "failing as told\n" || attempt["error"] != "answered 500" || attempt["duration_ms"] == nil || attempt["next_due"] == nil || attempt["sent_at"] == nil {
		t.Errorf("attempt: %v", attempt)
	}

	// nobody else sees any of it
	h.key = h.issue(storetest.Merchant(t, h.store, 0).ID, payment.Test)
	for _, path := range []string{h.at + "/deliveries", "/v1/events/" + failed + "/deliveries", "/v1/events/" + failed + "/deliveries/" + h.endpoint} {
		h.do("GET", path, nil).refused(404, api.NotFound, "")
	}
	h.do("POST", "/v1/events/"+failed+"/deliveries/"+h.endpoint+"/resend", nil).refused(404, api.NotFound, "")
	h.do("POST", h.at+"/replay", `{"since":"2026-01-01T00:00:00Z"}`).refused(404, api.NotFound, "")
}

// A resent event keeps its id, so receivers drop it if they have it, and its
// attempts are numbered on.
func TestEventIsResent(t *testing.T) {
	t.Parallel()
	h := setupHooks(t, "payment_intent.created")
	event := h.pay()
	path := "/v1/events/" + event + "/deliveries/" + h.endpoint
	for range 2 { // twice before the attempt is once
		if a := h.do("POST", path+"/resend", nil).want(202); a.json["state"] != "pending" || a.json["attempt_count"] != float64(1) {
			t.Errorf("resent: %s", a.raw)
		}
	}
	if res := h.deliver(event, h.endpoint); res.State != store.DeliveryDelivered || res.Attempt != 2 {
		t.Errorf("%+v", res)
	}
	if s := h.receiver.Stats(); s.Accepted != 1 || s.Duplicates != 1 {
		t.Errorf("%+v", s)
	}
	// one whose schedule has ended gets the whole schedule again
	if _, err := h.sql.Exec(t.Context(), "UPDATE webhook_deliveries SET state = 'exhausted', attempts = 10, next_due = NULL"); err != nil {
		t.Fatal(err)
	}
	h.do("POST", path+"/resend", nil).want(202)
	h.receiver.FailNext(500, 1)
	if res := h.deliver(event, h.endpoint); res.State != store.DeliveryPending || res.Attempt != 11 || res.NextDelay > 7*time.Second {
		t.Errorf("%+v", res)
	}
	// and one that waits is due at once
	h.do("POST", path+"/resend", nil).want(202)
	if res := h.deliver(event, h.endpoint); res.State != store.DeliveryDelivered || res.Attempt != 12 {
		t.Errorf("%+v", res)
	}
	h.do("POST", "/v1/events/evt_"+strings.Repeat("0", 32)+"/deliveries/"+h.endpoint+"/resend", nil).refused(404, api.NotFound, "")
	h.do("POST", h.at+"/disable", nil).want(200)
	h.do("POST", path+"/resend", nil).refused(409, api.WebhookEndpointOff, "")
}

// What an endpoint missed while it was disabled, and what failed before, comes
// back when it is asked for, and not by itself.
func TestReplayOfASpan(t *testing.T) {
	t.Parallel()
	h := setupHooks(t, "payment_intent.created")
	delivered := h.pay()
	h.receiver.FailNext(500, 1)
	failed := h.pay()
	h.do("POST", h.at+"/disable", nil).want(200)
	missed := h.pay()
	h.do("POST", h.at+"/replay", `{"since":"2026-01-01T00:00:00Z"}`).refused(409, api.WebhookEndpointOff, "")
	h.do("POST", h.at+"/enable", nil).want(200)
	if h.temporal.starts(missed+"/"+h.endpoint) != 0 || len(h.do("GET", h.at+"/deliveries", nil).data()) != 2 {
		t.Error("enabling replayed by itself")
	}
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for _, c := range []struct {
		status string
		events []string
	}{{"failed", []string{failed}}, {"missing", []string{missed}}, {"all", []string{delivered, failed, missed}}} {
		a := h.do("POST", h.at+"/replay", map[string]any{"since": since, "status": c.status}).want(202)
		if a.json["replayed"] != float64(len(c.events)) || a.json["has_more"] != false {
			t.Errorf("%s: %s", c.status, a.raw)
		}
		for _, event := range c.events {
			if res := h.deliver(event, h.endpoint); res.State != store.DeliveryDelivered {
				t.Errorf("%s: %+v", c.status, res)
			}
		}
		if again := h.do("POST", h.at+"/replay", map[string]any{"since": since, "status": c.status}).want(202); c.status != "all" && again.json["replayed"] != float64(0) {
			t.Errorf("%s again: %s", c.status, again.raw)
		}
	}
	if s := h.receiver.Stats(); s.Accepted != 3 || s.Duplicates != 3 || s.BadSignatures != 0 {
		t.Errorf("%+v", s)
	}
	past := h.do("POST", h.at+"/replay", map[string]any{"since": "2026-01-01T00:00:00Z", "until": since, "status": "all"}).want(202)
	if past.json["replayed"] != float64(0) {
		t.Errorf("an hour ago: %s", past.raw)
	}
	h.do("POST", h.at+"/replay", `{}`).refused(422, api.FieldMissing, "#/since")
	h.do("POST", h.at+"/replay", `{"since":"2026-01-01T00:00:00Z","status":"some"}`).refused(422, api.FieldInvalid, "#/status")
}

func TestReplayGoesInPages(t *testing.T) {
	t.Parallel()
	h := setupHooks(t, "payment_intent.created")
	h.do("POST", h.at+"/disable", nil).want(200)
	for range webhooks.MaxReplay + 1 {
		h.create(set("amount", "0.01"))
	}
	h.do("POST", h.at+"/enable", nil).want(200)
	body := map[string]any{"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "status": "all"}
	a := h.do("POST", h.at+"/replay", body).want(202)
	if a.json["replayed"] != float64(webhooks.MaxReplay) || a.json["has_more"] != true {
		t.Fatalf("first page: %s", a.raw)
	}
	body["cursor"] = a.json["next_cursor"]
	if a := h.do("POST", h.at+"/replay", body).want(202); a.json["replayed"] != float64(1) || a.json["has_more"] != false {
		t.Errorf("second page: %s", a.raw)
	}
	if d := h.do("GET", h.at+"/deliveries?limit=100", nil).want(200); d.json["has_more"] != true {
		t.Errorf("not all are due")
	}
}

// A test event goes the way of all others, to the one endpoint.
func TestTestEvent(t *testing.T) {
	t.Parallel()
	h := setupHooks(t, "payment_intent.settled")
	other, _, _ := h.subscribe("*")
	a := h.do("POST", h.at+"/test", nil).want(202)
	event, _ := a.json["event_id"].(string)
	if a.json["event_type"] != "webhook_endpoint.test" || a.json["state"] != "pending" || a.json["payment_intent_id"] != nil {
		t.Errorf("accepted: %s", a.raw)
	}
	if res := h.deliver(event, h.endpoint); res.State != store.DeliveryDelivered {
		t.Errorf("%+v", res)
	}
	got := h.receiver.Deliveries(h.endpoint)
	if len(got) != 1 || got[0].ID != event || got[0].Event.Type != webhooks.EndpointTest || strings.Contains(string(got[0].Body), "whsec_") {
		t.Errorf("received %+v", got)
	}
	if d := h.do("GET", "/v1/events/"+event+"/deliveries", nil).want(200).data(); len(d) != 1 || other.Stats() != (receiver.Stats{}) {
		t.Errorf("went to %v", d)
	}
	// Temporal being down delays it
	h.temporal.set(func(c *temporalDouble) { c.down = true })
	if a := h.do("POST", h.at+"/test", nil); a.StatusCode != http.StatusAccepted || a.json["state"] != "pending" {
		t.Errorf("without Temporal: %s", a.raw)
	}
}

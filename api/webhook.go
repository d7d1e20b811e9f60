package api

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
)

const endpointsPath = "/v1/webhook_endpoints"

func (s *Server) registerWebhooks() {
	const tag = "Webhooks"
	register(s, operation{
		method: http.MethodPost, path: endpointsPath, id: "create-webhook-endpoint", tag: tag, scope: WebhooksWrite, status: http.StatusCreated,
		summary: "Register a webhook endpoint",
		description: "The answer holds the signing secret, which is shown this once. Requests are signed by Standard Webhooks (standardwebhooks.com); " +
			"drop repeated webhook-id, and order by data.object.sequence.",
		errors: []int{http.StatusBadRequest, http.StatusConflict},
	}, s.createEndpoint)
	register(s, operation{
		method: http.MethodGet, path: endpointsPath, id: "list-webhook-endpoints", tag: tag, scope: WebhooksRead,
		summary: "List webhook endpoints, oldest first",
	}, s.listEndpoints)
	register(s, operation{
		method: http.MethodPost, path: endpointsPath + "/{id}/disable", id: "disable-webhook-endpoint", tag: tag, scope: WebhooksWrite,
		summary: "Stop sending to a webhook endpoint", description: "What is still due at it is discarded. Disabling twice is harmless.",
		errors: []int{http.StatusNotFound},
	}, s.disableEndpoint)
}

// WebhookEndpointRequest registers an endpoint.
type WebhookEndpointRequest struct {
	URL        string   `json:"url" minLength:"1" maxLength:"2048" doc:"https, on the public internet, port 443" example:"https://example.com/webhooks/settle"`
	EventTypes []string `json:"event_types,omitempty" maxItems:"32" doc:"Exact types, \"*\", or a prefix that ends in \".*\"; default: how payments end, and manual_review" example:"[\"payment_intent.*\"]"`
}

// WebhookEndpoint is a registered endpoint.
type WebhookEndpoint struct {
	ID         string                 `json:"id" example:"we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object     string                 `json:"object" enum:"webhook_endpoint"`
	Mode       payment.Mode           `json:"mode" enum:"test,live"`
	URL        string                 `json:"url"`
	EventTypes []string               `json:"event_types"`
	APIVersion string                 `json:"api_version" doc:"Shape of the bodies, as of creation"`
	State      webhooks.EndpointState `json:"state" enum:"enabled,disabled"`
	CreatedAt  time.Time              `json:"created_at"`
	UpdatedAt  time.Time              `json:"updated_at"`
}

// NewWebhookEndpoint is an endpoint with its secret.
type NewWebhookEndpoint struct {
	WebhookEndpoint
	Secret string `json:"secret" doc:"Signing key; shown only now" example:"whsec_..."`
}

// WebhookEndpointList is all endpoints of a merchant and mode.
type WebhookEndpointList struct {
	Page
	Data []WebhookEndpoint `json:"data"`
}

func endpointOf(e webhooks.Endpoint) WebhookEndpoint {
	return WebhookEndpoint{
		ID: e.ID, Object: "webhook_endpoint", Mode: e.Mode, URL: e.URL, EventTypes: e.EventTypes, APIVersion: e.APIVersion,
		State: e.State, CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
	}
}

type createEndpointInput struct{ Body WebhookEndpointRequest }
type createEndpointOutput struct{ Body NewWebhookEndpoint }

func (s *Server) createEndpoint(ctx context.Context, in *createEndpointInput) (*createEndpointOutput, error) {
	if errs := checkText("#/url", in.Body.URL); len(errs) > 0 {
		return nil, failFields(errs)
	}
	who := caller(ctx)
	e, secret, err := webhooks.CreateEndpoint(ctx, s.store, s.sealer, s.guard, webhooks.NewEndpoint{
		MerchantID: who.ID, Mode: who.Key.Mode, URL: in.Body.URL, EventTypes: in.Body.EventTypes,
	})
	if err != nil {
		return nil, err
	}
	telemetry.Add(ctx, zap.String("endpoint_id", e.ID))
	return &createEndpointOutput{NewWebhookEndpoint{endpointOf(e), secret}}, nil
}

type listEndpointsOutput struct{ Body WebhookEndpointList }

func (s *Server) listEndpoints(ctx context.Context, _ *struct{}) (*listEndpointsOutput, error) {
	who := caller(ctx)
	endpoints, err := webhooks.ListEndpoints(ctx, s.store, who.ID, who.Key.Mode)
	if err != nil {
		return nil, err
	}
	out := WebhookEndpointList{Page: Page{Object: "list"}, Data: []WebhookEndpoint{}}
	for _, e := range endpoints {
		out.Data = append(out.Data, endpointOf(e))
	}
	return &listEndpointsOutput{out}, nil
}

// EndpointPath names a webhook endpoint.
type EndpointPath struct {
	ID string `path:"id" maxLength:"64" example:"we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var endpointID = regexp.MustCompile(`^we_[0-9a-f]{32}$`)

type endpointOutput struct{ Body WebhookEndpoint }

func (s *Server) disableEndpoint(ctx context.Context, in *EndpointPath) (*endpointOutput, error) {
	if !endpointID.MatchString(in.ID) {
		return nil, fail(NotFound, "")
	}
	who := caller(ctx)
	e, err := webhooks.DisableEndpoint(ctx, s.store, who.ID, who.Key.Mode, in.ID)
	if err != nil {
		return nil, err
	}
	return &endpointOutput{endpointOf(e)}, nil
}

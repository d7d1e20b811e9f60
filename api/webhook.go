package api

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
)

const (
	endpointsPath = "/v1/webhook_endpoints"
	webhooksTag   = "Webhooks"
)

func (s *Server) registerWebhooks() {
	register(s.api, operation{
		method: http.MethodPost, path: endpointsPath, id: "create-webhook-endpoint", tag: webhooksTag, scope: WebhooksWrite, status: http.StatusCreated,
		summary: "Register a webhook endpoint",
		description: "The answer holds the signing secret, which is shown this once. Requests are signed by Standard Webhooks (standardwebhooks.com); " +
			"drop repeated webhook-id, and order by data.object.sequence.",
		errors: []int{http.StatusBadRequest, http.StatusConflict},
	}, s.createEndpoint)
	register(s.api, operation{
		method: http.MethodGet, path: endpointsPath, id: "list-webhook-endpoints", tag: webhooksTag, scope: WebhooksRead,
		summary: "List webhook endpoints, oldest first",
	}, s.listEndpoints)
	register(s.api, operation{
		method: http.MethodGet, path: endpointsPath + "/{id}", id: "get-webhook-endpoint", tag: webhooksTag, scope: WebhooksRead,
		summary: "Get a webhook endpoint", errors: []int{http.StatusNotFound},
	}, s.getEndpoint)
	register(s.api, operation{
		method: http.MethodPatch, path: endpointsPath + "/{id}", id: "update-webhook-endpoint", tag: webhooksTag, scope: WebhooksWrite,
		summary: "Change a webhook endpoint", description: "Fields that are left out stay as they are. Secret and api_version stay in any case.",
		errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.updateEndpoint)
	register(s.api, operation{
		method: http.MethodDelete, path: endpointsPath + "/{id}", id: "delete-webhook-endpoint", tag: webhooksTag, scope: WebhooksWrite, status: http.StatusNoContent,
		summary: "Delete a webhook endpoint", description: "What is still due at it is discarded. The log of what was sent stays with the events.",
		errors: []int{http.StatusNotFound},
	}, s.deleteEndpoint)
	register(s.api, operation{
		method: http.MethodPost, path: endpointsPath + "/{id}/disable", id: "disable-webhook-endpoint", tag: webhooksTag, scope: WebhooksWrite,
		summary: "Stop sending to a webhook endpoint", description: "What is still due at it is discarded. Disabling twice is harmless.",
		errors: []int{http.StatusNotFound},
	}, s.disableEndpoint)
	register(s.api, operation{
		method: http.MethodPost, path: endpointsPath + "/{id}/enable", id: "enable-webhook-endpoint", tag: webhooksTag, scope: WebhooksWrite,
		summary: "Send to a webhook endpoint again", description: "From the next event on; ask for what it missed with replay. Enabling twice is harmless.",
		errors: []int{http.StatusNotFound, http.StatusConflict},
	}, s.enableEndpoint)
	register(s.api, operation{
		method: http.MethodPost, path: endpointsPath + "/{id}/rotate_secret", id: "rotate-webhook-secret", tag: webhooksTag, scope: WebhooksWrite,
		summary: "Give a webhook endpoint a new signing secret",
		description: "The answer holds the new secret, which is shown this once. Until previous_secret_expires_at every request carries the signatures " +
			"of both; the one before the previous stops at once.",
		errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.rotateSecret)
	s.registerDeliveries()
}

// WebhookEndpointRequest registers an endpoint.
type WebhookEndpointRequest struct {
	URL         string   `json:"url" minLength:"1" maxLength:"2048" doc:"https, on the public internet, port 443" example:"https://example.com/webhooks/settle"`
	Description string   `json:"description,omitempty" maxLength:"500" doc:"For you"`
	EventTypes  []string `json:"event_types,omitempty" maxItems:"32" doc:"Exact types, \"*\", or a prefix that ends in \".*\"; default: how payments end, manual_review, and everything that is not about a payment" example:"[\"payment_intent.*\"]"`
}

// UpdateWebhookEndpointRequest changes an endpoint.
type UpdateWebhookEndpointRequest struct {
	URL         *string  `json:"url,omitempty" minLength:"1" maxLength:"2048"`
	Description *string  `json:"description,omitempty" maxLength:"500"`
	EventTypes  []string `json:"event_types,omitempty" minItems:"1" maxItems:"32"`
}

// RotateSecretRequest says how long the previous secret goes on signing.
type RotateSecretRequest struct {
	ExpirePreviousAfter *int64 `json:"expire_previous_after,omitempty" minimum:"0" maximum:"604800" doc:"Seconds; default 86400, a day. 0: at once"`
}

// NewWebhookEndpoint is an endpoint with its secret.
type NewWebhookEndpoint struct {
	webhooks.Endpoint
	Secret string `json:"secret" doc:"Signing key; shown only now" example:"whsec_..."`
}

// WebhookEndpointList is all endpoints of a merchant and mode.
type WebhookEndpointList struct {
	Page
	Data []webhooks.Endpoint `json:"data"`
}

type createEndpointInput struct{ Body WebhookEndpointRequest }
type newEndpointOutput struct{ Body NewWebhookEndpoint }

func (s *Server) createEndpoint(ctx context.Context, in *createEndpointInput) (*newEndpointOutput, error) {
	if errs := append(checkText("#/url", in.Body.URL), checkText("#/description", in.Body.Description)...); len(errs) > 0 {
		return nil, failFields(errs)
	}
	who := caller(ctx)
	e, secret, err := webhooks.CreateEndpoint(ctx, s.store, s.sealer, s.guard, webhooks.NewEndpoint{
		MerchantID: who.ID, Mode: who.Key.Mode, URL: in.Body.URL, Description: in.Body.Description, EventTypes: in.Body.EventTypes,
	})
	if err != nil {
		return nil, err
	}
	telemetry.Add(ctx, zap.String("endpoint_id", e.ID))
	return &newEndpointOutput{NewWebhookEndpoint{e, secret}}, nil
}

type listEndpointsOutput struct{ Body WebhookEndpointList }

func (s *Server) listEndpoints(ctx context.Context, _ *struct{}) (*listEndpointsOutput, error) {
	who := caller(ctx)
	endpoints, err := webhooks.ListEndpoints(ctx, s.store, who.ID, who.Key.Mode)
	if err != nil {
		return nil, err
	}
	return &listEndpointsOutput{WebhookEndpointList{Page: Page{Object: "list"}, Data: endpoints}}, nil
}

// EndpointPath names a webhook endpoint.
type EndpointPath struct {
	ID string `path:"id" maxLength:"64" example:"we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var endpointID = regexp.MustCompile(`^we_[0-9a-f]{32}$`)

// endpoint names an endpoint of the caller.
func endpoint(ctx context.Context, id string) (webhooks.EndpointRef, error) {
	if !endpointID.MatchString(id) {
		return webhooks.EndpointRef{}, fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("endpoint_id", id))
	who := caller(ctx)
	return webhooks.EndpointRef{MerchantID: who.ID, Mode: who.Key.Mode, ID: id}, nil
}

type endpointOutput struct{ Body webhooks.Endpoint }

// withEndpoint answers with what do makes of an endpoint of the caller.
func withEndpoint(ctx context.Context, id string, do func(webhooks.EndpointRef) (webhooks.Endpoint, error)) (*endpointOutput, error) {
	ref, err := endpoint(ctx, id)
	if err != nil {
		return nil, err
	}
	e, err := do(ref)
	if err != nil {
		return nil, err
	}
	return &endpointOutput{e}, nil
}

func (s *Server) getEndpoint(ctx context.Context, in *EndpointPath) (*endpointOutput, error) {
	return withEndpoint(ctx, in.ID, func(r webhooks.EndpointRef) (webhooks.Endpoint, error) { return webhooks.GetEndpoint(ctx, s.store, r) })
}

func (s *Server) disableEndpoint(ctx context.Context, in *EndpointPath) (*endpointOutput, error) {
	return withEndpoint(ctx, in.ID, func(r webhooks.EndpointRef) (webhooks.Endpoint, error) {
		return webhooks.DisableEndpoint(ctx, s.store, r)
	})
}

func (s *Server) enableEndpoint(ctx context.Context, in *EndpointPath) (*endpointOutput, error) {
	return withEndpoint(ctx, in.ID, func(r webhooks.EndpointRef) (webhooks.Endpoint, error) {
		return webhooks.EnableEndpoint(ctx, s.store, r)
	})
}

type updateEndpointInput struct {
	EndpointPath
	Body UpdateWebhookEndpointRequest
}

func (s *Server) updateEndpoint(ctx context.Context, in *updateEndpointInput) (*endpointOutput, error) {
	var errs []FieldError
	if in.Body.URL != nil {
		errs = append(errs, checkText("#/url", *in.Body.URL)...)
	}
	if in.Body.Description != nil {
		errs = append(errs, checkText("#/description", *in.Body.Description)...)
	}
	if len(errs) > 0 {
		return nil, failFields(errs)
	}
	return withEndpoint(ctx, in.ID, func(r webhooks.EndpointRef) (webhooks.Endpoint, error) {
		return webhooks.UpdateEndpoint(ctx, s.store, s.guard, r, webhooks.Changes(in.Body))
	})
}

func (s *Server) deleteEndpoint(ctx context.Context, in *EndpointPath) (*struct{}, error) {
	ref, err := endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return nil, webhooks.DeleteEndpoint(ctx, s.store, ref)
}

type rotateSecretInput struct {
	EndpointPath
	Body *RotateSecretRequest
}

func (s *Server) rotateSecret(ctx context.Context, in *rotateSecretInput) (*newEndpointOutput, error) {
	ref, err := endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	overlap := webhooks.DefaultOverlap
	if in.Body != nil && in.Body.ExpirePreviousAfter != nil {
		overlap = time.Duration(*in.Body.ExpirePreviousAfter) * time.Second
	}
	e, secret, err := webhooks.RotateSecret(ctx, s.store, s.sealer, ref, overlap)
	if err != nil {
		return nil, err
	}
	return &newEndpointOutput{NewWebhookEndpoint{e, secret}}, nil
}

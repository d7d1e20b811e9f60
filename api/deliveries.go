package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/workflows"
)

const eventDeliveriesPath = "/v1/events/{id}/deliveries"

func (s *Server) registerDeliveries() {
	register(s.api, operation{
		method: http.MethodGet, path: endpointsPath + "/{id}/deliveries", id: "list-webhook-endpoint-deliveries", tag: webhooksTag, scope: WebhooksRead,
		summary: "List what was, or is to be, sent to a webhook endpoint, newest event first", errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.endpointDeliveries)
	register(s.api, operation{
		method: http.MethodGet, path: eventDeliveriesPath, id: "list-event-deliveries", tag: webhooksTag, scope: WebhooksRead,
		summary: "List where an event went", description: "Also to endpoints that were deleted since.", errors: []int{http.StatusNotFound},
	}, s.eventDeliveries)
	register(s.api, operation{
		method: http.MethodGet, path: eventDeliveriesPath + "/{endpoint_id}", id: "get-event-delivery", tag: webhooksTag, scope: WebhooksRead,
		summary: "Get a delivery with every attempt", errors: []int{http.StatusNotFound},
	}, s.getDelivery)
	register(s.api, operation{
		method: http.MethodPost, path: eventDeliveriesPath + "/{endpoint_id}/resend", id: "resend-event", tag: webhooksTag, scope: WebhooksWrite, status: http.StatusAccepted,
		summary: "Send an event to a webhook endpoint again",
		description: "At once, whatever became of it before, and then by the whole schedule. The webhook-id stays the same, attempts are numbered on. " +
			"Asking twice before the attempt is made asks once.",
		errors: []int{http.StatusNotFound, http.StatusConflict},
	}, s.resend)
	register(s.api, operation{
		method: http.MethodPost, path: endpointsPath + "/{id}/replay", id: "replay-webhooks", tag: webhooksTag, scope: WebhooksWrite, status: http.StatusAccepted,
		summary: "Send the events of a time span to a webhook endpoint again",
		description: "Those that it subscribes to, oldest first, 100 at a time: while has_more, repeat the request with next_cursor as cursor. " +
			"Each is resent as by resend.",
		errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
	}, s.replayEvents)
	register(s.api, operation{
		method: http.MethodPost, path: endpointsPath + "/{id}/test", id: "test-webhook-endpoint", tag: webhooksTag, scope: WebhooksWrite, status: http.StatusAccepted,
		summary: "Send a test event to a webhook endpoint",
		description: "An event webhook_endpoint.test, whatever the endpoint subscribes to, on the same way as every other. " +
			"The answer names the delivery; get it to see what came of it.",
		errors: []int{http.StatusNotFound, http.StatusConflict},
	}, s.testEndpoint)
}

// WebhookDelivery is one event on its way to one endpoint.
type WebhookDelivery struct {
	Object       string            `json:"object" enum:"webhook_delivery"`
	EventID      string            `json:"event_id" example:"evt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	EventType    payment.EventType `json:"event_type" example:"payment_intent.settled"`
	EndpointID   string            `json:"endpoint_id" example:"we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	IntentID     string            `json:"payment_intent_id,omitempty"`
	State        string            `json:"state" enum:"pending,delivered,exhausted,discarded" doc:"exhausted: the schedule ended; discarded: the endpoint was disabled"`
	AttemptCount int               `json:"attempt_count"`
	NextDue      *time.Time        `json:"next_due,omitempty" doc:"When the next attempt is due; without it a pending one is due now"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
}

// WebhookAttempt is one request that was made.
type WebhookAttempt struct {
	Attempt    int        `json:"attempt"`
	Status     int        `json:"status" doc:"HTTP status; 0: no answer"`
	Error      string     `json:"error,omitempty"`
	Response   string     `json:"response,omitempty" doc:"The first 8 kB of the answer"`
	DurationMS int64      `json:"duration_ms"`
	SentAt     time.Time  `json:"sent_at"`
	NextDue    *time.Time `json:"next_due,omitempty" doc:"When the next attempt was due after this one"`
}

// WebhookDeliveryDetail is a delivery with its attempts, oldest first.
type WebhookDeliveryDetail struct {
	WebhookDelivery
	Attempts []WebhookAttempt `json:"attempts"`
}

// WebhookDeliveryList is a page of deliveries.
type WebhookDeliveryList struct {
	Page
	Data []WebhookDelivery `json:"data"`
}

func deliveryOf(d webhooks.Delivery) WebhookDelivery {
	return WebhookDelivery{
		Object: "webhook_delivery", EventID: d.EventID, EventType: d.EventType, EndpointID: d.EndpointID, IntentID: d.IntentID, State: d.State,
		AttemptCount: d.Attempts, NextDue: d.NextDue, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
	}
}

func deliveriesOf(ds []webhooks.Delivery) []WebhookDelivery {
	out := make([]WebhookDelivery, len(ds))
	for i, d := range ds {
		out[i] = deliveryOf(d)
	}
	return out
}

// DeliveryFilter chooses deliveries.
type DeliveryFilter struct {
	State []string `query:"state" maxItems:"4" doc:"One or several, separated by commas" enum:"pending,delivered,exhausted,discarded"`
}

type endpointDeliveriesInput struct {
	EndpointPath
	DeliveryFilter
	PageQuery
}

type deliveriesOutput struct{ Body WebhookDeliveryList }

func (s *Server) endpointDeliveries(ctx context.Context, in *endpointDeliveriesInput) (*deliveriesOutput, error) {
	ref, err := endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	l := list[string]{"webhook_deliveries", []any{in.ID, in.DeliveryFilter}}
	before, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	ds, more, err := webhooks.EndpointDeliveries(ctx, s.store, ref, in.State, before, in.Limit)
	if err != nil {
		return nil, err
	}
	page := pageOf(l, ds, more, func(d webhooks.Delivery) string { return d.EventID })
	return &deliveriesOutput{WebhookDeliveryList{page, deliveriesOf(ds)}}, nil
}

// deliveries reads where an event of the caller went.
func (s *Server) deliveries(ctx context.Context, id string, states []string) ([]webhooks.Delivery, error) {
	if !eventID.MatchString(id) {
		return nil, fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("event_id", id))
	who := caller(ctx)
	return webhooks.EventDeliveries(ctx, s.store, who.ID, who.Key.Mode, id, states)
}

type eventDeliveriesInput struct {
	ID string `path:"id" maxLength:"64" example:"evt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	DeliveryFilter
}

func (s *Server) eventDeliveries(ctx context.Context, in *eventDeliveriesInput) (*deliveriesOutput, error) {
	ds, err := s.deliveries(ctx, in.ID, in.State)
	if err != nil {
		return nil, err
	}
	return &deliveriesOutput{WebhookDeliveryList{Page: Page{Object: "list"}, Data: deliveriesOf(ds)}}, nil
}

// DeliveryPath names a delivery.
type DeliveryPath struct {
	ID         string `path:"id" maxLength:"64" example:"evt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	EndpointID string `path:"endpoint_id" maxLength:"64" example:"we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

type deliveryDetailOutput struct{ Body WebhookDeliveryDetail }

func (s *Server) getDelivery(ctx context.Context, in *DeliveryPath) (*deliveryDetailOutput, error) {
	d, err := s.delivery(ctx, in.ID, in.EndpointID)
	if err != nil {
		return nil, err
	}
	attempts, err := webhooks.Attempts(ctx, s.store, webhooks.DeliveryRef{EventID: d.EventID, EndpointID: d.EndpointID})
	if err != nil {
		return nil, err
	}
	out := WebhookDeliveryDetail{WebhookDelivery: d, Attempts: make([]WebhookAttempt, len(attempts))}
	for i, a := range attempts {
		out.Attempts[i] = WebhookAttempt{Attempt: a.Attempt, Status: a.Status, Error: a.Error, Response: strings.ToValidUTF8(string(a.Response), "\uFFFD"),
			DurationMS: a.Duration.Milliseconds(), SentAt: a.SentAt, NextDue: a.NextDue}
	}
	return &deliveryDetailOutput{out}, nil
}

func (s *Server) delivery(ctx context.Context, event, endpoint string) (WebhookDelivery, error) {
	ds, err := s.deliveries(ctx, event, nil)
	if err != nil {
		return WebhookDelivery{}, err
	}
	for _, d := range ds {
		if d.EndpointID == endpoint {
			return deliveryOf(d), nil
		}
	}
	return WebhookDelivery{}, fail(NotFound, "")
}

type deliveryOutput struct{ Body WebhookDelivery }

func (s *Server) resend(ctx context.Context, in *DeliveryPath) (*deliveryOutput, error) {
	if !eventID.MatchString(in.ID) {
		return nil, fail(NotFound, "")
	}
	ref, err := endpoint(ctx, in.EndpointID)
	if err != nil {
		return nil, err
	}
	d, err := webhooks.Resend(ctx, s.store, ref, in.ID)
	if err != nil {
		return nil, err
	}
	return s.sendNow(ctx, d)
}

func (s *Server) testEndpoint(ctx context.Context, in *EndpointPath) (*deliveryOutput, error) {
	ref, err := endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	d, err := webhooks.Test(ctx, s.store, ref)
	if err != nil {
		return nil, err
	}
	return s.sendNow(ctx, d)
}

// sendNow starts the workflow of a delivery and answers with the delivery.
func (s *Server) sendNow(ctx context.Context, ref webhooks.DeliveryRef) (*deliveryOutput, error) {
	d, err := s.delivery(ctx, ref.EventID, ref.EndpointID)
	if err != nil {
		return nil, err
	}
	s.drive(ctx, ref)
	return &deliveryOutput{d}, nil
}

// drive starts the workflows of deliveries that are due now. What cannot be
// started, because Temporal does not answer, is found by the sweep for overdue
// deliveries: they are stored.
func (s *Server) drive(ctx context.Context, refs ...webhooks.DeliveryRef) {
	var group errgroup.Group
	group.SetLimit(relayStarts)
	for _, ref := range refs {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, startTimeout)
			defer cancel()
			_, err := s.temporal.ExecuteWorkflow(ctx, workflows.DeliveryOptions(ref, s.relay.taskQueue), workflows.DeliveryWorkflow, ref)
			if err != nil {
				s.log.Warn("delivery left to the sweep", zap.String("event_id", ref.EventID), zap.String("endpoint_id", ref.EndpointID), zap.Error(err))
			}
			return nil
		})
	}
	_ = group.Wait() // failures are logged
}

// ReplayRequest chooses the events of a replay.
type ReplayRequest struct {
	Since  time.Time  `json:"since" doc:"Events of this time or later"`
	Until  *time.Time `json:"until,omitempty" doc:"Events before this time; default: now"`
	Status string     `json:"status,omitempty" enum:"failed,missing,all" default:"failed" doc:"failed: not delivered, after at least one attempt or because the endpoint was disabled; missing: never due at the endpoint; all: also what was delivered"`
	Cursor string     `json:"cursor,omitempty" maxLength:"1000" doc:"next_cursor of the answer before"`
}

// WebhookReplay is what a replay made due.
type WebhookReplay struct {
	Object     string `json:"object" enum:"webhook_replay"`
	Replayed   int    `json:"replayed" doc:"Deliveries that are due now"`
	HasMore    bool   `json:"has_more"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Pass it as cursor, with the same since and status, for the rest"`
}

type replayInput struct {
	EndpointPath
	Body ReplayRequest
}

type replayOutput struct{ Body WebhookReplay }

func (s *Server) replayEvents(ctx context.Context, in *replayInput) (*replayOutput, error) {
	ref, err := endpoint(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	// The cursor keeps until, so that a replay does not chase new events.
	type place struct {
		Until time.Time `json:"u"`
		After string    `json:"a"`
	}
	filters := []any{in.ID, in.Body.Since, in.Body.Status}
	span := webhooks.Span{Since: in.Body.Since, Until: s.now(), Which: webhooks.Which(in.Body.Status)}
	if in.Body.Until != nil {
		span.Until = *in.Body.Until
	}
	if after, err := decodeCursor[place]("/cursor", in.Body.Cursor, "webhook_replay", filters); err != nil {
		return nil, err
	} else if after != nil {
		span.Until, span.After = after.Until, after.After
	}
	refs, err := webhooks.Replay(ctx, s.store, ref, span)
	if err != nil {
		return nil, err
	}
	s.drive(ctx, refs...)
	out := WebhookReplay{Object: "webhook_replay", Replayed: len(refs), HasMore: len(refs) == webhooks.MaxReplay}
	if out.HasMore {
		out.NextCursor = encodeCursor("webhook_replay", filters, place{span.Until, refs[len(refs)-1].EventID})
	}
	return &replayOutput{out}, nil
}

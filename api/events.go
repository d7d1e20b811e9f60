package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
)

const eventsPath = "/v1/events"

func (s *Server) registerEvents() {
	const tag = "Events"
	register(s.api, operation{
		method: http.MethodGet, path: intentsPath + "/{id}/events", id: "list-payment-intent-events", tag: tag, scope: IntentsRead,
		summary:     "List the events of a payment, oldest first",
		description: "The same events, byte for byte, that webhooks carry. sequence is gapless.",
		errors:      []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.intentEvents)
	register(s.api, operation{
		method: http.MethodGet, path: eventsPath, id: "list-events", tag: tag, scope: IntentsRead,
		summary: "List the events of all payments, oldest first",
		description: "The log of everything that happened to your payments in the key's mode, to catch up from. Its order never changes, " +
			"and nothing ever appears before an event that it has shown: keep next_cursor, and what follows it is all that you have not seen. " +
			"Events are kept for 30 days or longer.",
		errors: []int{http.StatusBadRequest},
	}, s.eventLog)
	register(s.api, operation{
		method: http.MethodGet, path: eventsPath + "/{id}", id: "get-event", tag: tag, scope: IntentsRead,
		summary: "Get an event", errors: []int{http.StatusNotFound},
	}, s.event)
}

// StoredEvent is an event in the bytes that were stored and signed.
type StoredEvent struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (StoredEvent) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[payment.Event](), true, "Event")
}

// AnyEvent is an event about a payment or about anything else.
type AnyEvent struct {
	ID         string            `json:"id" example:"evt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object     string            `json:"object" enum:"event"`
	Type       payment.EventType `json:"type" example:"payment_intent.settled"`
	APIVersion string            `json:"api_version"`
	Timestamp  time.Time         `json:"timestamp"`
	Data       AnyEventData      `json:"data"`
}

// AnyEventData holds what the event is about, as it was then.
type AnyEventData struct {
	Object EventSubject `json:"object"`
}

// EventSubject is what an event is about; the field object tells which it is.
type EventSubject struct{}

// Schema implements huma.SchemaProvider.
func (EventSubject) Schema(r huma.Registry) *huma.Schema {
	out := &huma.Schema{Discriminator: &huma.Discriminator{PropertyName: "object", Mapping: map[string]string{}}}
	for _, kind := range []struct {
		name     string
		resource reflect.Type
	}{
		{"batch", reflect.TypeFor[payment.BatchResource]()},
		{"payment_intent", reflect.TypeFor[payment.Resource]()},
		{"schedule_run", reflect.TypeFor[payment.RunResource]()},
		{"webhook_endpoint", reflect.TypeFor[webhooks.Endpoint]()},
	} {
		one := r.Schema(kind.resource, true, "")
		out.OneOf = append(out.OneOf, one)
		out.Discriminator.Mapping[kind.name] = one.Ref
	}
	return out
}

// storedAnyEvent is a StoredEvent that need not be about a payment.
type storedAnyEvent struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (storedAnyEvent) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[AnyEvent](), true, "AnyEvent")
}

// EventList is a page of events.
type EventList struct {
	Page
	Data []StoredEvent `json:"data"`
}

type intentEventsInput struct {
	IntentPath
	PageQuery
}

type eventsOutput struct{ Body EventList }

func (s *Server) intentEvents(ctx context.Context, in *intentEventsInput) (*eventsOutput, error) {
	if _, err := s.mine(ctx, in.ID); err != nil {
		return nil, err
	}
	l := list[int64]{"events", in.ID}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	var sequence int64
	if after != nil {
		sequence = *after
	}
	who := caller(ctx)
	rows, err := s.store.IntentEvents(ctx, who.ID, who.Key.Mode, in.ID, sequence, in.Limit+1)
	if err != nil {
		return nil, err
	}
	rows, more := store.Page(rows, in.Limit)
	out := EventList{Data: make([]StoredEvent, len(rows))}
	out.Page = pageOf(l, rows, more, func(r store.EventRow) int64 { return r.Sequence })
	for n, r := range rows {
		out.Data[n] = StoredEvent{r.Body}
	}
	return &eventsOutput{out}, nil
}

// EventFilters are what a place in the log is bound to.
type EventFilters struct {
	Type          []string `query:"type" maxItems:"15" doc:"One or several, separated by commas" enum:"payment_intent.created,payment_intent.routed,payment_intent.submitted,payment_intent.confirming,payment_intent.manual_review,payment_intent.settled,payment_intent.failed,payment_intent.canceled,payment_intent.expired,payment_intent.rejected,payment_intent.updated,webhook_endpoint.disabled,schedule.run_failed,batch.completed,batch.canceled" json:"t"`
	PaymentIntent string   `query:"payment_intent" maxLength:"64" doc:"Id of a payment" json:"i"`
}

type logInput struct {
	EventFilters
	Limit int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	After string `query:"after" maxLength:"1000" doc:"next_cursor of the page before, with the same filters; without it the log is read from its beginning"`
}

// EventLog is a page of the log.
type EventLog struct {
	Object     string           `json:"object" enum:"list"`
	HasMore    bool             `json:"has_more" doc:"Whether more follows right now"`
	NextCursor string           `json:"next_cursor" doc:"Pass it as after, now or at any later time, for what follows"`
	Data       []storedAnyEvent `json:"data"`
}

type logOutput struct{ Body EventLog }

// eventLog pages through the log of the caller's events.
func (s *Server) eventLog(ctx context.Context, in *logInput) (*logOutput, error) {
	place, err := logPlace("query:after", in.After, in.EventFilters)
	if err != nil {
		return nil, err
	}
	events, err := s.store.Events(ctx, logFilter(ctx, in.EventFilters), place, in.Limit+1)
	if err != nil {
		return nil, err
	}
	events, more := store.Page(events, in.Limit)
	out := EventLog{Object: "list", HasMore: more, Data: make([]storedAnyEvent, len(events))}
	for n, e := range events {
		out.Data[n] = storedAnyEvent{e.Body}
		place = e.Place
	}
	out.NextCursor = logCursor(in.EventFilters, place)
	return &logOutput{out}, nil
}

// logPlace reads a cursor of the log; the beginning for "".
func logPlace(at, cursor string, f EventFilters) (store.EventPlace, error) {
	place, err := decodeCursor[store.EventPlace](at, cursor, "events_log", f)
	if err != nil || place == nil {
		return store.EventPlace{}, err
	}
	return *place, nil
}

func logCursor(f EventFilters, place store.EventPlace) string {
	return encodeCursor("events_log", f, place)
}

func logFilter(ctx context.Context, f EventFilters) store.EventFilter {
	who := caller(ctx)
	return store.EventFilter{MerchantID: who.ID, Mode: who.Key.Mode, IntentID: f.PaymentIntent, Types: f.Type}
}

type eventInput struct {
	ID string `path:"id" maxLength:"64" example:"evt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

type eventOutput struct{ Body storedAnyEvent }

var eventID = regexp.MustCompile(`^evt_[0-9a-f]{32}$`)

func (s *Server) event(ctx context.Context, in *eventInput) (*eventOutput, error) {
	if !eventID.MatchString(in.ID) {
		return nil, fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("event_id", in.ID))
	who := caller(ctx)
	row, err := s.store.MerchantEvent(ctx, who.ID, who.Key.Mode, in.ID)
	if err != nil {
		return nil, err
	}
	return &eventOutput{storedAnyEvent{row.Body}}, nil
}

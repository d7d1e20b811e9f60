package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// streamDescription is what both streams have in common.
const streamDescription = "Server-sent events; with `Upgrade: websocket` the same messages as JSON, `{\"id\": ..., \"event\": {...}}`. " +
	"`data` is the event as webhooks carry it. After a break go on with the last `id`, in `Last-Event-ID` or `after`; nothing is missed or sent twice. " +
	"A heartbeat (a comment, or a ping) comes every 15 seconds. A client that does not read for 10 seconds is cut. At most 20 streams per key."

func (s *Server) registerStreams() {
	const tag = "Events"
	register(s.api, operation{
		method: http.MethodGet, path: intentsPath + "/{id}/stream", id: "stream-payment-intent", tag: tag, scope: IntentsRead,
		summary: "Follow a payment live",
		description: "All its events, or those behind `after`, then each as it happens. `id` is the event's sequence. " +
			"The stream ends behind the event that ends the payment. " + streamDescription,
		errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.streamIntent)
	register(s.api, operation{
		method: http.MethodGet, path: eventsPath + "/stream", id: "stream-events", tag: tag, scope: IntentsRead,
		summary: "Follow all payments live",
		description: "The events of the log behind `after`, then each as it happens. `id` is a cursor, as `next_cursor` of the list is. " +
			"Without `after` it begins with what happens now; the first message is an `id` without an event, to go on from. " + streamDescription,
		errors: []int{http.StatusBadRequest},
	}, s.streamEvents)
	for _, path := range []string{intentsPath + "/{id}/stream", eventsPath + "/stream"} {
		responses := s.api.OpenAPI().Paths[path].Get.Responses
		responses["101"] = &huma.Response{Description: "WebSocket"}
		responses["200"] = &huma.Response{Description: "The stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
	s.api.OpenAPI().Paths[intentsPath+"/{id}/stream"].Get.Responses["204"] = &huma.Response{Description: "The payment has ended and you have all of its events"}
}

type streamOutput struct{ Body func(huma.Context) }

type streamIntentInput struct {
	IntentPath
	After       int64  `query:"after" minimum:"0" doc:"Sequence of the last event that you have"`
	LastEventID string `header:"Last-Event-ID" maxLength:"20" doc:"Like after, and stronger"`
}

func (s *Server) streamIntent(ctx context.Context, in *streamIntentInput) (*streamOutput, error) {
	intent, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	after := in.After
	if in.LastEventID != "" {
		if after, err = strconv.ParseInt(in.LastEventID, 10, 64); err != nil || after < 0 {
			p := fail(ParameterInvalid, "")
			p.Errors = []FieldError{{"header:Last-Event-ID", ParameterInvalid, "Use the id of the last message."}}
			return nil, p
		}
	}
	f := &feed{
		about: store.Hint{MerchantID: intent.MerchantID, Mode: intent.Mode, IntentID: intent.ID},
		ended: intent.Status.Terminal() && after >= intent.Version,
	}
	f.next = func(ctx context.Context) ([]message, error) {
		rows, err := s.store.IntentEvents(ctx, intent.MerchantID, intent.Mode, intent.ID, after, streamPage)
		if err != nil {
			return nil, err
		}
		batch := make([]message, len(rows))
		for n, r := range rows {
			batch[n] = message{id: strconv.FormatInt(r.Sequence, 10), event: r.Body}
			after, f.ended = r.Sequence, endsPayment(r.Type)
		}
		return batch, nil
	}
	return s.stream(f), nil
}

// endsPayment reports whether an event of this type is the last of its intent.
func endsPayment(kind string) bool {
	status := payment.Status(strings.TrimPrefix(kind, "payment_intent."))
	return status.Valid() && status.Terminal()
}

type streamEventsInput struct {
	EventFilters
	After       string `query:"after" maxLength:"1000" doc:"id of the last message, or next_cursor of the list, with the same filters"`
	LastEventID string `header:"Last-Event-ID" maxLength:"1000" doc:"Like after, and stronger"`
}

func (s *Server) streamEvents(ctx context.Context, in *streamEventsInput) (*streamOutput, error) {
	at, cursor := "query:after", in.After
	if in.LastEventID != "" {
		at, cursor = "header:Last-Event-ID", in.LastEventID
	}
	place, err := logPlace(at, cursor, in.EventFilters)
	if err == nil && cursor == "" {
		place, err = s.store.LogEnd(ctx)
	}
	if err != nil {
		return nil, err
	}
	filter := logFilter(ctx, in.EventFilters)
	f := &feed{about: store.Hint{MerchantID: filter.MerchantID, Mode: filter.Mode}, polls: true}
	first := []message{{id: logCursor(in.EventFilters, place)}}
	f.next = func(ctx context.Context) ([]message, error) {
		batch := first
		events, err := s.store.Events(ctx, filter, place, streamPage-len(batch))
		if err != nil {
			return nil, err
		}
		first = nil
		for _, e := range events {
			place = e.Place
			batch = append(batch, message{id: logCursor(in.EventFilters, place), event: e.Body})
		}
		return batch, nil
	}
	return s.stream(f), nil
}

// stream answers with a feed, as server-sent events or over a WebSocket.
func (s *Server) stream(f *feed) *streamOutput {
	return &streamOutput{Body: func(hc huma.Context) {
		c := ginOf(hc)
		if f.ended && !c.IsWebsocket() {
			hc.SetStatus(http.StatusNoContent) // which keeps an EventSource from connecting again
			return
		}
		one, refused := s.streams.enter(caller(hc.Context()).Key.ID, f.about)
		if refused != nil {
			s.respond(hc, refused)
			return
		}
		defer s.streams.leave(one)
		ctx, cancel := context.WithCancel(lasting(hc.Context()))
		defer cancel()
		out, ctx, refused := s.open(ctx, c)
		if refused != nil {
			s.respond(hc, refused)
			return
		}
		out.close(s.streams.pump(ctx, one, f, out, func(ctx context.Context) bool {
			_, err := s.keys.find(ctx, c.GetHeader("Authorization"))
			var p *Problem
			return !errors.As(err, &p) // when the database cannot say, the key was valid
		}))
	}}
}

// handshake keeps what is said of a refused WebSocket from the client, who gets
// a problem instead.
type handshake struct{ gin.ResponseWriter }

func (h handshake) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(status)
	}
}

func (h handshake) Write(b []byte) (int, error) { return len(b), nil }

// ginOf is the request below huma, which can do more with its connection.
func ginOf(hc huma.Context) *gin.Context { return humagin.Unwrap(hc) }

// open begins the answer. The context that it returns ends with the client.
func (s *Server) open(ctx context.Context, c *gin.Context) (sink, context.Context, *Problem) {
	if c.IsWebsocket() {
		conn, err := websocket.Accept(handshake{c.Writer}, c.Request, nil)
		if err != nil {
			return nil, nil, failFields([]FieldError{{"header:Upgrade", ParameterInvalid, sentence(err.Error())}}).because(err)
		}
		ctx = conn.CloseRead(ctx) // answers pings; a client that talks is cut
		return &socket{conn: conn, write: s.streams.write}, ctx, nil
	}
	out := &eventStream{w: c.Writer, control: http.NewResponseController(c.Writer), write: s.streams.write}
	_ = out.control.SetReadDeadline(time.Time{}) // the server's is for requests; a write finds out if it could not be lifted
	c.Header("Content-Type", "text/event-stream")
	c.Header("X-Accel-Buffering", "no") // of nginx
	_ = out.put("retry: 2000\n\n")      // a client that is gone is found out by the next write
	return out, ctx, nil
}

// eventStream writes server-sent events.
type eventStream struct {
	w       io.Writer
	control *http.ResponseController
	write   time.Duration
}

func (e *eventStream) put(text string) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.write)); err != nil {
		return err
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	return e.control.Flush()
}

func (e *eventStream) send(_ context.Context, m message) error {
	if m.event == nil {
		return e.put("id: " + m.id + "\n\n")
	}
	return e.put("id: " + m.id + "\ndata: " + string(m.event) + "\n\n") // rendered JSON has no line breaks
}

func (e *eventStream) beat(context.Context) error { return e.put(": heartbeat\n\n") }

func (e *eventStream) close(why ending) {
	if why != clientGone {
		_ = e.put(": " + string(why) + "\n\n") // the client may be gone
	}
}

// socket writes to a WebSocket.
type socket struct {
	conn  *websocket.Conn
	write time.Duration
}

func (s *socket) send(ctx context.Context, m message) error {
	text, err := json.Marshal(struct {
		ID    string          `json:"id"`
		Event json.RawMessage `json:"event,omitempty"`
	}{m.id, m.event})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.write)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, text)
}

func (s *socket) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.write)
	defer cancel()
	return s.conn.Ping(ctx)
}

func (s *socket) close(why ending) {
	var code websocket.StatusCode
	switch why {
	case allSent:
		code = websocket.StatusNormalClosure
	case clientGone:
		_ = s.conn.CloseNow() // nobody hears it
		return
	case goingAway:
		code = websocket.StatusGoingAway
	case keyInvalid:
		code = websocket.StatusPolicyViolation
	}
	_ = s.conn.Close(code, string(why)) // the client may be gone
}

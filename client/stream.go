package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// streamSilence is three heartbeats; a connection that is silent for longer is
// given up.
const streamSilence = 45 * time.Second

// Message is an event of a stream, and the place to go on from. Event is empty
// in the first message of a stream that begins with what happens now.
type Message struct {
	ID    string          `json:"id"`
	Event json.RawMessage `json:"event,omitempty"`
}

// Stop is what a reader of a stream returns who needs no more messages.
var Stop = errors.New("stop") //nolint:staticcheck // no fault, like io.EOF

// Follow reads a stream until each returns Stop, which is success, or another
// error, nothing can follow, or ctx ends. open calls one of the client's
// Stream... operations with its arguments and the Last-Event-ID, which is nil at
// first. After a break Follow connects again and goes on behind the last message:
//
//	err := client.Follow(ctx, func(ctx context.Context, last *string) (*http.Response, error) {
//		return c.StreamPaymentIntent(ctx, id, &client.StreamPaymentIntentParams{LastEventID: last})
//	}, each)
func Follow(ctx context.Context, open func(ctx context.Context, lastEventID *string) (*http.Response, error), each func(Message) error) error {
	var last *string
	for {
		err := follow(ctx, &last, open, each)
		var stopped ended
		switch {
		case errors.As(err, &stopped):
			return stopped.with
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !passing(err):
			return err
		}
		if err := pause(ctx, pauseAfter(err)); err != nil {
			return err
		}
	}
}

// ended says that a stream needs no other connection.
type ended struct{ with error }

func (e ended) Error() string { return "the stream ended" }

// follow reads one connection's messages.
func follow(ctx context.Context, last **string, open func(context.Context, *string) (*http.Response, error), each func(Message) error) error {
	ctx, cancel := context.WithCancel(Unbounded(ctx))
	defer cancel()
	silence := time.AfterFunc(streamSilence, cancel)
	defer silence.Stop()
	resp, err := open(ctx, *last)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return ended{}
	}
	var m Message
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		silence.Reset(streamSilence)
		switch name, value, _ := strings.Cut(lines.Text(), ": "); name {
		case "id":
			m.ID = value
		case "data":
			m.Event = json.RawMessage(value)
		case "":
			if m.ID == "" {
				continue
			}
			switch err := each(m); {
			case errors.Is(err, Stop):
				return ended{}
			case err != nil:
				return ended{err}
			}
			id := m.ID
			*last, m = &id, Message{}
		}
	}
	return lines.Err()
}

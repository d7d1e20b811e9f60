package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
)

// Bounds of reading a stream.
const (
	streamSilence = 45 * time.Second // three heartbeats; then the connection is given up
	streamRetry   = time.Second
)

// message is an event of a stream, and the place to go on from.
type message struct {
	ID    string          `json:"id"`
	Event json.RawMessage `json:"event,omitempty"`
}

// errEnd is what a reader returns who needs no more messages.
var errEnd = errors.New("end")

func watchCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "watch ID",
		Short: "Follow a payment until it ends",
		Long:  "Prints a line for each event of a payment, those of the past first. Ends with 0 if the payment is settled, with 1 if it ended otherwise.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			return watch(cmd.Context(), cmd.OutOrStdout(), c, args[0], asJSON)
		},
	}
	streamOutput(cmd, &output)
	return cmd
}

func eventsCommand() *cobra.Command {
	var after, output string
	tail := &cobra.Command{
		Use:   "tail",
		Short: "Follow the events of all payments, from now on or from a cursor",
		Long:  "Prints a line for each event until it is interrupted, and then the cursor to go on from.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			last := after
			err = c.stream(cmd.Context(), "/v1/events/stream?after="+url.QueryEscape(after), func(m message) error {
				last = m.ID
				return printEvent(cmd.OutOrStdout(), m, asJSON)
			})
			if errors.Is(err, context.Canceled) {
				fmt.Fprintf(cmd.ErrOrStderr(), "go on with: settle events tail --after %s\n", last)
				return nil
			}
			return err
		},
	}
	tail.Flags().StringVar(&after, "after", "", "go on behind this cursor: next_cursor of GET /v1/events, or where tail stopped")
	streamOutput(tail, &output)
	return group("events", "Look at what happens", tail)
}

func streamOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", "table", `table, or json: {"id": ..., "event": {...}} per line`)
}

func streamClient(output string) (c *apiClient, asJSON bool, err error) {
	if err := checkOutput(output); err != nil {
		return nil, false, err
	}
	c, err = newAPIClient()
	return c, output == "json", err
}

// watch prints a line per event until the payment ends; the error tells an end
// without payment.
func watch(ctx context.Context, out io.Writer, c *apiClient, id string, asJSON bool) error {
	var r payment.Resource
	err := c.stream(ctx, "/v1/payment_intents/"+url.PathEscape(id)+"/stream", func(m message) error {
		var e payment.Event
		if err := json.Unmarshal(m.Event, &e); err != nil {
			return err
		}
		r = e.Data.Object
		if asJSON {
			if err := json.NewEncoder(out).Encode(m); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(out, "%8.2fs  %-14s %s\n", r.UpdatedAt.Sub(r.CreatedAt).Seconds(), r.Status, remark(r))
		}
		if r.Status.Terminal() {
			return errEnd
		}
		return nil
	})
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(out, "no longer watching; the payment goes on: settle watch %s\n", id)
		return nil
	case err == nil && r.Status != payment.Settled:
		return fmt.Errorf("%s ended as %s", id, r.Status)
	}
	return err
}

func printEvent(out io.Writer, m message, asJSON bool) error {
	if m.Event == nil {
		return nil
	}
	if asJSON {
		return json.NewEncoder(out).Encode(m)
	}
	var e payment.Event
	if err := json.Unmarshal(m.Event, &e); err != nil {
		return err
	}
	r := e.Data.Object
	_, err := fmt.Fprintf(out, "%s  %s  %3d  %-30s %s\n", e.Timestamp.Format(time.RFC3339), r.ID, r.Sequence, e.Type, remark(r))
	return err
}

// stream reads server-sent events until each returns errEnd, which is success,
// or another error, nothing can follow, or ctx ends. After a break it connects
// again and goes on behind the last message.
func (c *apiClient) stream(ctx context.Context, path string, each func(message) error) error {
	last := ""
	for {
		again, err := c.streamOnce(ctx, path, &last, each)
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(streamRetry):
		}
	}
}

// streamOnce reads one connection's messages. again reports whether another
// connection may bring more.
func (c *apiClient) streamOnce(ctx context.Context, path string, last *string, each func(message) error) (again bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(streamSilence, cancel)
	defer silence.Stop()
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return false, err
	}
	if *last != "" {
		req.Header.Set("Last-Event-ID", *last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	if err := refusal(resp); err != nil {
		return resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests, err
	}
	if resp.StatusCode == http.StatusNoContent {
		return false, nil
	}
	var m message
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
			err := each(m)
			if errors.Is(err, errEnd) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			*last, m = m.ID, message{}
		}
	}
	return true, lines.Err()
}

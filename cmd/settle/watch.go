package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/client"
	"github.com/settlehq/settle/payment"
)

func watchCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "watch ID",
		Short:   "Follow a payment until it ends",
		Long:    "Prints a line for each event of a payment, those of the past first. Ends with 0 if the payment is settled, with 1 if it ended otherwise.",
		Example: "  settle watch pi_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			return watch(cmd.Context(), cmd.OutOrStdout(), c, args[0], asJSON)
		},
	}
	return streamOutput(cmd, &output)
}

func eventsCommand() *cobra.Command {
	var after, output string
	tail := &cobra.Command{
		Use:     "tail",
		Short:   "Follow the events of all payments, from now on or from a cursor",
		Long:    "Prints a line for each event until it is interrupted, and then the cursor to go on from.",
		Example: "  settle events tail --output json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			last := after
			err = client.Follow(cmd.Context(), func(ctx context.Context, last *string) (*http.Response, error) {
				return c.StreamEvents(ctx, &client.StreamEventsParams{After: given(after), LastEventID: last})
			}, func(m client.Message) error {
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
	return group("events", "Look at what happens", streamOutput(tail, &output))
}

func streamOutput(cmd *cobra.Command, output *string) *cobra.Command {
	cmd.Flags().StringVar(output, "output", "table", `table, or json: {"id": ..., "event": {...}} per line`)
	return cmd
}

func streamClient(output string) (c *client.ClientWithResponses, asJSON bool, err error) {
	if err := checkOutput(output); err != nil {
		return nil, false, err
	}
	c, err = newAPIClient()
	return c, output == "json", err
}

// watch prints a line per event until the payment ends; the error tells an end
// without payment.
func watch(ctx context.Context, out io.Writer, c *client.ClientWithResponses, id string, asJSON bool) error {
	var r client.PaymentIntent
	err := client.Follow(ctx, func(ctx context.Context, last *string) (*http.Response, error) {
		return c.StreamPaymentIntent(ctx, id, &client.StreamPaymentIntentParams{LastEventID: last})
	}, func(m client.Message) error {
		var e client.Event
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
		if payment.Status(r.Status).Terminal() {
			return client.Stop
		}
		return nil
	})
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(out, "no longer watching; the payment goes on: settle watch %s\n", id)
		return nil
	case err == nil && r.Status != client.PaymentIntentStatusSettled:
		return fmt.Errorf("%s ended as %s", id, r.Status)
	}
	return err
}

func printEvent(out io.Writer, m client.Message, asJSON bool) error {
	if m.Event == nil {
		return nil
	}
	if asJSON {
		return json.NewEncoder(out).Encode(m)
	}
	var e client.AnyEvent
	if err := json.Unmarshal(m.Event, &e); err != nil {
		return err
	}
	id, text := subject(e)
	_, err := fmt.Fprintf(out, "%s  %s  %-30s %s\n", e.Timestamp.Format(time.RFC3339), id, e.Type, text)
	return err
}

// subject names what an event is about, and what there is to say of it; the
// event itself if this program is older than what it is about.
func subject(e client.AnyEvent) (id, text string) {
	object, err := e.Data.Object.ValueByDiscriminator()
	if err != nil {
		return e.ID, ""
	}
	switch o := object.(type) {
	case client.PaymentIntent:
		return o.ID, fmt.Sprintf("%d: %s", o.Sequence, remark(o))
	case client.Batch:
		return o.ID, fmt.Sprintf("%d lines, %s %s", o.Lines, o.Amount, o.Asset)
	case client.ScheduleRun:
		text = "due at " + o.DueAt.Format(time.RFC3339)
		if o.Failure != nil {
			text += ": " + o.Failure.Message
		}
		return o.ScheduleID, text
	case client.WebhookEndpoint:
		return o.ID, o.URL
	}
	return e.ID, ""
}

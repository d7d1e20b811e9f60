package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/webhooks"
)

// hooksCommand adds what merchants do with webhooks, and what operators do with
// their secrets, to the endpoints' own command.
func hooksCommand() *cobra.Command {
	cmd := webhooksCommand()
	cmd.Short = "Look at webhooks, receive them, send them again"
	cmd.AddCommand(listEndpointsCommand(), resendCommand(), listenCommand(), resealCommand())
	return cmd
}

// printed renders what a command answers as --output says.
func printed(cmd *cobra.Command, format string, answer any, table func(w io.Writer)) error {
	switch format {
	case "json":
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(answer)
	case "table":
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
		table(w)
		return w.Flush()
	}
	return fmt.Errorf("--output %q: use json or table", format)
}

func outputFlag(cmd *cobra.Command, format *string) *cobra.Command {
	cmd.Flags().StringVar(format, "output", "table", "json or table")
	return cmd
}

func listEndpointsCommand() *cobra.Command {
	var format string
	return outputFlag(&cobra.Command{
		Use: "list", Short: "List webhook endpoints, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newAPIClient()
			if err != nil {
				return err
			}
			var list page[webhooks.Endpoint]
			if err := c.call(cmd.Context(), http.MethodGet, "/v1/webhook_endpoints", "", nil, &list); err != nil {
				return err
			}
			return printed(cmd, format, list.Data, func(w io.Writer) {
				fmt.Fprintln(w, "ID\tSTATE\tFAILURES\tURL\tEVENTS")
				for _, e := range list.Data {
					fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", e.ID, e.State, e.Failures, e.URL, strings.Join(e.EventTypes, ","))
				}
			})
		},
	}, &format)
}

// delivery is what resend answers.
type delivery struct {
	EventID      string    `json:"event_id"`
	EventType    string    `json:"event_type"`
	EndpointID   string    `json:"endpoint_id"`
	State        string    `json:"state"`
	AttemptCount int       `json:"attempt_count"`
	CreatedAt    time.Time `json:"created_at"`
}

func resendCommand() *cobra.Command {
	var format string
	return outputFlag(&cobra.Command{
		Use: "resend EVENT ENDPOINT", Short: "Send an event to a webhook endpoint again, now", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newAPIClient()
			if err != nil {
				return err
			}
			var d delivery
			if err := c.call(cmd.Context(), http.MethodPost, fmt.Sprintf("/v1/events/%s/deliveries/%s/resend", args[0], args[1]), "", nil, &d); err != nil {
				return err
			}
			return printed(cmd, format, d, func(w io.Writer) {
				fmt.Fprintln(w, "EVENT\tTYPE\tENDPOINT\tSTATE\tATTEMPTS")
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\n", d.EventID, d.EventType, d.EndpointID, d.State, d.AttemptCount)
			})
		},
	}, &format)
}

func listenCommand() *cobra.Command {
	var port int
	var format string
	cmd := outputFlag(&cobra.Command{
		Use: "listen", Short: "Receive webhooks on this machine: verify and print each, until Ctrl-C", Args: cobra.NoArgs,
		Long: "Receive webhooks on this machine: verify and print each, until Ctrl-C. The endpoint's secret is taken from SETTLE_WEBHOOK_SECRET.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			secret := os.Getenv("SETTLE_WEBHOOK_SECRET")
			if secret == "" {
				return errors.New("SETTLE_WEBHOOK_SECRET is not set: give the endpoint's secret (whsec_...)")
			}
			verify, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				return fmt.Errorf("SETTLE_WEBHOOK_SECRET: %w", err)
			}
			if format != "json" && format != "table" {
				return fmt.Errorf("--output %q: use json or table", format)
			}
			return listen(cmd.Context(), cmd.OutOrStdout(), port, verify, format)
		},
	}, &format)
	cmd.Flags().IntVar(&port, "port", 4242, "port on 127.0.0.1; 0: a free one")
	return cmd
}

// listen prints a line per webhook that verifies, and refuses the others.
func listen(ctx context.Context, out io.Writer, port int, verify *standardwebhooks.Webhook, format string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("--port: %w", err)
	}
	fmt.Fprintf(out, "listening on http://%s\n", listener.Addr())
	server := &http.Server{ReadTimeout: webhooks.SendTimeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, webhooks.MaxBodyBytes))
		if err != nil || verify.Verify(body, r.Header) != nil {
			fmt.Fprintf(out, "refused %s: the signature does not verify with SETTLE_WEBHOOK_SECRET\n", r.Header.Get(standardwebhooks.HeaderWebhookID))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintln(out, line(body, format))
		w.WriteHeader(http.StatusNoContent)
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // requests under way are sent again
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// line is what is printed of a verified event.
func line(body []byte, format string) string {
	var e struct {
		ID   string `json:"id"`
		Type string `json:"type"`
		Data struct {
			Object struct {
				ID       string `json:"id"`
				Sequence int64  `json:"sequence"`
			} `json:"object"`
		} `json:"data"`
	}
	if format == "json" || json.Unmarshal(body, &e) != nil {
		return string(body)
	}
	return fmt.Sprintf("%s  %-28s %s  %d", e.ID, e.Type, e.Data.Object.ID, e.Data.Object.Sequence)
}

func resealCommand() *cobra.Command {
	return &cobra.Command{
		Use: "reseal", Short: "Seal all signing secrets under the first key of SETTLE_WEBHOOK_KEYS, so that the others may go", Args: cobra.NoArgs,
		RunE: operate(func(ctx context.Context, p *process, cmd *cobra.Command) error {
			sealer, err := p.sealer()
			if err != nil {
				return err
			}
			n, err := webhooks.Reseal(ctx, p.store, sealer)
			fmt.Fprintf(cmd.OutOrStdout(), "%d endpoints are now sealed under %s\n", n, sealer.KeyID())
			return err
		}),
	}
}

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
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

// webhooksCommand is what operators do with endpoints and their secrets, and
// what merchants do with webhooks.
func webhooksCommand() *cobra.Command {
	return group("webhooks", "Manage webhook endpoints; look at webhooks, receive them, send them again",
		createEndpoint(), listEndpointsCommand(), resendCommand(), listenCommand(), resealSecrets())
}

func createEndpoint() *cobra.Command {
	var merchant, mode, url string
	var types []string
	return operation{
		use: "create", short: "Register a webhook endpoint and print its secret, once", required: []string{"merchant", "url"},
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&merchant, "merchant", "", "merchant id")
			cmd.Flags().StringVar(&mode, "mode", "test", "test or live")
			cmd.Flags().StringVar(&url, "url", "", "where events are posted")
			cmd.Flags().StringSliceVar(&types, "events", nil, "event types, '*' or a prefix such as 'payment_intent.*' (default: the ends of a payment)")
		},
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			sealer, err := p.sealer()
			if err != nil {
				return result{}, err
			}
			e, secret, err := webhooks.CreateEndpoint(ctx, p.store, sealer, p.guard(), webhooks.NewEndpoint{
				MerchantID: merchant, Mode: payment.Mode(mode), URL: url, EventTypes: types})
			return line(map[string]string{"id": e.ID, "secret": secret}, e.ID, secret), err
		},
	}.command()
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
			return listed(list.Data, []string{"ID", "STATE", "FAILURES", "URL", "EVENTS"}, func(e webhooks.Endpoint) []string {
				return []string{e.ID, string(e.State), strconv.Itoa(e.Failures), e.URL, strings.Join(e.EventTypes, ",")}
			}).print(cmd.OutOrStdout(), format)
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
			return result{d, [][]string{{"EVENT", "TYPE", "ENDPOINT", "STATE", "ATTEMPTS"},
				{d.EventID, d.EventType, d.EndpointID, d.State, strconv.Itoa(d.AttemptCount)}}}.print(cmd.OutOrStdout(), format)
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
			if err := checkOutput(format); err != nil {
				return err
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
		fmt.Fprintln(out, received(body, format))
		w.WriteHeader(http.StatusNoContent)
	})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // requests under way are sent again
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// received is what is printed of a verified event.
func received(body []byte, format string) string {
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

func resealSecrets() *cobra.Command {
	return operation{
		use: "reseal", short: "Seal all signing secrets under the first key of SETTLE_WEBHOOK_KEYS, so that the others may go",
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			sealer, err := p.sealer()
			if err != nil {
				return result{}, err
			}
			n, err := webhooks.Reseal(ctx, p.store, sealer)
			return line(map[string]any{"resealed": n, "key_id": sealer.KeyID()}, fmt.Sprintf("%d endpoints are now sealed under %s", n, sealer.KeyID())), err
		},
	}.command()
}

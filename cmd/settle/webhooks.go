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

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/client"
	"github.com/settlehq/settle/webhooks"
)

// webhooksCommand is what operators do with endpoints and their secrets, and
// what merchants do with webhooks.
func webhooksCommand() *cobra.Command {
	return group("webhooks", "Manage webhook endpoints; look at webhooks, receive them, send them again",
		createEndpoint(), listEndpointsCommand(), resendCommand(), listenCommand(), resealSecrets())
}

func createEndpoint() *cobra.Command {
	var url string
	var types []string
	cmd := &cobra.Command{Use: "create", Short: "Register a webhook endpoint and print its secret, once", Args: cobra.NoArgs,
		Example: "  settle webhooks create --url https://example.com/webhooks/settle --events 'payment_intent.*'"}
	cmd.Flags().StringVar(&url, "url", "", "where events are posted")
	cmd.Flags().StringSliceVar(&types, "events", nil, "event types, '*' or a prefix such as 'payment_intent.*' (default: the ends of a payment)")
	_ = cmd.MarkFlagRequired("url")
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, _ []string) (result, error) {
		made, err := c.CreateWebhookEndpointWithResponse(ctx, client.WebhookEndpointRequest{URL: url, EventTypes: types})
		if err != nil {
			return result{}, err
		}
		return line(made.JSON201, made.JSON201.ID, made.JSON201.Secret), nil
	})
}

func listEndpointsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List webhook endpoints, oldest first", Args: cobra.NoArgs}
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, _ []string) (result, error) {
		list, err := c.ListWebhookEndpointsWithResponse(ctx)
		if err != nil {
			return result{}, err
		}
		return listed(list.JSON200.Data, []string{"ID", "STATE", "FAILURES", "URL", "EVENTS"}, func(e client.WebhookEndpoint) []string {
			return []string{e.ID, string(e.State), strconv.FormatInt(e.Failures, 10), e.URL, strings.Join(e.EventTypes, ",")}
		}), nil
	})
}

func resendCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "resend EVENT ENDPOINT", Short: "Send an event to a webhook endpoint again, now", Args: cobra.ExactArgs(2),
		Example: "  settle webhooks resend evt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f we_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"}
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		sent, err := c.ResendEventWithResponse(ctx, args[0], args[1])
		if err != nil {
			return result{}, err
		}
		d := sent.JSON202
		return result{d, [][]string{{"EVENT", "TYPE", "ENDPOINT", "STATE", "ATTEMPTS"},
			{d.EventID, d.EventType, d.EndpointID, string(d.State), strconv.FormatInt(d.AttemptCount, 10)}}}, nil
	})
}

func listenCommand() *cobra.Command {
	var port int
	var format string
	cmd := outputFlag(&cobra.Command{
		Use: "listen", Example: "  SETTLE_WEBHOOK_SECRET=whsec_... settle webhooks listen --port 4242", Short: "Receive webhooks on this machine: verify and print each, until Ctrl-C", Args: cobra.NoArgs,
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

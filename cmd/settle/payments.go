package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
)

func paymentsCommand() *cobra.Command {
	return group("payments", "Look at payments", listCommand(), showCommand())
}

func listCommand() *cobra.Command {
	var status, chain string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List payments, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newAPIClient()
			if err != nil {
				return err
			}
			q := url.Values{"limit": {strconv.Itoa(limit)}}
			if status != "" {
				q.Set("status", status)
			}
			if chain != "" {
				q.Set("chain", chain)
			}
			var list page[payment.Resource]
			if err := c.call(cmd.Context(), http.MethodGet, "/v1/payment_intents?"+q.Encode(), "", nil, &list); err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tCREATED\tAMOUNT\tSTATUS\tCHAIN\tREMARK")
			for _, r := range list.Data {
				fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%s\t%s\n", r.ID, r.CreatedAt.Format(time.DateTime), r.Amount, r.Asset, r.Status, r.Chain, remark(r))
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only this status")
	cmd.Flags().StringVar(&chain, "chain", "", "only this chain")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many, 1 to 100")
	return cmd
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one payment with its events", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newAPIClient()
			if err != nil {
				return err
			}
			r, err := c.intent(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			b, err := json.MarshalIndent(r, "", "  ")
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), string(b))
			var events page[payment.Event]
			if err := c.call(cmd.Context(), http.MethodGet, "/v1/payment_intents/"+args[0]+"/events?limit=100", "", nil, &events); err != nil {
				return err
			}
			for _, e := range events.Data {
				fmt.Fprintf(cmd.OutOrStdout(), "%3d  %s  %s\n", e.Data.Object.Sequence, e.Timestamp.Format(time.RFC3339Nano), e.Type)
			}
			return nil
		},
	}
}

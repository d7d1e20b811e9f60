package main

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/client"
)

func paymentsCommand() *cobra.Command {
	return group("payments", "Look at payments", listCommand(), showCommand())
}

func listCommand() *cobra.Command {
	var status []string
	var chain string
	var limit int64
	cmd := &cobra.Command{Use: "list", Short: "List payments, newest first", Args: cobra.NoArgs,
		Example: "  settle payments list --status manual_review,failed --output json"}
	cmd.Flags().StringSliceVar(&status, "status", nil, "only these statuses, separated by commas")
	cmd.Flags().StringVar(&chain, "chain", "", "only this chain")
	cmd.Flags().Int64Var(&limit, "limit", 20, "how many, 1 to 100")
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, _ []string) (result, error) {
		q := &client.ListPaymentIntentsParams{Limit: &limit, Chain: given(chain)}
		for _, s := range status {
			q.Status = append(q.Status, client.ListPaymentIntentsParamsStatus(s))
		}
		list, err := c.ListPaymentIntentsWithResponse(ctx, q)
		if err != nil {
			return result{}, err
		}
		return listed(list.JSON200.Data, []string{"ID", "CREATED", "AMOUNT", "STATUS", "CHAIN", "REMARK"}, func(r client.PaymentIntent) []string {
			return []string{r.ID, r.CreatedAt.Format(time.DateTime), r.Amount + " " + r.Asset, string(r.Status), value(r.Chain), remark(r)}
		}), nil
	})
}

// shownPayment is a payment with what happened to it.
type shownPayment struct {
	Payment client.PaymentIntent `json:"payment_intent"`
	Events  []client.Event       `json:"events"`
}

func showCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one payment with its events", Args: cobra.ExactArgs(1),
		Example: "  settle payments show pi_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"}
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		paid, err := c.GetPaymentIntentWithResponse(ctx, args[0], nil)
		if err != nil {
			return result{}, err
		}
		var shown shownPayment
		if err := json.Unmarshal(paid.Body, &shown.Payment); err != nil { // nothing is expanded
			return result{}, err
		}
		limit := int64(100)
		events, err := c.ListPaymentIntentEventsWithResponse(ctx, args[0], &client.ListPaymentIntentEventsParams{Limit: &limit})
		if err != nil {
			return result{}, err
		}
		shown.Events = events.JSON200.Data
		return result{shown, shown.rows()}, nil
	})
}

func (p shownPayment) rows() [][]string {
	r := p.Payment
	rows := [][]string{{"id", r.ID}, {"status", string(r.Status), value(r.Substatus)}, {"amount", r.Amount + " " + r.Asset},
		{"reference", value(r.Reference)}, {"chain", value(r.Chain)}, {"address", value(r.Address)}, {"transaction", value(r.TransactionHash)},
		{"remark", remark(r)}, nil}
	for _, e := range p.Events {
		rows = append(rows, []string{strconv.FormatInt(e.Data.Object.Sequence, 10), e.Timestamp.Format(time.RFC3339Nano), e.Type})
	}
	return rows
}

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/client"
	"github.com/settlehq/settle/payment"
)

func payCommand() *cobra.Command {
	var to []string
	var priority, key, reference, output string
	cmd := &cobra.Command{
		Use:   "pay AMOUNT --to CHAIN:ADDRESS",
		Short: "Create a payment and follow it until it ends",
		Long: `Creates a payment intent through the API (SETTLE_API_URL, SETTLE_API_KEY) and prints a line
for each step. Interrupting it stops the watching, never the payment.`,
		Example: "  settle pay 12.50 --to ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --to solana:9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			order := client.CreateIntentRequest{Amount: &args[0], Asset: &payment.USDC.Code, Reference: given(reference),
				Priority: given(client.CreateIntentRequestPriority(priority))}
			if order.Destinations, err = destinations(to); err != nil {
				return err
			}
			if key == "" {
				key = client.NewIdempotencyKey()
			}
			created, err := c.CreatePaymentIntentWithResponse(cmd.Context(), &client.CreatePaymentIntentParams{IdempotencyKey: key}, order)
			if err != nil {
				return err
			}
			if !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), created.JSON201.ID)
			}
			return watch(cmd.Context(), cmd.OutOrStdout(), c, created.JSON201.ID, asJSON)
		},
	}
	cmd.Flags().StringSliceVar(&to, "to", nil, "destination as CHAIN:ADDRESS; give one per chain the payee accepts")
	cmd.Flags().StringVar(&priority, "priority", "cheap", "cheap, fast or reliable")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "repeat a payment safely with the same key (default: a new one)")
	cmd.Flags().StringVar(&reference, "reference", "", "your reference")
	_ = cmd.MarkFlagRequired("to")
	return streamOutput(cmd, &output)
}

// destinations reads the --to flags.
func destinations(to []string) ([]client.DestinationRequest, error) {
	var out []client.DestinationRequest
	for _, t := range to {
		chain, address, ok := strings.Cut(t, ":")
		if !ok {
			return nil, fmt.Errorf("--to %q: write CHAIN:ADDRESS", t)
		}
		out = append(out, client.DestinationRequest{Chain: &chain, Address: &address})
	}
	return out, nil
}

// remark says what is worth knowing about a state.
func remark(r client.PaymentIntent) string {
	switch {
	case r.Review != nil:
		return fmt.Sprintf("%s: %s", r.Review.Reason, value(r.Review.Detail))
	case r.Failure != nil:
		return r.Failure.Message
	case r.TransactionHash != nil:
		return *r.TransactionHash
	case r.Chain != nil:
		return fmt.Sprintf("%s %s to %s on %s", r.Amount, r.Asset, value(r.Address), *r.Chain)
	}
	return fmt.Sprintf("%s %s", r.Amount, r.Asset)
}

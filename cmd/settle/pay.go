package main

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func payCommand() *cobra.Command {
	var to []string
	var priority, key, reference string
	cmd := &cobra.Command{
		Use:   "pay AMOUNT --to CHAIN:ADDRESS",
		Short: "Create a payment and follow it until it ends",
		Long: `Creates a payment intent through the API (SETTLE_API_URL, SETTLE_API_KEY) and prints a line
for each step. Interrupting it stops the watching, never the payment.`,
		Example: "  settle pay 12.50 --to ethereum:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --to solana:9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newAPIClient()
			if err != nil {
				return err
			}
			body := map[string]any{"amount": args[0], "asset": payment.USDC.Code, "priority": priority}
			var destinations []payment.Destination
			for _, t := range to {
				chain, address, ok := strings.Cut(t, ":")
				if !ok {
					return fmt.Errorf("--to %q: write CHAIN:ADDRESS", t)
				}
				destinations = append(destinations, payment.Destination{Chain: payment.Chain(chain), Address: address})
			}
			body["destinations"] = destinations
			if reference != "" {
				body["reference"] = reference
			}
			if key == "" {
				key = store.NewID("cli")
			}
			var r payment.Resource
			if err := c.call(cmd.Context(), http.MethodPost, "/v1/payment_intents", key, body, &r); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), r.ID)
			return watch(cmd.Context(), cmd.OutOrStdout(), c, r.ID, false)
		},
	}
	cmd.Flags().StringSliceVar(&to, "to", nil, "destination as CHAIN:ADDRESS; give one per chain the payee accepts")
	cmd.Flags().StringVar(&priority, "priority", "cheap", "cheap, fast or reliable")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "repeat a payment safely with the same key (default: a new one)")
	cmd.Flags().StringVar(&reference, "reference", "", "your reference")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// remark says what is worth knowing about a state.
func remark(r payment.Resource) string {
	switch {
	case r.Review != nil:
		return fmt.Sprintf("%s: %s", r.Review.Reason, r.Review.Detail)
	case r.Failure != nil:
		return r.Failure.Message
	case r.TxHash != "":
		return r.TxHash
	case r.Chain != "":
		return fmt.Sprintf("%s %s to %s on %s", r.Amount, r.Asset, r.Address, r.Chain)
	}
	return fmt.Sprintf("%s %s", r.Amount, r.Asset)
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

func webhooksCommand() *cobra.Command {
	var merchant, mode, url string
	var types []string
	return group("webhooks", "Manage webhook endpoints", operation{
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
	}.command())
}

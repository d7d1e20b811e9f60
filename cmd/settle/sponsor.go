package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/api"
)

// sponsorshipCell is a sponsorship in a table; nil is none.
func sponsorshipCell(s *api.Sponsorship) string {
	if s == nil {
		return "no"
	}
	return s.MaxFee + " each, " + s.MaxFeePerDay + " a day"
}

func sponsorCommand() *cobra.Command {
	var r api.SponsorshipRequest
	return operation{
		use: "sponsor ID", short: "Pay the gas of authorizations that payers sign for a merchant, up to limits; in effect at once", args: cobra.ExactArgs(1),
		example: "  settle merchants sponsor mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --max-fee 0.50 --max-fee-per-day 100",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&r.MaxFee, "max-fee", "", "most USDC that the gas of one payment may cost")
			cmd.Flags().StringVar(&r.MaxFeePerDay, "max-fee-per-day", "", "most USDC that the payments accepted on one day (UTC) may cost, each counted with --max-fee")
		},
		required: []string{"max-fee", "max-fee-per-day"},
		run: func(ctx context.Context, p *process, args []string) (result, error) {
			s, err := api.SponsorMerchant(ctx, p.store, args[0], r, operator())
			return line(s, args[0], sponsorshipCell(&s)), err
		},
	}.command()
}

func unsponsorCommand() *cobra.Command {
	return operation{
		use: "unsponsor ID", short: "Accept no more sponsored payments of a merchant; what was accepted goes on", args: cobra.ExactArgs(1),
		example: "  settle merchants unsponsor mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f",
		run: func(ctx context.Context, p *process, args []string) (result, error) {
			err := api.UnsponsorMerchant(ctx, p.store, args[0], operator())
			return line(map[string]string{"merchant": args[0]}, args[0]), err
		},
	}.command()
}

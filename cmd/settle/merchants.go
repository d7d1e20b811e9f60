package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/api"
)

// noLimit is how a limit is taken away, and shown.
const noLimit = "none"

// merchantRow is a merchant in a table.
func merchantRow(m api.Merchant) []string {
	limit := func(text *string) string {
		if text == nil {
			return noLimit
		}
		return *text
	}
	return []string{m.ID, m.Name, limit(m.ReviewAbove), limit(m.MaxAmount), when(&m.CreatedAt)}
}

var merchantTitles = []string{"ID", "NAME", "REVIEW ABOVE", "MAX AMOUNT", "CREATED"}

// merchantFlags are what can be said of a merchant; "" leaves it as it is.
type merchantFlags struct{ name, reviewAbove, maxAmount string }

func (f *merchantFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "name", "", "display name")
	cmd.Flags().StringVar(&f.reviewAbove, "review-above", "", "payments above this many USDC wait for a person; none: no payment does")
	cmd.Flags().StringVar(&f.maxAmount, "max-amount", "", "payments above this many USDC are refused; none: no payment is")
}

func (f *merchantFlags) limits() api.LimitsRequest {
	return api.LimitsRequest{ReviewAbove: limitFlag(f.reviewAbove), MaxAmount: limitFlag(f.maxAmount)}
}

func limitFlag(text string) api.Limit {
	switch text {
	case "":
		return api.Limit{}
	case noLimit:
		return api.Limit{Given: true}
	}
	return api.Limit{Given: true, Text: &text}
}

func merchantsCommand() *cobra.Command {
	var made, changed merchantFlags
	return group("merchants", "Manage merchants",
		operation{
			use: "create", short: "Create a merchant and print its id", flags: made.add, required: []string{"name"},
			example: "  settle merchants create --name 'Example Ltd' --review-above 10000",
			run: func(ctx context.Context, p *process, _ []string) (result, error) {
				m, err := api.CreateMerchant(ctx, p.store, api.MerchantRequest{Name: made.name, LimitsRequest: made.limits()}, operator())
				return line(m, m.ID), err
			},
		}.command(),
		operation{
			use: "list", short: "List merchants with their limits, newest first",
			run: func(ctx context.Context, p *process, _ []string) (result, error) {
				merchants, _, err := api.ListMerchants(ctx, p.store, nil, 0)
				return listed(merchants, merchantTitles, merchantRow), err
			},
		}.command(),
		operation{
			use: "show ID", short: "Show a merchant with its limits and balances", args: cobra.ExactArgs(1), run: merchantDetails,
			example: "  settle merchants show mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f",
		}.command(),
		operation{
			use: "set ID", short: "Change a merchant's name or limits; in effect within seconds", args: cobra.ExactArgs(1),
			flags: func(cmd *cobra.Command) {
				changed.add(cmd)
				cmd.MarkFlagsOneRequired("name", "review-above", "max-amount")
			},
			example: "  settle merchants set mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --max-amount 50000 --review-above none",
			run: func(ctx context.Context, p *process, args []string) (result, error) {
				r := api.UpdateMerchantRequest{LimitsRequest: changed.limits()}
				if changed.name != "" {
					r.Name = &changed.name
				}
				m, err := api.ChangeMerchant(ctx, p.store, args[0], r, operator())
				return listed([]api.Merchant{m}, merchantTitles, merchantRow), err
			},
		}.command(),
		sponsorCommand(), unsponsorCommand())
}

func merchantDetails(ctx context.Context, p *process, args []string) (result, error) {
	m, err := api.DescribeMerchant(ctx, p.store, args[0])
	balance := func(b api.Balance) string { return b.Available + " and " + b.Held + " held" }
	row := func(m api.MerchantDetails) []string {
		return append(merchantRow(m.Merchant), balance(m.Balances.Live), balance(m.Balances.Test), sponsorshipCell(m.Sponsorship))
	}
	r := listed([]api.MerchantDetails{m}, append(merchantTitles, "LIVE", "TEST", "SPONSORED"), row)
	r.object = m
	return r, err
}

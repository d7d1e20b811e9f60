package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// shownSponsorship is what may be spent on gas for a merchant's sponsored
// payments, in USDC.
type shownSponsorship struct {
	MaxFee       string `json:"max_fee"`
	MaxFeePerDay string `json:"max_fee_per_day"`
}

func showSponsorship(s store.Sponsorship) *shownSponsorship {
	return &shownSponsorship{s.MaxFee.Decimal(payment.USDC.Decimals), s.MaxFeePerDay.Decimal(payment.USDC.Decimals)}
}

// sponsorshipOf reads a merchant's sponsorship; nil if it has none.
func sponsorshipOf(ctx context.Context, st *store.Store, merchantID string) (*shownSponsorship, error) {
	s, err := st.Sponsorship(ctx, merchantID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return showSponsorship(s), err
}

// cell is what a table shows.
func (s *shownSponsorship) cell() string {
	if s == nil {
		return "no"
	}
	return s.MaxFee + " each, " + s.MaxFeePerDay + " a day"
}

func sponsorCommand() *cobra.Command {
	var perPayment, perDay string
	return operation{
		use: "sponsor ID", short: "Pay the gas of authorizations that payers sign for a merchant, up to limits; in effect at once", args: cobra.ExactArgs(1),
		example: "  settle merchants sponsor mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --max-fee 0.50 --max-fee-per-day 100",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&perPayment, "max-fee", "", "most USDC that the gas of one payment may cost")
			cmd.Flags().StringVar(&perDay, "max-fee-per-day", "", "most USDC that the payments accepted on one day (UTC) may cost, each counted with --max-fee")
		},
		required: []string{"max-fee", "max-fee-per-day"},
		run: func(ctx context.Context, p *process, args []string) (result, error) {
			var s store.Sponsorship
			var err error
			if s.MaxFee, err = usdc("max-fee", perPayment); err != nil {
				return result{}, err
			}
			if s.MaxFeePerDay, err = usdc("max-fee-per-day", perDay); err != nil {
				return result{}, err
			}
			if s.MaxFee.IsZero() || s.MaxFeePerDay.Cmp(s.MaxFee) < 0 {
				return result{}, fmt.Errorf("--max-fee %s must be above 0, and --max-fee-per-day %s not below it: no payment could be sponsored", perPayment, perDay)
			}
			shown := showSponsorship(s)
			err = p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				if err := tx.Sponsor(ctx, args[0], s); err != nil {
					return err
				}
				return tx.Audit(ctx, store.AuditEntry{Actor: operator(), Action: "merchant.sponsored", ObjectID: args[0], Detail: shown})
			})
			return line(shown, args[0], shown.cell()), err
		},
	}.command()
}

func unsponsorCommand() *cobra.Command {
	return operation{
		use: "unsponsor ID", short: "Accept no more sponsored payments of a merchant; what was accepted goes on", args: cobra.ExactArgs(1),
		example: "  settle merchants unsponsor mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f",
		run: func(ctx context.Context, p *process, args []string) (result, error) {
			err := p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				if err := tx.Unsponsor(ctx, args[0]); err != nil {
					return err
				}
				return tx.Audit(ctx, store.AuditEntry{Actor: operator(), Action: "merchant.unsponsored", ObjectID: args[0]})
			})
			return line(map[string]string{"merchant": args[0]}, args[0]), err
		},
	}.command()
}

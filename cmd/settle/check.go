package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/ledger"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Prove that the books close: ledger, intents, events and chains agree",
		Long: `Recomputes everything from the entries: sums are zero, holds are resolved once, balances
equal their entries, every settled intent has one paid outcome, events are gapless, and the
ledger equals what the chains hold at a finalized block. Prints each difference and exits 1
if there is any. Payments under way may show as differences between chain and ledger.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, out := cmd.Context(), cmd.OutOrStdout()
			p, err := open(ctx, config.Check)
			if err != nil {
				return err
			}
			defer p.close()
			report, err := ledger.Check(ctx, p.store)
			if err != nil {
				return err
			}
			nets, err := p.networks(ctx, nil)
			if err != nil {
				return err
			}
			held, err := onChain(ctx, nets)
			if err != nil {
				return err
			}
			chainDifferences, err := ledger.Reconcile(ctx, p.store, held)
			if err != nil {
				return err
			}
			differences := slices.Concat(report.Differences, chainDifferences)
			for _, d := range differences {
				fmt.Fprintln(out, d)
			}
			fmt.Fprintf(out, "%d transfers, %d intents, %d events, %d chains checked: %d differences\n",
				report.Transfers, report.Intents, report.Events, len(held), len(differences))
			if len(differences) > 0 {
				return fmt.Errorf("the books do not close: %d differences", len(differences))
			}
			return nil
		},
	}
}

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/ledger"
)

// checked is what was compared, and what differs.
type checked struct {
	ledger.Report
	Chains int `json:"chains"`
}

func (c checked) rows() [][]string {
	var rows [][]string
	for _, d := range c.Differences {
		rows = append(rows, []string{d.String()})
	}
	return append(rows, []string{fmt.Sprintf("%d transfers, %d intents, %d events, %d chains checked: %d differences",
		c.Transfers, c.Intents, c.Events, c.Chains, len(c.Differences))})
}

func checkCommand() *cobra.Command {
	var output string
	return outputFlag(&cobra.Command{
		Use:   "check",
		Short: "Prove that the books close: ledger, intents, events and chains agree",
		Long: `Recomputes everything from the entries: sums are zero, holds are resolved once, balances
equal their entries, every settled intent has one paid outcome, events are gapless, and the
ledger equals what the chains hold at a finalized block. Prints each difference and exits 1
if there is any. Payments under way may show as differences between chain and ledger.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			ctx := cmd.Context()
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
			report.Differences = slices.Concat([]ledger.Difference{}, report.Differences, chainDifferences)
			found := checked{report, len(held)}
			if err := (result{found, found.rows()}).print(cmd.OutOrStdout(), output); err != nil {
				return err
			}
			if !report.Clean() {
				return fmt.Errorf("the books do not close: %d differences", len(report.Differences))
			}
			return nil
		},
	}, &output)
}

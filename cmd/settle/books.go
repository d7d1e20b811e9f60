package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

func booksCommand() *cobra.Command {
	return group("books", "Book money that came from outside", depositCommand(), operation{
		use: "open", short: "Book what the chains hold beyond the merchants' deposits as our own money; once per chain",
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			nets, err := p.networks(ctx, nil)
			if err != nil {
				return result{}, err
			}
			held, err := onChain(ctx, nets)
			if err != nil {
				return result{}, err
			}
			return result{}, ledger.Open(ctx, p.store, held)
		},
	}.command())
}

func depositCommand() *cobra.Command {
	var merchant, mode, chain, amount, reference string
	return operation{
		use: "deposit", short: "Book USDC that a merchant paid into a treasury", required: []string{"merchant", "mode", "chain", "amount", "reference"},
		example: "  settle books deposit --merchant mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --mode live --chain ethereum --amount 1000.00 --reference 0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&merchant, "merchant", "", "merchant id")
			cmd.Flags().StringVar(&mode, "mode", "", "whose payments it is for: test or live")
			cmd.Flags().StringVar(&chain, "chain", "", "chain the money came in on")
			cmd.Flags().StringVar(&amount, "amount", "", "USDC, e.g. 1000.00")
			cmd.Flags().StringVar(&reference, "reference", "", "of the deposit, e.g. its transaction hash; books it once")
		},
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			a, err := usdc("amount", amount)
			if err != nil {
				return result{}, err
			}
			holder := ledger.Holder{MerchantID: merchant, Mode: payment.Mode(mode)}
			if holder.Mode != payment.Test && holder.Mode != payment.Live {
				return result{}, fmt.Errorf("--mode %q: use test or live", mode)
			}
			if _, err := p.store.Merchant(ctx, merchant); err != nil {
				return result{}, err
			}
			return result{}, p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				if err := ledger.Deposit(ctx, tx, "deposit:"+reference, holder, payment.Chain(chain), payment.USDC, a, time.Now()); err != nil {
					return err
				}
				return tx.Audit(ctx, store.AuditEntry{Actor: operator(), Action: "books.deposit", ObjectID: merchant, Reason: reference,
					Detail: map[string]string{"mode": mode, "chain": chain, "amount": a.String()}})
			})
		},
	}.command()
}

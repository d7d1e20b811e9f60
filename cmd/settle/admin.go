package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// operate runs an operator's command with the admin settings.
func operate(run func(ctx context.Context, p *process, cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		p, err := open(cmd.Context(), config.Admin)
		if err != nil {
			return err
		}
		defer p.close()
		return run(cmd.Context(), p, cmd)
	}
}

func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short}
	g.AddCommand(commands...)
	return g
}

// amountFlag reads an optional flag in units of USDC.
func amountFlag(name, text string) (*payment.Amount, error) {
	if text == "" {
		return nil, nil
	}
	a, err := payment.ParseDecimal(text, payment.USDC.Decimals)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", name, err)
	}
	return &a, nil
}

func merchantsCommand() *cobra.Command {
	var name, reviewAbove, maxAmount string
	create := &cobra.Command{
		Use: "create", Short: "Create a merchant and print its id", Args: cobra.NoArgs,
		RunE: operate(func(ctx context.Context, p *process, cmd *cobra.Command) error {
			review, err := amountFlag("review-above", reviewAbove)
			if err != nil {
				return err
			}
			most, err := amountFlag("max-amount", maxAmount)
			if err != nil {
				return err
			}
			var m store.Merchant
			err = p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
				m, err = tx.CreateMerchant(ctx, store.Merchant{Name: name, ReviewAbove: review, MaxAmount: most})
				return err
			})
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), m.ID)
			}
			return err
		}),
	}
	create.Flags().StringVar(&name, "name", "", "display name")
	create.Flags().StringVar(&reviewAbove, "review-above", "", "payments above this many USDC wait for a person")
	create.Flags().StringVar(&maxAmount, "max-amount", "", "payments above this many USDC are refused")
	_ = create.MarkFlagRequired("name")
	return group("merchants", "Manage merchants", create)
}

func keysCommand() *cobra.Command {
	var merchant, mode, name string
	create := &cobra.Command{
		Use: "create", Short: "Issue an API key and print it, once", Args: cobra.NoArgs,
		RunE: operate(func(ctx context.Context, p *process, cmd *cobra.Command) error {
			key, err := api.IssueKey(ctx, p.store, p.config.APIKeyPeppers, api.KeyRequest{MerchantID: merchant, Mode: payment.Mode(mode), Name: name, Actor: "cli"})
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), key)
			}
			return err
		}),
	}
	create.Flags().StringVar(&merchant, "merchant", "", "merchant id")
	create.Flags().StringVar(&mode, "mode", "test", "test or live")
	create.Flags().StringVar(&name, "name", "", "what the key is for")
	_ = create.MarkFlagRequired("merchant")
	return group("keys", "Manage API keys", create)
}

func webhooksCommand() *cobra.Command {
	var merchant, mode, url string
	var types []string
	create := &cobra.Command{
		Use: "create", Short: "Register a webhook endpoint and print its secret, once", Args: cobra.NoArgs,
		RunE: operate(func(ctx context.Context, p *process, cmd *cobra.Command) error {
			sealer, err := p.sealer()
			if err != nil {
				return err
			}
			e, secret, err := webhooks.CreateEndpoint(ctx, p.store, sealer, p.guard(), webhooks.NewEndpoint{
				MerchantID: merchant, Mode: payment.Mode(mode), URL: url, EventTypes: types})
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), e.ID, secret)
			}
			return err
		}),
	}
	create.Flags().StringVar(&merchant, "merchant", "", "merchant id")
	create.Flags().StringVar(&mode, "mode", "test", "test or live")
	create.Flags().StringVar(&url, "url", "", "where events are posted")
	create.Flags().StringSliceVar(&types, "events", nil, "event types, '*' or a prefix such as 'payment_intent.*' (default: the ends of a payment)")
	_ = create.MarkFlagRequired("merchant")
	_ = create.MarkFlagRequired("url")
	return group("webhooks", "Manage webhook endpoints", create)
}

func booksCommand() *cobra.Command {
	var merchant, chain, amount, reference string
	deposit := &cobra.Command{
		Use: "deposit", Short: "Book USDC that a merchant paid into a treasury", Args: cobra.NoArgs,
		RunE: operate(func(ctx context.Context, p *process, _ *cobra.Command) error {
			a, err := payment.ParseDecimal(amount, payment.USDC.Decimals)
			if err != nil {
				return fmt.Errorf("--amount: %w", err)
			}
			return p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				if err := ledger.Deposit(ctx, tx, "deposit:"+reference, merchant, payment.Chain(chain), payment.USDC, a, time.Now()); err != nil {
					return err
				}
				return tx.Audit(ctx, store.AuditEntry{Actor: "cli", Action: "books.deposit", ObjectID: merchant, Reason: reference,
					Detail: map[string]string{"chain": chain, "amount": a.String()}})
			})
		}),
	}
	deposit.Flags().StringVar(&merchant, "merchant", "", "merchant id")
	deposit.Flags().StringVar(&chain, "chain", "", "chain the money came in on")
	deposit.Flags().StringVar(&amount, "amount", "", "USDC, e.g. 1000.00")
	deposit.Flags().StringVar(&reference, "reference", "", "of the deposit, e.g. its transaction hash; books it once")
	for _, f := range []string{"merchant", "chain", "amount", "reference"} {
		_ = deposit.MarkFlagRequired(f)
	}
	open := &cobra.Command{
		Use: "open", Short: "Book what the chains hold beyond the merchants' deposits as our own money; once per chain", Args: cobra.NoArgs,
		RunE: operate(func(ctx context.Context, p *process, _ *cobra.Command) error {
			nets, err := p.networks(ctx, nil)
			if err != nil {
				return err
			}
			held, err := onChain(ctx, nets)
			if err != nil {
				return err
			}
			return ledger.Open(ctx, p.store, held)
		}),
	}
	return group("books", "Book money that came from outside", deposit, open)
}

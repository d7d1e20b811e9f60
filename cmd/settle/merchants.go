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

// noLimit is how a limit is taken away.
const noLimit = "none"

// shownMerchant is a merchant as operators see it, amounts in USDC.
type shownMerchant struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	ReviewAbove *string   `json:"review_above"`
	MaxAmount   *string   `json:"max_amount"`
	CreatedAt   time.Time `json:"created_at"`
}

// shownBalance is what a merchant has in a mode, in USDC.
type shownBalance struct {
	Available string `json:"available"`
	Held      string `json:"held"`
}

func showMerchant(m store.Merchant) shownMerchant {
	limit := func(a *payment.Amount) *string {
		if a == nil {
			return nil
		}
		text := a.Decimal(payment.USDC.Decimals)
		return &text
	}
	return shownMerchant{m.ID, m.Name, limit(m.ReviewAbove), limit(m.MaxAmount), m.CreatedAt.UTC()}
}

func (m shownMerchant) row() []string {
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

// change returns what the flags do to a merchant.
func (f *merchantFlags) change() (func(*store.Merchant), error) {
	review, err := limitFlag("review-above", f.reviewAbove)
	if err != nil {
		return nil, err
	}
	most, err := limitFlag("max-amount", f.maxAmount)
	if err != nil {
		return nil, err
	}
	return func(m *store.Merchant) {
		if f.name != "" {
			m.Name = f.name
		}
		if f.reviewAbove != "" {
			m.ReviewAbove = review
		}
		if f.maxAmount != "" {
			m.MaxAmount = most
		}
	}, nil
}

// limitFlag reads a limit; none and nothing are nil.
func limitFlag(name, text string) (*payment.Amount, error) {
	if text == "" || text == noLimit {
		return nil, nil
	}
	a, err := usdc(name, text)
	return &a, err
}

func merchantsCommand() *cobra.Command {
	var made, changed merchantFlags
	return group("merchants", "Manage merchants",
		operation{
			use: "create", short: "Create a merchant and print its id", flags: made.add, required: []string{"name"},
			example: "  settle merchants create --name 'Example Ltd' --review-above 10000",
			run: func(ctx context.Context, p *process, _ []string) (result, error) {
				change, err := made.change()
				if err != nil {
					return result{}, err
				}
				var m store.Merchant
				change(&m)
				err = p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
					if m, err = tx.CreateMerchant(ctx, m); err != nil {
						return err
					}
					return tx.Audit(ctx, store.AuditEntry{Actor: operator(), Action: "merchant.created", ObjectID: m.ID, Detail: showMerchant(m)})
				})
				return line(showMerchant(m), m.ID), err
			},
		}.command(),
		operation{
			use: "list", short: "List merchants with their limits, oldest first",
			run: func(ctx context.Context, p *process, _ []string) (result, error) {
				merchants, err := p.store.Merchants(ctx)
				var shown []shownMerchant
				for _, m := range merchants {
					shown = append(shown, showMerchant(m))
				}
				return listed(shown, merchantTitles, shownMerchant.row), err
			},
		}.command(),
		operation{
			use: "show ID", short: "Show a merchant with its limits and balances", args: cobra.ExactArgs(1), run: merchantDetails,
			example: "  settle merchants show mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f",
		}.command(),
		operation{
			use: "set ID", short: "Change a merchant's name or limits; in effect within seconds", args: cobra.ExactArgs(1), flags: changed.add,
			example: "  settle merchants set mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --max-amount 50000 --review-above none",
			run: func(ctx context.Context, p *process, args []string) (result, error) {
				if changed == (merchantFlags{}) {
					return result{}, fmt.Errorf("nothing to change: give --name, --review-above or --max-amount")
				}
				change, err := changed.change()
				if err != nil {
					return result{}, err
				}
				var after store.Merchant
				err = p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
					var before store.Merchant
					if before, after, err = tx.ChangeMerchant(ctx, args[0], change); err != nil {
						return err
					}
					return tx.Audit(ctx, store.AuditEntry{Actor: operator(), Action: "merchant.changed", ObjectID: after.ID,
						Detail: map[string]shownMerchant{"before": showMerchant(before), "after": showMerchant(after)}})
				})
				return listed([]shownMerchant{showMerchant(after)}, merchantTitles, shownMerchant.row), err
			},
		}.command(),
		sponsorCommand(), unsponsorCommand())
}

func merchantDetails(ctx context.Context, p *process, args []string) (result, error) {
	m, err := p.store.Merchant(ctx, args[0])
	if err != nil {
		return result{}, err
	}
	shown := struct {
		shownMerchant
		Balances    map[payment.Mode]shownBalance `json:"balances"`
		Sponsorship *shownSponsorship             `json:"sponsorship"` // null: none
	}{shownMerchant: showMerchant(m), Balances: map[payment.Mode]shownBalance{}}
	r := listed([]shownMerchant{shown.shownMerchant}, append(merchantTitles, "LIVE", "TEST", "SPONSORED"), shownMerchant.row)
	for _, mode := range []payment.Mode{payment.Live, payment.Test} {
		b, err := ledger.MerchantBalance(ctx, p.store, ledger.Holder{MerchantID: m.ID, Mode: mode}, payment.USDC)
		if err != nil {
			return result{}, err
		}
		text := shownBalance{b.Available.Decimal(payment.USDC.Decimals), b.Held.Decimal(payment.USDC.Decimals)}
		shown.Balances[mode] = text
		r.rows[1] = append(r.rows[1], text.Available+" and "+text.Held+" held")
	}
	if shown.Sponsorship, err = sponsorshipOf(ctx, p.store, m.ID); err != nil {
		return result{}, err
	}
	r.rows[1] = append(r.rows[1], shown.Sponsorship.cell())
	r.object = shown
	return r, nil
}

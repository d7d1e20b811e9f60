package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// shownAddress is an entry of the list of blocked addresses.
type shownAddress struct {
	Chain     payment.Chain `json:"chain"`
	Address   string        `json:"address"`
	Reason    string        `json:"reason"`
	CreatedAt time.Time     `json:"created_at"`
}

func (a shownAddress) row() []string {
	return []string{string(a.Chain), a.Address, a.Reason, when(&a.CreatedAt)}
}

func addressesCommand() *cobra.Command {
	var blocked, unblocked addressFlags
	return group("addresses", "Manage the addresses that nobody may pay",
		operation{
			use: "block ADDRESS", short: "Forbid payments to an address; those that are not signed yet are rejected", args: cobra.ExactArgs(1),
			example: "  settle addresses block 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --reason sanctioned",
			flags:   blocked.add, required: []string{"reason"},
			run: func(ctx context.Context, p *process, args []string) (result, error) {
				address, err := p.canonical(ctx, payment.Chain(blocked.chain), args[0])
				if err != nil {
					return result{}, err
				}
				return p.list(ctx, "address.blocked", blocked, address, func(ctx context.Context, tx *store.Tx) error {
					return tx.BlockAddress(ctx, payment.Chain(blocked.chain), address, blocked.reason)
				})
			},
		}.command(),
		operation{
			use: "unblock ADDRESS", short: "Take an address off the list, in the form that the list shows", args: cobra.ExactArgs(1),
			example: "  settle addresses unblock 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --reason 'taken off the list'",
			flags:   unblocked.add, required: []string{"reason"},
			run: func(ctx context.Context, p *process, args []string) (result, error) {
				return p.list(ctx, "address.unblocked", unblocked, args[0], func(ctx context.Context, tx *store.Tx) error {
					return tx.UnblockAddress(ctx, payment.Chain(unblocked.chain), args[0])
				})
			},
		}.command(),
		operation{
			use: "list", short: "List the addresses that nobody may pay, oldest first",
			run: func(ctx context.Context, p *process, _ []string) (result, error) {
				list, err := p.store.BlockedAddresses(ctx)
				var shown []shownAddress
				for _, a := range list {
					shown = append(shown, shownAddress(a))
				}
				return listed(shown, []string{"CHAIN", "ADDRESS", "REASON", "SINCE"}, shownAddress.row), err
			},
		}.command())
}

type addressFlags struct{ chain, reason string }

func (f *addressFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.chain, "chain", string(store.EveryChain), "a configured chain, or * for all")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the audit log")
}

// list changes the list of blocked addresses and says so in the audit log.
func (p *process) list(ctx context.Context, action string, f addressFlags, address string, change func(context.Context, *store.Tx) error) (result, error) {
	err := p.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := change(ctx, tx); err != nil {
			return err
		}
		return tx.Audit(ctx, store.AuditEntry{Actor: operator(), Action: action, ObjectID: address, Reason: f.reason, Detail: map[string]string{"chain": f.chain}})
	})
	return line(map[string]string{"chain": f.chain, "address": address}, f.chain, address), err
}

// canonical is an address in the form in which payments name it, which only
// the chains know. It fails for what no payment can name anyway.
func (p *process) canonical(ctx context.Context, chain payment.Chain, address string) (string, error) {
	nets, err := p.networks(ctx, nil)
	if err != nil {
		return "", err
	}
	if len(nets) == 0 {
		return "", fmt.Errorf("SETTLE_CHAINS_FILE is not set: the chains know what an address looks like in payments")
	}
	err = fmt.Errorf("--chain %q is not configured", chain)
	for _, n := range nets {
		if chain != store.EveryChain && chain != n.chain.Info().Name {
			continue
		}
		var canonical string
		if canonical, err = n.chain.CheckDestination(ctx, address); err == nil {
			return canonical, nil
		}
	}
	return "", fmt.Errorf("%s: %w", address, err)
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

var keyTitles = []string{"ID", "MERCHANT", "MODE", "NAME", "STATE", "EXPIRES", "LAST USED", "SCOPES"}

// keyRow is a key in a table; an operator's has no merchant.
func keyRow(k api.Key) []string {
	return []string{k.ID, cmp.Or(k.MerchantID, "-"), string(k.Mode), k.Name, k.State, when(k.ExpiresAt), when(k.LastUsedAt), strings.Join(k.Scopes, ",")}
}

// issued shows a key that was just made; nobody can read it again.
func issued(key api.IssuedKey, err error) (result, error) { return line(key, key.Text), err }

// expiry reads --expires-in; 0 is never.
func expiry(after time.Duration) *time.Time {
	if after == 0 {
		return nil
	}
	at := time.Now().Add(after)
	return &at
}

func keysCommand() *cobra.Command {
	return group("keys", "Manage API keys", createKeyCommand(), listKeysCommand(), rollKeyCommand(), revokeKeyCommand())
}

func createKeyCommand() *cobra.Command {
	var merchant, mode, name string
	var scopes []string
	var expiresIn time.Duration
	var admin bool
	return operation{
		use: "create", short: "Issue an API key to a merchant, or to an operator, and print it, once",
		example: "  settle keys create --merchant mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --mode live --name shop --scopes payment_intents:write,payment_intents:read\n" +
			"  settle keys create --admin --name alice --scopes admin:read",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&merchant, "merchant", "", "merchant id")
			cmd.Flags().StringVar(&mode, "mode", "test", "test or live")
			cmd.Flags().BoolVar(&admin, "admin", false, "an operator's key, for the admin API; needs --name")
			cmd.Flags().StringVar(&name, "name", "", "what the key is for; of an operator's, who has it")
			cmd.Flags().StringSliceVar(&scopes, "scopes", nil, fmt.Sprintf("what it may do, separated by commas (default: everything: %v, with --admin %v)",
				api.AllScopes(payment.Live), api.AllScopes(store.Admin)))
			cmd.Flags().DurationVar(&expiresIn, "expires-in", 0, "how long it is valid, e.g. 720h (default: for ever)")
			cmd.MarkFlagsOneRequired("merchant", "admin")
			cmd.MarkFlagsMutuallyExclusive("merchant", "admin")
			cmd.MarkFlagsMutuallyExclusive("mode", "admin")
		},
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			r := api.KeyRequest{MerchantID: merchant, Mode: payment.Mode(mode), Name: name, ExpiresAt: expiry(expiresIn), Actor: operator()}
			if admin {
				r.Mode = store.Admin
			}
			for _, s := range scopes {
				r.Scopes = append(r.Scopes, api.Scope(s))
			}
			return issued(api.IssueKey(ctx, p.store, p.config.APIKeyPeppers, r))
		},
	}.command()
}

func listKeysCommand() *cobra.Command {
	var merchant string
	return operation{
		use: "list", short: "List API keys, also those that have ended, newest first",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&merchant, "merchant", "", "only this merchant's")
		},
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			keys, _, err := api.ListKeys(ctx, p.store, merchant, nil, 0)
			return listed(keys, keyTitles, keyRow), err
		},
	}.command()
}

func rollKeyCommand() *cobra.Command {
	var overlap, expiresIn time.Duration
	return operation{
		use: "roll ID", short: "Replace an API key: print a new one, once, and let the old one expire", args: cobra.ExactArgs(1),
		example: "  settle keys roll 7Kq2mZ9x --overlap 24h",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().DurationVar(&overlap, "overlap", api.DefaultOverlap, "how long the old key goes on, 0 to "+api.MaxOverlap.String())
			cmd.Flags().DurationVar(&expiresIn, "expires-in", 0, "how long the new key is valid, e.g. 720h (default: for ever)")
		},
		run: func(ctx context.Context, p *process, args []string) (result, error) {
			return issued(api.RollKey(ctx, p.store, p.config.APIKeyPeppers, api.KeyID(args[0]), overlap, expiry(expiresIn), operator()))
		},
	}.command()
}

func revokeKeyCommand() *cobra.Command {
	var reason string
	return operation{
		use: "revoke ID", short: "End an API key; every process refuses it within a second", args: cobra.ExactArgs(1), required: []string{"reason"},
		example: "  settle keys revoke 7Kq2mZ9x --reason leaked",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
		},
		run: func(ctx context.Context, p *process, args []string) (result, error) {
			k, err := api.RevokeKey(ctx, p.store, api.KeyID(args[0]), reason, operator())
			return listed([]api.Key{k}, keyTitles, keyRow), err
		},
	}.command()
}

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// shownKey is an API key as operators see it.
type shownKey struct {
	ID         string       `json:"id"`
	MerchantID string       `json:"merchant_id"`
	Mode       payment.Mode `json:"mode"`
	Name       string       `json:"name"`
	State      string       `json:"state"` // valid, expired or revoked
	Scopes     []string     `json:"scopes"`
	CreatedAt  time.Time    `json:"created_at"`
	ExpiresAt  *time.Time   `json:"expires_at"`
	RevokedAt  *time.Time   `json:"revoked_at"`
	LastUsedAt *time.Time   `json:"last_used_at"`
}

func showKey(k store.APIKey) shownKey {
	state := "valid"
	switch {
	case k.RevokedAt != nil:
		state = "revoked"
	case !k.ValidAt(time.Now()):
		state = "expired"
	}
	return shownKey{k.ID, k.MerchantID, k.Mode, k.Name, state, k.Scopes, k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt}
}

var keyTitles = []string{"ID", "MERCHANT", "MODE", "NAME", "STATE", "EXPIRES", "LAST USED", "SCOPES"}

func (k shownKey) row() []string {
	return []string{k.ID, k.MerchantID, string(k.Mode), k.Name, k.State, when(k.ExpiresAt), when(k.LastUsedAt), strings.Join(k.Scopes, ",")}
}

// issuedKey is a key that was just made: nobody can read it again.
type issuedKey struct {
	ID  string `json:"id"`
	Key string `json:"key"`
}

func showIssued(key string) result { return line(issuedKey{api.KeyID(key), key}, key) }

// expiry reads --expires-in; 0 is never.
func expiry(after time.Duration) (*time.Time, error) {
	switch {
	case after < 0:
		return nil, fmt.Errorf("--expires-in %s: use a time to come, e.g. 720h", after)
	case after == 0:
		return nil, nil
	}
	at := time.Now().Add(after)
	return &at, nil
}

func keysCommand() *cobra.Command {
	return group("keys", "Manage API keys", createKeyCommand(), listKeysCommand(), rollKeyCommand(), revokeKeyCommand())
}

func createKeyCommand() *cobra.Command {
	var merchant, mode, name string
	var scopes []string
	var expiresIn time.Duration
	return operation{
		use: "create", short: "Issue an API key and print it, once", required: []string{"merchant"},
		example: "  settle keys create --merchant mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --mode live --name shop --scopes payment_intents:write,payment_intents:read",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&merchant, "merchant", "", "merchant id")
			cmd.Flags().StringVar(&mode, "mode", "test", "test or live")
			cmd.Flags().StringVar(&name, "name", "", "what the key is for")
			cmd.Flags().StringSliceVar(&scopes, "scopes", nil, fmt.Sprintf("what it may do, separated by commas (default: everything: %v)", api.AllScopes()))
			cmd.Flags().DurationVar(&expiresIn, "expires-in", 0, "how long it is valid, e.g. 720h (default: for ever)")
		},
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			expires, err := expiry(expiresIn)
			if err != nil {
				return result{}, err
			}
			r := api.KeyRequest{MerchantID: merchant, Mode: payment.Mode(mode), Name: name, ExpiresAt: expires, Actor: operator()}
			for _, s := range scopes {
				r.Scopes = append(r.Scopes, api.Scope(s))
			}
			if _, err := p.store.Merchant(ctx, merchant); err != nil {
				return result{}, err
			}
			key, err := api.IssueKey(ctx, p.store, p.config.APIKeyPeppers, r)
			return showIssued(key), err
		},
	}.command()
}

func listKeysCommand() *cobra.Command {
	var merchant string
	return operation{
		use: "list", short: "List API keys, also those that have ended, oldest first",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&merchant, "merchant", "", "only this merchant's")
		},
		run: func(ctx context.Context, p *process, _ []string) (result, error) {
			keys, err := p.store.APIKeys(ctx, merchant)
			var shown []shownKey
			for _, k := range keys {
				shown = append(shown, showKey(k))
			}
			return listed(shown, keyTitles, shownKey.row), err
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
			expires, err := expiry(expiresIn)
			if err != nil {
				return result{}, err
			}
			key, err := api.RollKey(ctx, p.store, p.config.APIKeyPeppers, api.KeyID(args[0]), overlap, expires, operator())
			return showIssued(key), err
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
			id := api.KeyID(args[0])
			if err := api.RevokeKey(ctx, p.store, id, reason, operator()); err != nil {
				return result{}, err
			}
			k, _, err := p.store.Principal(ctx, id)
			return listed([]shownKey{showKey(k)}, keyTitles, shownKey.row), err
		},
	}.command()
}

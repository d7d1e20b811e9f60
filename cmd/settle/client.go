package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/client"
)

// newAPIClient is the merchant's side of the API, from the environment.
func newAPIClient() (*client.ClientWithResponses, error) {
	url, key := os.Getenv("SETTLE_API_URL"), os.Getenv("SETTLE_API_KEY")
	if url == "" {
		url = "http://127.0.0.1:8080"
	}
	if key == "" {
		return nil, errors.New("SETTLE_API_KEY is not set: give the merchant's key (sk_test_... or sk_live_...)")
	}
	return client.New(url, key)
}

// asking makes a merchant's command of cmd: run asks the API.
func asking(cmd *cobra.Command, run func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error)) *cobra.Command {
	return showing(cmd, func(ctx context.Context, args []string) (result, error) {
		c, err := newAPIClient()
		if err != nil {
			return result{}, err
		}
		return run(ctx, c, args)
	})
}

// value is what an optional field holds, or its type's zero value.
func value[T any](field *T) T {
	if field == nil {
		return *new(T)
	}
	return *field
}

// given is an optional field that is absent if the value is its type's zero value.
func given[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

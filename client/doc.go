// Package client is the Go client of Settle's HTTP API, for merchants and for
// the command line.
//
// api.gen.go is generated from api/openapi.yaml: a method and types for every
// operation. client.go and stream.go add what no generator knows: the key,
// errors, repeating what is safe to repeat, and following streams.
//
//	c, err := client.New("https://pay.example.com", os.Getenv("SETTLE_API_KEY"))
//	...
//	paid, err := c.CreatePaymentIntentWithResponse(ctx, &client.CreatePaymentIntentParams{IdempotencyKey: "invoice-4711"},
//		client.CreateIntentRequest{Amount: new("12.50"), Asset: new("USDC"), Destinations: []client.DestinationRequest{{Chain: new("ethereum"), Address: &payee}}})
//	var refused *client.Error
//	switch {
//	case errors.As(err, &refused): // refused.Code says why; nothing was written
//	case err != nil: // nobody knows: repeat it with the same key
//	default: // paid.JSON201 will be paid exactly once
//	}
//
// The package imports nothing of Settle's own.
package client

package temporal

import (
	"context"
	"errors"
	"fmt"
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Retention is how long a closed workflow stays visible. Settle's guards don't
// depend on it: they are in PostgreSQL.
const Retention = 24 * time.Hour

// SearchAttributes are the fields by which operators find payments in the Web UI.
var SearchAttributes = map[string]enums.IndexedValueType{
	"PaymentStatus": enums.INDEXED_VALUE_TYPE_KEYWORD,
	"PaymentChain":  enums.INDEXED_VALUE_TYPE_KEYWORD,
	"MerchantId":    enums.INDEXED_VALUE_TYPE_KEYWORD,
	"AmountUnits":   enums.INDEXED_VALUE_TYPE_INT, // base units of the payment's asset
}

// prepareNamespace registers what is missing and returns when a query by a
// search attribute is answered.
func prepareNamespace(ctx context.Context, cfg Config) error {
	var c client.Client
	// The frontend listens before its persistence is up.
	err := retry(ctx, "frontend", func() (err error) {
		c, err = client.DialContext(ctx, client.Options{HostPort: address(cfg.Frontend), Namespace: cfg.Namespace, Logger: silent{}})
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	err = retry(ctx, "register the namespace", func() error {
		_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace:                        cfg.Namespace,
			Description:                      "Settle's payments",
			WorkflowExecutionRetentionPeriod: durationpb.New(Retention),
		})
		var exists *serviceerror.NamespaceAlreadyExists
		if errors.As(err, &exists) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	// A new namespace takes a moment to reach the server's cache.
	if err := retry(ctx, "register search attributes", func() error { return addSearchAttributes(ctx, c, cfg.Namespace) }); err != nil {
		return err
	}
	return retry(ctx, "query by search attribute", func() error {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: cfg.Namespace, Query: "PaymentStatus = 'settled' AND AmountUnits > 0"})
		return err
	})
}

func addSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	missing := map[string]enums.IndexedValueType{}
	for name, typ := range SearchAttributes {
		if _, ok := have.CustomAttributes[name]; !ok {
			missing[name] = typ
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing})
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}

// retry repeats do until it succeeds or ctx ends. A server that is starting
// answers with many kinds of errors, so none counts as final before the deadline.
func retry(ctx context.Context, what string, do func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-tick.C:
		}
	}
}

// silent keeps the attempts that fail during a start out of the log; the last
// one is in the returned error.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

// version of the HTTP interfaces.
const version = "1.0.0"

const serviceTag = "Service"

// about is what the document of a surface says of it.
type about struct {
	title, description string
	keyFormat, keyDoc  string // of the keys in the Authorization header
	tags               []*huma.Tag
}

var aboutServer = about{
	title:       "Settle",
	description: "Durable stablecoin payments.",
	keyFormat:   "sk_test_... or sk_live_...",
	keyDoc:      "The mode of the key decides whether test or live objects are seen and made.",
	tags: []*huma.Tag{
		{Name: "Payment intents", Description: "Orders to pay, and what became of them."},
		{Name: "Sponsored payments", Description: "Payers' own money, moved by what they have signed, and gas that is ours."},
		{Name: "Batches", Description: "Many payments in one file."},
		{Name: "Events", Description: "What happened to payments, in order: as lists to catch up from, and live."},
		{Name: "Routing", Description: "What a payment would cost, and on which chains."},
		{Name: "Schedules", Description: "Standing orders: payments at times to come."},
		{Name: "Account", Description: "What may be spent."},
		{Name: "Webhooks", Description: "Where events are sent, signed by Standard Webhooks."},
		{Name: serviceTag, Description: "Whether the service works."},
	},
}

// humaConfig is huma with our schema names, JSON only, and strict input.
func (s *surface) humaConfig(a about) huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: a.title, Version: version,
				Description: a.description + " Amounts are decimal strings, times RFC 3339 in UTC. " +
					"Errors are `application/problem+json` with a stable `code`.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					securityScheme: {Type: "http", Scheme: "bearer", BearerFormat: a.keyFormat, Description: a.keyDoc},
				},
			},
			Tags: a.tags,
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{s.transform},
	}
}

// schemaName names the domain's types as merchants know them.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[payment.Resource]():
		return "PaymentIntent"
	case reflect.TypeFor[payment.ReviewState]():
		return "Review"
	case reflect.TypeFor[payment.BatchResource]():
		return "Batch"
	case reflect.TypeFor[payment.RunResource]():
		return "ScheduleRun"
	case reflect.TypeFor[webhooks.Endpoint]():
		return "WebhookEndpoint"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// operation describes a route; scope "" needs a key of any scope, and public
// none at all.
type operation struct {
	method, path, id, tag string
	summary, description  string
	scope                 Scope
	public                bool
	status                int   // of success; default 200
	errors                []int // besides those of every operation
}

// register adds a route. What the handler returns as an error goes through
// problemOf.
func register[I, O any](api huma.API, o operation, handler func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		Method: o.method, Path: o.path, OperationID: o.id, Summary: o.summary, Description: o.description,
		Tags: []string{o.tag}, DefaultStatus: o.status, MaxBodyBytes: maxBodyBytes + 1, Errors: o.errors,
	}
	op.Errors = slices.Concat(op.Errors, refusals(reflect.TypeFor[I]()))
	if !o.public {
		op.Security = []map[string][]string{{securityScheme: {}}}
		if o.scope != "" {
			op.Security[0][securityScheme] = []string{string(o.scope)}
			op.Description = strings.TrimSpace(op.Description + "\n\nScope: `" + string(o.scope) + "`.")
		}
		op.Errors = append([]int{http.StatusUnauthorized, http.StatusForbidden}, op.Errors...)
		op.Errors = append(op.Errors, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	}
	slices.Sort(op.Errors)
	op.Errors = slices.Compact(op.Errors)
	huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
}

// refusals are the statuses of what is refused before a handler of this input
// is asked: parameters, known or not, and bodies.
func refusals(input reflect.Type) []int {
	statuses := []int{http.StatusBadRequest}
	if _, hasBody := input.FieldByName("Body"); hasBody {
		statuses = append(statuses, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	return statuses
}

// answers adds the schema of a POST's answer whose bytes the handler renders
// itself.
func answers[T any](api huma.API, path, status string) {
	schema := api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
	api.OpenAPI().Paths[path].Post.Responses[status].Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

// relax lets answers gain fields without breaking clients that check them
// strictly; requests stay closed.
func (s *surface) relax() {
	for name, schema := range s.api.OpenAPI().Components.Schemas.Map() {
		if !strings.HasSuffix(name, "Request") && schema.Type == huma.TypeObject && schema.AdditionalProperties == false {
			schema.AdditionalProperties = nil
		}
	}
}

package api

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

func (s *Server) registerIntents() {
	const tag = "Payment intents"
	register(s.api, operation{
		method: http.MethodPost, path: intentsPath, id: "create-payment-intent", tag: tag, scope: IntentsWrite, status: http.StatusCreated,
		summary: "Order a payment",
		description: "A 201 means that the payment is stored together with the hold on your funds; from then on it is paid exactly once, " +
			"ends otherwise with the hold released, or waits visibly for a person.",
		errors: []int{http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge},
	}, s.create)
	answers[ChangedIntent](s.api, intentsPath, "201")

	register(s.api, operation{
		method: http.MethodGet, path: intentsPath, id: "list-payment-intents", tag: tag, scope: IntentsRead,
		summary: "List payments, newest first", errors: []int{http.StatusBadRequest},
	}, s.list)
	register(s.api, operation{
		method: http.MethodGet, path: intentsPath + "/{id}", id: "get-payment-intent", tag: tag, scope: IntentsRead,
		summary: "Get a payment", errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.get)
	register(s.api, operation{
		method: http.MethodGet, path: intentsPath + "/{id}/attempts", id: "list-payment-intent-attempts", tag: tag, scope: IntentsRead,
		summary:     "List the attempts to make a payment, oldest first",
		description: "Each with what was signed for it, what became of that, and the proof.",
		errors:      []int{http.StatusNotFound},
	}, s.attempts)
	register(s.api, operation{
		method: http.MethodGet, path: intentsPath + "/{id}/route", id: "get-payment-intent-route", tag: tag, scope: IntentsRead,
		summary:     "Get the routing decisions of a payment, oldest first",
		description: "As they were made, with the scores, fees and obstacles of then; nothing is computed anew.",
		errors:      []int{http.StatusNotFound},
	}, s.decisions)
	register(s.api, operation{
		method: http.MethodGet, path: intentsPath + "/{id}/timeline", id: "get-payment-intent-timeline", tag: tag, scope: IntentsRead,
		summary: "See what happened to a payment, and when", errors: []int{http.StatusNotFound},
	}, s.timeline)
	register(s.api, operation{
		method: http.MethodPost, path: retryPath, id: "retry-payment-intent", tag: tag, scope: IntentsWrite, status: http.StatusCreated,
		summary: "Order again what ended unpaid",
		description: "Makes a new payment (retry_of) from the order of one that failed, expired, was canceled or rejected, with a hold of its own. " +
			"Once per payment; a retry that ended unpaid can be retried itself.",
		errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
	}, s.retry)
	answers[ChangedIntent](s.api, retryPath, "201")
	register(s.api, operation{
		method: http.MethodPost, path: intentsPath + "/{id}/cancel", id: "cancel-payment-intent", tag: tag, scope: IntentsWrite,
		summary:     "Stop a payment",
		description: "Possible until signed bytes may have left us. Canceling twice is harmless.",
		errors:      []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict},
	}, s.cancel)
	answers[ChangedIntent](s.api, intentsPath+"/{id}/cancel", "200")
}

// IntentPath names an intent.
type IntentPath struct {
	ID string `path:"id" maxLength:"64" example:"pi_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var intentID = regexp.MustCompile(`^pi_[0-9a-f]{32}$`)

// mine reads an intent of the caller.
func (s *Server) mine(ctx context.Context, id string) (payment.Intent, error) {
	if !intentID.MatchString(id) {
		return payment.Intent{}, fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("intent_id", id))
	who := caller(ctx)
	return s.store.MerchantIntent(ctx, who.ID, who.Key.Mode, id)
}

type getInput struct {
	IntentPath
	Expand []string `query:"expand" maxItems:"2" doc:"What to show as well, separated by commas" enum:"attempts,ledger_entries"`
}

// ExpandedIntent is a payment with what expand asked for.
type ExpandedIntent struct {
	payment.Resource
	Attempts      []Attempt     `json:"attempts,omitzero" required:"false" doc:"With expand=attempts"`
	LedgerEntries []LedgerEntry `json:"ledger_entries,omitzero" required:"false" doc:"With expand=ledger_entries"`
}

type intentOutput struct{ Body ExpandedIntent }

func (s *Server) get(ctx context.Context, in *getInput) (*intentOutput, error) {
	i, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := ExpandedIntent{Resource: i.Resource()}
	if slices.Contains(in.Expand, "attempts") {
		if out.Attempts, err = s.attemptsOf(ctx, i); err != nil {
			return nil, err
		}
	}
	if slices.Contains(in.Expand, "ledger_entries") {
		if out.LedgerEntries, err = s.entriesOf(ctx, i); err != nil {
			return nil, err
		}
	}
	return &intentOutput{out}, nil
}

// Page is what every list answers.
type Page struct {
	Object     string `json:"object" enum:"list"`
	HasMore    bool   `json:"has_more"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Pass it as cursor, with the same filters, for what follows"`
}

// PageQuery chooses a page of a list.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"20"`
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before"`
}

type listInput struct {
	ListFilters
	PageQuery
}

// ListFilters are what a cursor is bound to.
type ListFilters struct {
	Status    []string `query:"status" maxItems:"10" doc:"One or several, separated by commas" enum:"created,routed,submitted,confirming,manual_review,settled,failed,canceled,expired,rejected" json:"s"`
	Chain     string   `query:"chain" maxLength:"80" doc:"Chain that was chosen: name or CAIP-2 id" json:"c"`
	Reference string   `query:"reference" maxLength:"200" json:"r"`

	Metadata map[string]string `query:"metadata,deepObject,explode" doc:"metadata[key]=value; with several, all must match" json:"m,omitempty"`

	CreatedGTE time.Time `query:"created_gte" doc:"Created at this time or later" json:"g"`
	CreatedLT  time.Time `query:"created_lt" doc:"Created before this time" json:"l"`
}

// IntentList is a page of payments.
type IntentList struct {
	Page
	Data []payment.Resource `json:"data"`
}

type listOutput struct{ Body IntentList }

func (s *Server) list(ctx context.Context, in *listInput) (*listOutput, error) {
	who := caller(ctx)
	f := store.ListFilter{MerchantID: who.ID, Mode: who.Key.Mode, Reference: in.Reference, Metadata: in.Metadata}
	if err := checkQuery("query:reference", in.Reference); err != nil {
		return nil, err
	}
	if len(in.Metadata) > maxMetadataKeys {
		return nil, badParameter("query:metadata", "A payment has at most 20 keys.")
	}
	for k, v := range in.Metadata {
		if err := checkQuery("query:metadata", k, v); err != nil {
			return nil, err
		}
	}
	for _, status := range in.Status {
		f.Statuses = append(f.Statuses, payment.Status(status))
	}
	if in.Chain != "" {
		chain, ok := s.chains[in.Chain]
		if !ok {
			p := fail(ParameterInvalid, s.chainNames())
			p.Errors = []FieldError{{"query:chain", ChainNotConfigured, s.chainNames()}}
			return nil, p
		}
		f.Chain = chain.Name
	}
	if !in.CreatedGTE.IsZero() {
		f.CreatedAfter = &in.CreatedGTE
	}
	if !in.CreatedLT.IsZero() {
		f.CreatedBefore = &in.CreatedLT
	}
	l := list[store.Cursor]{"payment_intents", in.ListFilters}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	intents, more, err := s.store.ListIntents(ctx, f, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := IntentList{Data: make([]payment.Resource, len(intents))}
	out.Page = pageOf(l, intents, more, func(i payment.Intent) store.Cursor { return store.Cursor{CreatedAt: i.CreatedAt, ID: i.ID} })
	for n, i := range intents {
		out.Data[n] = i.Resource()
	}
	return &listOutput{out}, nil
}

// checkQuery refuses what Postgres cannot compare with.
func checkQuery(at string, texts ...string) error {
	for _, text := range texts {
		if len(checkText(at, text)) > 0 {
			return badParameter(at, "Use UTF-8 without NUL.")
		}
	}
	return nil
}

func badParameter(at, detail string) *Problem {
	p := fail(ParameterInvalid, detail)
	p.Errors = []FieldError{{at, ParameterInvalid, detail}}
	return p
}

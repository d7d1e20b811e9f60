package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/store"
)

const (
	quotesPath = "/v1/quotes"
	// quoteValid is how long a quote may be used. Fees move within it; see
	// routing.QuotedMax for how far a payment follows them.
	quoteValid = 2 * time.Minute
)

func (s *Server) registerQuotes() {
	const tag = "Routing"
	register(s.api, operation{
		method: http.MethodPost, path: quotesPath, id: "create-quote", tag: tag, scope: IntentsRead, status: http.StatusCreated,
		summary: "See what a payment would cost and which chain would be chosen",
		description: "The same decision that a payment makes when it is routed, as things stand now. It reserves nothing; " +
			"the network fee is ours and is never added to the amount. For 2 minutes one payment can be ordered by it: that goes over the quoted " +
			"chain as long as it can, and over none whose network fee is beyond the quoted one and a quarter (or 0.01, if that is more).",
		errors: []int{http.StatusBadRequest},
	}, s.quote)
	register(s.api, operation{
		method: http.MethodGet, path: quotesPath + "/{id}", id: "get-quote", tag: tag, scope: IntentsRead,
		summary: "Get a quote", errors: []int{http.StatusNotFound},
	}, s.getQuote)
}

// QuoteRequest asks about a payment.
type QuoteRequest struct{ OrderRequest }

// Quote is the decision that routing made when it was asked for, and so what
// the same order is promised until it expires.
type Quote struct {
	ID        string           `json:"id" example:"qt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object    string           `json:"object" enum:"quote"`
	Mode      payment.Mode     `json:"mode" enum:"test,live"`
	Amount    string           `json:"amount" example:"12.500000"`
	Asset     string           `json:"asset" example:"USDC"`
	Priority  payment.Priority `json:"priority" enum:"cheap,fast,reliable"`
	MaxFee    string           `json:"max_fee,omitempty" doc:"Decimal string in units of the asset"`
	Allowed   []payment.Chain  `json:"allowed_chains,omitempty"`
	Chain     payment.Chain    `json:"chain,omitempty" doc:"The chain that is promised; absent if none qualifies, and then nothing can be ordered by the quote"`
	TotalFee  string           `json:"total_fee,omitempty" doc:"Expected network fee on it, in units of the asset" example:"0.021000"`
	FeeBound  string           `json:"fee_bound,omitempty" doc:"A payment by this quote goes over no chain whose network fee is higher when the route is chosen" example:"0.031000"`
	Options   []RouteOption    `json:"options" doc:"Best first; those that do not qualify last"`
	DecidedAt time.Time        `json:"decided_at"`
	ExpiresAt time.Time        `json:"expires_at" doc:"Until then one payment can be ordered by it"`
	Payment   string           `json:"payment_intent,omitempty" doc:"The payment that it made"`
}

// RouteOption is one destination with its marks.
type RouteOption struct {
	payment.Destination
	Qualifies  bool       `json:"qualifies"`
	Problems   []Obstacle `json:"problems" doc:"Why it does not qualify"`
	Fees       []Fee      `json:"fees"`
	TotalFee   string     `json:"total_fee" doc:"Sum of the fees, in units of the asset" example:"0.021000"`
	ETASeconds int64      `json:"eta_seconds" doc:"From sending to finality, usually"`
	Score      Marks      `json:"score"`
}

// Obstacle is why a destination does not qualify.
type Obstacle struct {
	Code   routing.Disqualifier `json:"code" enum:"not_observed,insufficient_liquidity,fee_above_max,failed_before,chain_not_allowed"`
	Detail string               `json:"detail"`
}

// Fee is one item of what a payment costs.
type Fee struct {
	Kind         string `json:"kind" enum:"network"`
	Amount       string `json:"amount" doc:"In units of the asset, rounded up" example:"0.021000"`
	Asset        string `json:"asset" example:"USDC"`
	NativeAmount string `json:"native_amount" doc:"In units of the chain's coin" example:"0.000007000000000000"`
	NativeAsset  string `json:"native_asset" example:"ETH"`
}

// Marks are basis points; 10000 is the best.
type Marks struct {
	Total  int64 `json:"total" doc:"Weighted by the priority"`
	Cost   int64 `json:"cost"`
	Speed  int64 `json:"speed"`
	Health int64 `json:"health"`
}

type quoteInput struct{ Body QuoteRequest }
type quoteOutput struct{ Body Quote }

// quote decides as routing would now, and stores what it decided.
func (s *Server) quote(ctx context.Context, in *quoteInput) (*quoteOutput, error) {
	who := caller(ctx)
	in.Body.fill()
	o, errs := s.understand(in.Body.OrderRequest, who.MaxAmount)
	if len(errs) > 0 {
		return nil, failFields(errs)
	}
	if err := s.verify(ctx, &o); err != nil {
		return nil, err
	}
	networks, err := s.networks(ctx)
	if err != nil {
		return nil, err
	}
	d := routing.Score(routing.Request{
		Amount: o.amount, Asset: o.asset.Code, Priority: in.Body.Priority, MaxFee: o.maxFee, Allowed: o.allowed, Destinations: o.destinations,
	}, networks, s.now())
	q := store.Quote{MerchantID: who.ID, Mode: who.Key.Mode}
	if c, ok := d.Chosen(); ok {
		q.Chain, q.Fee = c.Chain, c.Fee
	}
	if q.Decision, err = json.Marshal(d); err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	if q, err = s.store.CreateQuote(ctx, q, quoteValid); err != nil {
		return nil, err
	}
	return renderQuote(q, "")
}

// QuotePath names a quote.
type QuotePath struct {
	ID string `path:"id" maxLength:"64" example:"qt_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var quoteID = regexp.MustCompile(`^qt_[0-9a-f]{32}$`)

func (s *Server) getQuote(ctx context.Context, in *QuotePath) (*quoteOutput, error) {
	if !quoteID.MatchString(in.ID) {
		return nil, fail(NotFound, "")
	}
	who := caller(ctx)
	q, usedBy, err := s.store.MerchantQuote(ctx, who.ID, who.Key.Mode, in.ID)
	if err != nil {
		return nil, err
	}
	return renderQuote(q, usedBy)
}

// unusedQuote reads a quote of the caller that made no payment yet.
func (s *Server) unusedQuote(ctx context.Context, id string) (store.Quote, error) {
	who := caller(ctx)
	unknown := failFields([]FieldError{{"#/quote", QuoteNotFound, codeByName[QuoteNotFound].Remedy}})
	if !quoteID.MatchString(id) {
		return store.Quote{}, unknown
	}
	q, usedBy, err := s.store.MerchantQuote(ctx, who.ID, who.Key.Mode, id)
	if errors.Is(err, store.ErrNotFound) {
		return store.Quote{}, unknown
	}
	if err == nil && usedBy != "" {
		p := fail(QuoteUsed, "")
		p.ExistingID = usedBy
		return store.Quote{}, p
	}
	return q, err
}

// quotedOrder is the order that a request makes by naming a quote. That the
// quote is used once is guarded when the payment is stored.
func (s *Server) quotedOrder(ctx context.Context, r CreateIntentRequest) (OrderRequest, error) {
	if errs := r.besideQuote(); len(errs) > 0 {
		return OrderRequest{}, failFields(errs)
	}
	q, err := s.unusedQuote(ctx, r.Quote)
	switch {
	case err != nil:
		return OrderRequest{}, err
	case !s.now().Before(q.ExpiresAt):
		return OrderRequest{}, fail(QuoteExpired, "It expired at "+q.ExpiresAt.UTC().Format(time.RFC3339)+". "+codeByName[QuoteExpired].Remedy)
	case q.Chain == "":
		return OrderRequest{}, failFields([]FieldError{{"#/quote", QuoteNoRoute, codeByName[QuoteNoRoute].Remedy}})
	}
	d, err := readDecision(q.Decision)
	if err != nil {
		return OrderRequest{}, err
	}
	asset, _ := payment.AssetByCode(d.Request.Asset)
	o := order{amount: d.Request.Amount, asset: asset, destinations: d.Request.Destinations, allowed: d.Request.Allowed, maxFee: d.Request.MaxFee}
	return o.request(d.Request.Priority), nil
}

// besideQuote lists what a request says though its quote does.
func (r CreateIntentRequest) besideQuote() (errs []FieldError) {
	for _, f := range []struct {
		name  string
		given bool
	}{
		{"amount", r.Amount != ""}, {"asset", r.Asset != ""}, {"destinations", r.Destinations != nil},
		{"allowed_chains", r.Allowed != nil}, {"priority", r.Priority != ""}, {"max_fee", r.MaxFee != ""},
	} {
		if f.given {
			errs = append(errs, FieldError{"#/" + f.name, QuoteConflict, codeByName[QuoteConflict].Remedy})
		}
	}
	return errs
}

func readDecision(raw json.RawMessage) (routing.Decision, error) {
	var d routing.Decision
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, fmt.Errorf("routing decision: %w", err)
	}
	return d, nil
}

func renderQuote(q store.Quote, usedBy string) (*quoteOutput, error) {
	d, err := readDecision(q.Decision)
	if err != nil {
		return nil, err
	}
	asset, _ := payment.AssetByCode(d.Request.Asset)
	out := Quote{
		ID: q.ID, Object: "quote", Mode: q.Mode, Amount: d.Request.Amount.Decimal(asset.Decimals), Asset: asset.Code,
		Priority: d.Request.Priority, MaxFee: decimal(d.Request.MaxFee, asset), Allowed: d.Request.Allowed, Chain: q.Chain,
		Options: options(d, asset), DecidedAt: d.DecidedAt.UTC(), ExpiresAt: q.ExpiresAt.UTC(), Payment: usedBy,
	}
	if q.Chain != "" {
		bound := routing.QuotedMax(q.Fee)
		out.TotalFee, out.FeeBound = decimal(&q.Fee, asset), decimal(&bound, asset)
	}
	return &quoteOutput{out}, nil
}

// decimal writes an amount in units of its asset; "" for none.
func decimal(a *payment.Amount, asset payment.Asset) string {
	if a == nil {
		return ""
	}
	return a.Decimal(asset.Decimals)
}

// options shows the candidates of a decision, in its order.
func options(d routing.Decision, asset payment.Asset) []RouteOption {
	all := make([]RouteOption, len(d.Candidates))
	for i, c := range d.Candidates {
		option := RouteOption{
			Destination: payment.Destination{Chain: c.Chain, Address: c.Address},
			Qualifies:   len(c.Disqualified) == 0, Problems: []Obstacle{}, Fees: []Fee{},
			TotalFee: c.Fee.Decimal(asset.Decimals), ETASeconds: c.ETASeconds,
			Score: Marks{Total: c.Score, Cost: c.CostScore, Speed: c.SpeedScore, Health: c.HealthScore},
		}
		if n := c.Network; n != nil {
			option.Fees = append(option.Fees, Fee{
				Kind: "network", Amount: c.Fee.Decimal(asset.Decimals), Asset: asset.Code,
				NativeAmount: n.FeePerPayment.Decimal(n.NativeDecimals), NativeAsset: n.NativeAsset,
			})
		}
		for _, why := range c.Disqualified {
			option.Problems = append(option.Problems, Obstacle{why, explain(why)})
		}
		all[i] = option
	}
	return all
}

func explain(d routing.Disqualifier) string {
	switch d {
	case routing.NotObserved:
		return "No worker has reported this chain within " + routing.MaxAge.String() + "."
	case routing.InsufficientLiquidity:
		return "The treasury on this chain does not hold enough right now."
	case routing.FailedBefore: // of payments under way; a quote has nothing to avoid
		return "An earlier attempt on this chain died, and another chain qualifies."
	case routing.FeeAboveMax:
		return "The network fee is above max_fee, or above the fee_bound of the quote."
	case routing.ChainNotAllowed:
		return "The order's allowed_chains leave this chain out."
	}
	return ""
}

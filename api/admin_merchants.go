package api

import (
	"context"
	"net/http"
	"regexp"

	"go.uber.org/zap"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const (
	merchantsPath   = adminPath + "/merchants"
	sponsorshipPath = merchantsPath + "/{id}/sponsorship"
	merchantsTag    = "Merchants"
	merchantsTable  = "merchants" // of cursors
)

func (a *Admin) registerMerchants() {
	register(a.api, operation{
		method: http.MethodPost, path: merchantsPath, id: "create-merchant", tag: merchantsTag, scope: AdminWrite, status: http.StatusCreated,
		summary:     "Make a merchant",
		description: "A repeated request makes another merchant: names need not be unique. After a timeout, look at the list before you repeat it.",
	}, a.createMerchant)
	register(a.api, operation{
		method: http.MethodGet, path: merchantsPath, id: "list-merchants", tag: merchantsTag, scope: AdminRead,
		summary: "List merchants, newest first",
	}, a.listMerchants)
	register(a.api, operation{
		method: http.MethodGet, path: merchantsPath + "/{id}", id: "get-merchant", tag: merchantsTag, scope: AdminRead,
		summary: "Get a merchant with its balances and sponsorship", errors: []int{http.StatusNotFound},
	}, a.getMerchant)
	register(a.api, operation{
		method: http.MethodPatch, path: merchantsPath + "/{id}", id: "update-merchant", tag: merchantsTag, scope: AdminWrite,
		summary:     "Change a merchant's name or limits",
		description: "What is left out stays. API processes follow within a second, workers within 5; payments that were accepted keep their course.",
		errors:      []int{http.StatusNotFound},
	}, a.updateMerchant)
	register(a.api, operation{
		method: http.MethodPut, path: sponsorshipPath, id: "put-sponsorship", tag: merchantsTag, scope: AdminWrite,
		summary: "Pay the gas of a merchant's sponsored payments, up to limits", description: "In effect at once.",
		errors: []int{http.StatusNotFound},
	}, a.putSponsorship)
	register(a.api, operation{
		method: http.MethodDelete, path: sponsorshipPath, id: "delete-sponsorship", tag: merchantsTag, scope: AdminWrite, status: http.StatusNoContent,
		summary: "Accept no more sponsored payments of a merchant", description: "What was accepted goes on.",
		errors: []int{http.StatusNotFound},
	}, a.deleteSponsorship)
}

// MerchantPath names a merchant.
type MerchantPath struct {
	ID string `path:"id" maxLength:"64" example:"mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var merchantID = regexp.MustCompile(`^mer_[0-9a-f]{32}$`)

// check returns the id, if it can be that of a merchant.
func (p MerchantPath) check(ctx context.Context) (string, error) {
	if !merchantID.MatchString(p.ID) {
		return "", fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("merchant_id", p.ID))
	return p.ID, nil
}

type createMerchantInput struct{ Body MerchantRequest }
type merchantOutput struct{ Body Merchant }

func (a *Admin) createMerchant(ctx context.Context, in *createMerchantInput) (*merchantOutput, error) {
	m, err := CreateMerchant(ctx, a.store, in.Body, caller(ctx).actor())
	return &merchantOutput{m}, err
}

// MerchantList is a page of merchants.
type MerchantList struct {
	Page
	Data []Merchant `json:"data"`
}

type listMerchantsOutput struct{ Body MerchantList }

func (a *Admin) listMerchants(ctx context.Context, in *PageQuery) (*listMerchantsOutput, error) {
	l := list[store.Cursor]{resource: merchantsTable}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	merchants, more, err := ListMerchants(ctx, a.store, after, in.Limit)
	if err != nil {
		return nil, err
	}
	page := pageOf(l, merchants, more, func(m Merchant) store.Cursor { return store.Cursor{CreatedAt: m.CreatedAt, ID: m.ID} })
	return &listMerchantsOutput{MerchantList{page, merchants}}, nil
}

type merchantDetailsOutput struct{ Body MerchantDetails }

func (a *Admin) getMerchant(ctx context.Context, in *MerchantPath) (*merchantDetailsOutput, error) {
	id, err := in.check(ctx)
	if err != nil {
		return nil, err
	}
	m, err := DescribeMerchant(ctx, a.store, id)
	return &merchantDetailsOutput{m}, err
}

type updateMerchantInput struct {
	MerchantPath
	Body UpdateMerchantRequest
}

func (a *Admin) updateMerchant(ctx context.Context, in *updateMerchantInput) (*merchantOutput, error) {
	id, err := in.check(ctx)
	if err != nil {
		return nil, err
	}
	m, err := ChangeMerchant(ctx, a.store, id, in.Body, caller(ctx).actor())
	return &merchantOutput{m}, err
}

type putSponsorshipInput struct {
	MerchantPath
	Body SponsorshipRequest
}
type sponsorshipOutput struct{ Body Sponsorship }

func (a *Admin) putSponsorship(ctx context.Context, in *putSponsorshipInput) (*sponsorshipOutput, error) {
	id, err := in.check(ctx)
	if err != nil {
		return nil, err
	}
	s, err := SponsorMerchant(ctx, a.store, id, in.Body, caller(ctx).actor())
	return &sponsorshipOutput{s}, err
}

func (a *Admin) deleteSponsorship(ctx context.Context, in *MerchantPath) (*struct{}, error) {
	id, err := in.check(ctx)
	if err != nil {
		return nil, err
	}
	return nil, UnsponsorMerchant(ctx, a.store, id, caller(ctx).actor())
}

package api

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

const (
	merchantKeysPath = merchantsPath + "/{id}/keys"
	keysPath         = adminPath + "/keys"
	keysTag          = "API keys"
	keysTable        = "api_keys" // of cursors
)

func (a *Admin) registerKeys() {
	register(a.api, operation{
		method: http.MethodPost, path: merchantKeysPath, id: "create-api-key", tag: keysTag, scope: AdminWrite, status: http.StatusCreated,
		summary:     "Issue an API key to a merchant",
		description: "The answer holds the key, which is shown this once. A repeated request issues another key: revoke the one that got lost.",
		errors:      []int{http.StatusNotFound},
	}, a.createKey)
	register(a.api, operation{
		method: http.MethodGet, path: merchantKeysPath, id: "list-api-keys", tag: keysTag, scope: AdminRead,
		summary: "List a merchant's API keys, newest first", description: "Also those that have ended; never their secrets.",
		errors: []int{http.StatusNotFound},
	}, a.listKeys)
	register(a.api, operation{
		method: http.MethodPost, path: keysPath + "/{id}/roll", id: "roll-api-key", tag: keysTag, scope: AdminWrite, status: http.StatusCreated,
		summary:     "Replace a merchant's API key",
		description: "The answer holds a new key of the same merchant, mode, name and scopes, which is shown this once; the old one expires when the overlap is over.",
		errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, a.rollKey)
	register(a.api, operation{
		method: http.MethodPost, path: keysPath + "/{id}/revoke", id: "revoke-api-key", tag: keysTag, scope: AdminWrite,
		summary: "End a merchant's API key", description: "Every process refuses it within a second. Revoking twice is harmless.",
		errors: []int{http.StatusNotFound},
	}, a.revokeKey)
}

// CreateKeyRequest describes a merchant's key.
type CreateKeyRequest struct {
	Mode      payment.Mode `json:"mode" enum:"test,live" example:"test"`
	Name      string       `json:"name,omitempty" maxLength:"200" doc:"What it is for" example:"backend"`
	Scopes    []Scope      `json:"scopes,omitempty" minItems:"1" maxItems:"5" enum:"payment_intents:write,payment_intents:read,balances:read,webhooks:write,webhooks:read" doc:"What it may do; left out: everything"`
	ExpiresAt *time.Time   `json:"expires_at,omitempty" doc:"Left out: never"`
}

// RollKeyRequest says when the old and the new key end.
type RollKeyRequest struct {
	OverlapSeconds *int64     `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800" doc:"How long the old key goes on; default 86400, a day. 0: it ends at once" example:"3600"`
	ExpiresAt      *time.Time `json:"expires_at,omitempty" doc:"Of the new key; left out: never"`
}

// RevokeKeyRequest says why a key ends.
type RevokeKeyRequest struct {
	Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"For the audit log" example:"found in a public repository"`
}

type createKeyInput struct {
	MerchantPath
	Body CreateKeyRequest
}
type issuedKeyOutput struct{ Body IssuedKey }

func (a *Admin) createKey(ctx context.Context, in *createKeyInput) (*issuedKeyOutput, error) {
	merchant, err := in.check(ctx)
	if err != nil {
		return nil, err
	}
	key, err := IssueKey(ctx, a.store, a.peppers, KeyRequest{MerchantID: merchant, Mode: in.Body.Mode, Scopes: in.Body.Scopes,
		Name: in.Body.Name, ExpiresAt: in.Body.ExpiresAt, Actor: caller(ctx).actor()})
	return &issuedKeyOutput{key}, err
}

type listKeysInput struct {
	MerchantPath
	PageQuery
}

// KeyList is a page of API keys.
type KeyList struct {
	Page
	Data []Key `json:"data"`
}

type listKeysOutput struct{ Body KeyList }

func (a *Admin) listKeys(ctx context.Context, in *listKeysInput) (*listKeysOutput, error) {
	merchant, err := in.check(ctx)
	if err != nil {
		return nil, err
	}
	l := list[store.Cursor]{keysTable, merchant}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	if _, err := a.store.Merchant(ctx, merchant); err != nil {
		return nil, err
	}
	keys, more, err := ListKeys(ctx, a.store, merchant, after, in.Limit)
	if err != nil {
		return nil, err
	}
	page := pageOf(l, keys, more, func(k Key) store.Cursor { return store.Cursor{CreatedAt: k.CreatedAt, ID: k.ID} })
	return &listKeysOutput{KeyList{page, keys}}, nil
}

// KeyPath names an API key.
type KeyPath struct {
	ID string `path:"id" maxLength:"64" example:"7Kq2mZ9x"`
}

var apiKeyID = regexp.MustCompile(`^[0-9A-Za-z]{8}$`)

// merchants returns the id, if it is that of a merchant's key. Operators' keys do
// not exist here: whoever has one could make himself another.
func (p KeyPath) merchants(ctx context.Context, st *store.Store) (string, error) {
	if !apiKeyID.MatchString(p.ID) {
		return "", fail(NotFound, "")
	}
	key, _, err := st.Principal(ctx, p.ID)
	if err == nil && key.Mode == store.Admin {
		err = fail(NotFound, "")
	}
	return p.ID, err
}

type rollKeyInput struct {
	KeyPath
	Body *RollKeyRequest
}

func (a *Admin) rollKey(ctx context.Context, in *rollKeyInput) (*issuedKeyOutput, error) {
	id, err := in.merchants(ctx, a.store)
	if err != nil {
		return nil, err
	}
	overlap := DefaultOverlap
	var expires *time.Time
	if in.Body != nil {
		expires = in.Body.ExpiresAt
		if in.Body.OverlapSeconds != nil {
			overlap = time.Duration(*in.Body.OverlapSeconds) * time.Second
		}
	}
	key, err := RollKey(ctx, a.store, a.peppers, id, overlap, expires, caller(ctx).actor())
	return &issuedKeyOutput{key}, err
}

type revokeKeyInput struct {
	KeyPath
	Body RevokeKeyRequest
}
type keyOutput struct{ Body Key }

func (a *Admin) revokeKey(ctx context.Context, in *revokeKeyInput) (*keyOutput, error) {
	id, err := in.merchants(ctx, a.store)
	if err != nil {
		return nil, err
	}
	key, err := RevokeKey(ctx, a.store, id, in.Body.Reason, caller(ctx).actor())
	return &keyOutput{key}, err
}

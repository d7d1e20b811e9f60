package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

const (
	adminPath    = "/v1/admin"
	auditPath    = adminPath + "/audit_log"
	auditTag     = "Audit log"
	auditTable   = "audit_log" // of cursors
	adminBaseURL = "http://127.0.0.1:8081"
)

var aboutAdmin = about{
	title:       "Settle admin",
	description: "For operators: merchants and their API keys.",
	keyFormat:   "sk_admin_...",
	keyDoc:      "An operator's key; `settle keys create --admin` makes it. Merchants' keys do not work here.",
	tags: []*huma.Tag{
		{Name: merchantsTag, Description: "Who orders payments, up to which limits, and what is paid for them."},
		{Name: keysTag, Description: "What merchants authenticate with. Operators' keys are managed with the command line only."},
		{Name: auditTag, Description: "Who did what, and why."},
		{Name: serviceTag, Description: "Whether the service works."},
	},
}

// Admin answers operators over HTTP, on a listener of its own and for keys of
// its own. It is an http.Handler.
type Admin struct {
	*surface
	store   *store.Store
	peppers config.Keyring
}

// NewAdmin builds the operators' API from Store, Log, Peppers, PublicURL,
// KeyUsed, Redis, RateLimit and Now. It opens nothing and asks nobody.
func NewAdmin(d Deps) (*Admin, error) {
	d, err := d.withDefaults()
	if err != nil {
		return nil, err
	}
	shared, err := newSurface(d, aboutAdmin, store.Admin)
	if err != nil {
		return nil, err
	}
	a := &Admin{surface: shared, store: d.Store, peppers: d.Peppers}
	a.registerMerchants()
	a.registerKeys()
	a.registerAudit()
	a.registerHealth()
	return a, a.registerDocs(adminBaseURL)
}

// Run serves on the listener and hears of changes to keys until ctx ends, then
// lets requests under way finish for at most grace. It returns nil after a clean
// stop.
func (a *Admin) Run(ctx context.Context, listener net.Listener, grace time.Duration) error {
	return a.run(ctx, listener, grace)
}

func (a *Admin) registerAudit() {
	register(a.api, operation{
		method: http.MethodGet, path: auditPath, id: "list-audit-log", tag: auditTag, scope: AdminRead,
		summary: "List privileged acts, newest first", description: "Of operators, merchants, reviewers and Settle itself.",
	}, a.listAudit)
}

// AuditFilters are what a cursor of the audit log is bound to.
type AuditFilters struct {
	ObjectID string `query:"object_id" maxLength:"200" doc:"Only what was done to this object" example:"mer_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f" json:"o"`
}

type listAuditInput struct {
	AuditFilters
	PageQuery
}

// AuditEntry is one privileged act.
type AuditEntry struct {
	ID        int64           `json:"id"`
	Object    string          `json:"object" enum:"audit_entry"`
	Actor     string          `json:"actor" doc:"operator:<name>/<key id>, key:<key id>, cli:<user>, system, or as a reviewer gave it" example:"operator:alice/7Kq2mZ9x"`
	Action    string          `json:"action" example:"merchant.created"`
	ObjectID  string          `json:"object_id"`
	Reason    string          `json:"reason"`
	RequestID string          `json:"request_id"`
	Detail    json.RawMessage `json:"detail" doc:"An object that depends on the action"`
	At        time.Time       `json:"at"`
}

// AuditLog is a page of the audit log.
type AuditLog struct {
	Page
	Data []AuditEntry `json:"data"`
}

type listAuditOutput struct{ Body AuditLog }

func (a *Admin) listAudit(ctx context.Context, in *listAuditInput) (*listAuditOutput, error) {
	if err := checkQuery("query:object_id", in.ObjectID); err != nil {
		return nil, err
	}
	l := list[int64]{auditTable, in.AuditFilters}
	before, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	entries, more, err := a.store.AuditPage(ctx, in.ObjectID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := AuditLog{Data: make([]AuditEntry, len(entries))}
	out.Page = pageOf(l, entries, more, func(e db.AuditLog) int64 { return e.ID })
	for n, e := range entries {
		out.Data[n] = AuditEntry{e.ID, "audit_entry", e.Actor, e.Action, e.ObjectID, e.Reason, e.RequestID, e.Detail, e.At.UTC()}
	}
	return &listAuditOutput{out}, nil
}

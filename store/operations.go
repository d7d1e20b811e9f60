package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// AuditEntry says who did what to which object, and why.
type AuditEntry struct {
	Actor     string // e.g. "ops@example.com", "key:ab12cd34", "system"
	Action    string // e.g. "review.approve"
	ObjectID  string
	Reason    string
	RequestID string
	Detail    any // JSON; nil: nothing more to say
}

// Audit appends the entry to the audit log, in the transaction of the act.
func (tx *Tx) Audit(ctx context.Context, e AuditEntry) error {
	detail := json.RawMessage("{}")
	if e.Detail != nil {
		var err error
		if detail, err = json.Marshal(e.Detail); err != nil {
			return fmt.Errorf("audit %s of %s: %w", e.Action, e.ObjectID, err)
		}
	}
	err := tx.InsertAudit(ctx, db.InsertAuditParams{
		Actor: e.Actor, Action: e.Action, ObjectID: e.ObjectID, Reason: e.Reason, RequestID: e.RequestID, Detail: detail,
	})
	if err != nil {
		return fmt.Errorf("audit %s of %s: %w", e.Action, e.ObjectID, err)
	}
	return nil
}

// AuditLog returns the audit entries of an object, oldest first.
func (s *Store) AuditLog(ctx context.Context, objectID string) ([]db.AuditLog, error) {
	entries, err := s.queries.ListAudit(ctx, objectID)
	if err != nil {
		return nil, fmt.Errorf("audit log of %s: %w", objectID, err)
	}
	return entries, nil
}

// AuditPage returns at most limit audit entries, newest first, of an object, or
// of all if objectID is empty, that are older than the entry with the id before
// (nil: from the newest on); more reports whether others follow.
func (s *Store) AuditPage(ctx context.Context, objectID string, before *int64, limit int) (entries []db.AuditLog, more bool, err error) {
	rows, err := s.queries.PageAudit(ctx, db.PageAuditParams{ObjectID: given(objectID), Before: before, MaxRows: int32(limit) + 1})
	if err != nil {
		return nil, false, fmt.Errorf("audit log of %s: %w", objectID, err)
	}
	entries, more = Page(rows, limit)
	return entries, more, nil
}

// SaveConditions notes what a worker saw of a chain at observedAt. An older
// observation never replaces a newer one.
func (s *Store) SaveConditions(ctx context.Context, chain payment.Chain, worker string, conditions json.RawMessage, observedAt time.Time) error {
	err := s.queries.UpsertConditions(ctx, db.UpsertConditionsParams{
		Chain: string(chain), Worker: worker, Conditions: conditions, ObservedAt: observedAt,
	})
	if err != nil {
		return fmt.Errorf("save conditions of %s: %w", chain, err)
	}
	return nil
}

// LatestConditions returns the newest conditions of each chain that any worker
// has seen; their age is for the caller to judge.
func (s *Store) LatestConditions(ctx context.Context) (map[payment.Chain]json.RawMessage, error) {
	rows, err := s.queries.ListLatestConditions(ctx)
	if err != nil {
		return nil, fmt.Errorf("latest conditions: %w", err)
	}
	latest := make(map[payment.Chain]json.RawMessage, len(rows))
	for _, r := range rows {
		latest[payment.Chain(r.Chain)] = r.Conditions
	}
	return latest, nil
}

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// CreateIntent inserts an accepted intent (status created, version 1) with its
// first event and the row that keeps its workflow from being forgotten, and
// returns it as stored. The caller chose i.ID and took the hold i.HoldID in
// this transaction. idempotencyKey is unique per merchant and mode for ever;
// if it is taken, ErrConflict is returned and the transaction must be rolled
// back.
func (tx *Tx) CreateIntent(ctx context.Context, i payment.Intent, idempotencyKey string) (payment.Intent, error) {
	destinations, err := json.Marshal(i.Destinations)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("create intent %s: %w", i.ID, err)
	}
	metadata := i.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	meta, err := json.Marshal(metadata)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("create intent %s: %w", i.ID, err)
	}
	row, err := tx.InsertIntent(ctx, db.InsertIntentParams{
		ID: i.ID, MerchantID: i.MerchantID, Mode: string(i.Mode), IdempotencyKey: idempotencyKey,
		Asset: i.Asset.Code, Amount: i.Amount, Destinations: destinations, Priority: string(i.Priority),
		MaxFee: i.MaxFee, Deadline: i.Deadline, Reference: i.Reference, Metadata: meta,
		Status: string(payment.Created), Substatus: string(payment.AwaitingWorkflow),
		HoldID: i.HoldID, RequestID: i.RequestID,
	})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("create intent %s: %w", i.ID, err)
	}
	stored, err := intentOf(row)
	if err != nil {
		return payment.Intent{}, err
	}
	if err := tx.writeEvent(ctx, stored, payment.EventTypeOf(payment.Created), ""); err != nil {
		return payment.Intent{}, err
	}
	if err := tx.InsertStart(ctx, stored.ID); err != nil {
		return payment.Intent{}, fmt.Errorf("create intent %s: %w", i.ID, err)
	}
	return stored, nil
}

// LockIntent reads an intent and keeps every other writer of it out until the
// transaction ends. ErrNotFound if there is none.
func (tx *Tx) LockIntent(ctx context.Context, id string) (payment.Intent, error) {
	row, err := tx.Queries.LockIntent(ctx, id)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("lock intent %s: %w", id, err)
	}
	return intentOf(row)
}

// SaveIntent writes what may change of an intent (status, substatus, review,
// approval, chain, address, transaction hash, failure) from before, as read in
// this transaction, to after, together with its event, and returns it as
// stored. Version and times of after are ignored: the version becomes
// before.Version+1, and the time is the database's.
//
// ErrIllegalTransition if the state machine does not list the change,
// ErrConflict if the intent changed since before was read, ErrRefused if
// after differs in what was ordered or a guard of the database objects.
func (tx *Tx) SaveIntent(ctx context.Context, before, after payment.Intent) (payment.Intent, error) {
	kind := payment.IntentUpdated
	switch {
	case after.Status != before.Status && !before.Status.CanBecome(after.Status):
		return payment.Intent{}, fmt.Errorf("%w: intent %s is %s and may not become %s",
			ErrIllegalTransition, before.ID, before.Status, after.Status)
	case before.Status.Terminal():
		return payment.Intent{}, fmt.Errorf("%w: intent %s is %s and does not change any more",
			ErrIllegalTransition, before.ID, before.Status)
	case after.Status != before.Status:
		kind = payment.EventTypeOf(after.Status)
	}
	if !sameOrder(before, after) {
		return payment.Intent{}, fmt.Errorf("%w: intent %s: what was ordered may not change", ErrRefused, before.ID)
	}
	failure := payment.Failure{}
	if after.Failure != nil {
		failure = *after.Failure
	}
	row, err := tx.UpdateIntent(ctx, db.UpdateIntentParams{
		ID: before.ID, Version: before.Version,
		Status: string(after.Status), Substatus: string(after.Substatus),
		ReviewReason: string(after.ReviewReason), ReviewDetail: after.ReviewDetail, Approved: after.Approved,
		Chain: string(after.Chain), Address: after.Address, TxHash: after.TxHash,
		FailureCode: failure.Code, FailureMessage: failure.Message,
	})
	if isNotFound(err) {
		return payment.Intent{}, fmt.Errorf("%w: intent %s is not at version %d any more", ErrConflict, before.ID, before.Version)
	}
	if err != nil {
		return payment.Intent{}, fmt.Errorf("save intent %s: %w", before.ID, err)
	}
	stored, err := intentOf(row)
	if err != nil {
		return payment.Intent{}, err
	}
	previous := before.Status
	if previous == stored.Status {
		previous = ""
	}
	return stored, tx.writeEvent(ctx, stored, kind, previous)
}

// sameOrder reports whether a and b agree in everything SaveIntent may not write.
func sameOrder(a, b payment.Intent) bool {
	return a.ID == b.ID && a.MerchantID == b.MerchantID && a.Mode == b.Mode && a.Asset == b.Asset &&
		a.Amount == b.Amount && slices.Equal(a.Destinations, b.Destinations) && a.HoldID == b.HoldID
}

// writeEvent renders the event of a change once; its bytes are what the API
// shows and what webhooks sign.
func (tx *Tx) writeEvent(ctx context.Context, i payment.Intent, kind payment.EventType, previous payment.Status) error {
	event := payment.Event{
		ID: NewID("evt"), Object: "event", Type: kind, APIVersion: payment.APIVersion, Timestamp: i.UpdatedAt.UTC(),
		Data: payment.EventData{Object: i.Resource(), PreviousStatus: previous},
	}
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("event of intent %s: %w", i.ID, err)
	}
	err = tx.InsertEvent(ctx, db.InsertEventParams{
		ID: event.ID, IntentID: &i.ID, MerchantID: i.MerchantID, Mode: string(i.Mode),
		Sequence: i.Version, Type: string(kind), Body: body, CreatedAt: i.UpdatedAt,
	})
	if err != nil {
		return fmt.Errorf("event of intent %s: %w", i.ID, err)
	}
	return nil
}

// WorkflowSeen notes that the intent's workflow runs, so that no sweep starts
// it again. It may be called any number of times.
func (tx *Tx) WorkflowSeen(ctx context.Context, intentID string) error {
	if err := tx.DeleteStart(ctx, intentID); err != nil {
		return fmt.Errorf("workflow of intent %s seen: %w", intentID, err)
	}
	return nil
}

// DueStarts takes at most limit accepted intents whose workflow has not been
// seen in time, for the caller to start after commit, and pushes their next
// turn back by 10 s * 2^tries, at most 5 min. Concurrent callers take
// different intents.
func (tx *Tx) DueStarts(ctx context.Context, limit int) ([]payment.Intent, error) {
	rows, err := tx.TakeDueStarts(ctx, int32(limit))
	if err != nil {
		return nil, fmt.Errorf("due starts: %w", err)
	}
	return intentsOf(rows)
}

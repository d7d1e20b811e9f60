package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// CreateIntent is AcceptIntent without an answer to store: for callers other
// than a merchant's request.
func (tx *Tx) CreateIntent(ctx context.Context, i payment.Intent, idempotencyKey string) (payment.Intent, error) {
	return tx.accept(ctx, i, IdempotencyKey{Key: idempotencyKey}, nil)
}

// Answer renders the stored answer to the request that made an intent: its HTTP
// status and body.
type Answer func(stored payment.Intent) (status int, body []byte, err error)

// AcceptIntent inserts an accepted intent (status created, version 1) with its
// first event, the row that keeps its workflow from being forgotten and the
// answer to its request, in one round trip, and returns it as stored. The
// caller chose i.ID and took the hold i.HoldID in this transaction (a sponsored
// payment has none); i.CreatedAt
// is the database's time, which the hold tells, and is asked for if it is zero.
//
// The answer is stored under key, and key.Key is unique per merchant and mode
// for ever; if either is taken, ErrConflict is returned and the transaction
// must be rolled back. A concurrent transaction with the same key waits here
// until the other ends, if not before.
func (tx *Tx) AcceptIntent(ctx context.Context, i payment.Intent, key IdempotencyKey, answer Answer) (payment.Intent, error) {
	return tx.accept(ctx, i, key, answer)
}

func (tx *Tx) accept(ctx context.Context, i payment.Intent, key IdempotencyKey, answer Answer) (payment.Intent, error) {
	fault := func(err error) (payment.Intent, error) {
		return payment.Intent{}, fmt.Errorf("create intent %s: %w", i.ID, err)
	}
	at := i.CreatedAt
	if at.IsZero() {
		var err error
		if at, err = tx.now(ctx); err != nil {
			return fault(err)
		}
	}
	i = accepted(i, at)
	destinations, err := json.Marshal(i.Destinations)
	if err != nil {
		return fault(err)
	}
	metadata, err := json.Marshal(i.Metadata)
	if err != nil {
		return fault(err)
	}
	var authorization []byte // NULL unless it is sponsored
	if i.Sponsored() {
		if authorization, err = json.Marshal(i.Authorization); err != nil {
			return fault(err)
		}
	}
	event, err := eventOf(i, payment.EventTypeOf(payment.Created), "")
	if err != nil {
		return fault(err)
	}
	p := db.InsertIntentParams{
		ID: i.ID, MerchantID: i.MerchantID, Mode: string(i.Mode), IdempotencyKey: key.Key,
		Asset: i.Asset.Code, Amount: i.Amount, Destinations: destinations, AllowedChains: texts(i.Allowed), Priority: string(i.Priority),
		MaxFee: i.MaxFee, Deadline: i.Deadline, Reference: i.Reference, Metadata: metadata, QuoteID: given(i.Quote), RetryOf: given(i.RetryOf),
		Status: string(i.Status), Substatus: string(i.Substatus),
		HoldID: given(i.HoldID), PayerAuthorization: authorization, RequestID: i.RequestID, At: at,
		EventID: event.id, EventType: string(event.kind), EventBody: event.body,
	}
	if i.Batch != nil {
		line := int32(i.Batch.Line)
		p.BatchID, p.BatchLine = &i.Batch.ID, &line
	}
	if answer != nil {
		status, body, err := answer(i)
		if err != nil {
			return fault(err)
		}
		p.AnswerRoute, p.AnswerRequestHash, p.AnswerStatus, p.AnswerBody = key.Route, key.RequestHash, int32(status), notNull(body)
	}
	if err := tx.InsertIntent(ctx, p); err != nil {
		return fault(err)
	}
	tx.announce(i)
	return i, nil
}

// accepted is an order as its row will be read: the columns keep microseconds,
// and no metadata are empty metadata.
func accepted(i payment.Intent, at time.Time) payment.Intent {
	i.Status, i.Substatus, i.Version, i.CreatedAt, i.UpdatedAt = payment.Created, payment.AwaitingWorkflow, 1, at, at
	if i.Deadline != nil {
		kept := i.Deadline.Truncate(time.Microsecond).Local()
		i.Deadline = &kept
	}
	if i.Metadata == nil {
		i.Metadata = map[string]string{}
	}
	return i
}

// LockIntent reads an intent and keeps every other writer of it out until the
// transaction ends. ErrNotFound if there is none.
func (tx *Tx) LockIntent(ctx context.Context, id string) (payment.Intent, error) {
	row, err := tx.Queries.LockIntent(ctx, id)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("lock intent %s: %w", id, err)
	}
	tx.clock = row.At
	return intentOf(row.PaymentIntent)
}

// SaveIntent writes what may change of an intent (status, substatus, review,
// approval, chain, address, transaction hash, failure) from before, as read in
// this transaction, to after, together with its event, in one round trip, and
// returns it as stored. Version and times of after are ignored: the version
// becomes before.Version+1, and the time is the database's when the intent was
// locked.
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
	at, err := tx.now(ctx)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("save intent %s: %w", before.ID, err)
	}
	stored := saved(before, after, at)
	previous := before.Status
	if previous == stored.Status {
		previous = ""
	}
	event, err := eventOf(stored, kind, previous)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("save intent %s: %w", before.ID, err)
	}
	failure := payment.Failure{}
	if stored.Failure != nil {
		failure = *stored.Failure
	}
	n, err := tx.UpdateIntent(ctx, db.UpdateIntentParams{
		ID: before.ID, Version: before.Version,
		Status: string(stored.Status), Substatus: string(stored.Substatus),
		ReviewReason: string(stored.ReviewReason), ReviewDetail: stored.ReviewDetail, Approved: stored.Approved,
		Chain: string(stored.Chain), Address: stored.Address, TxHash: stored.TxHash,
		FailureCode: failure.Code, FailureMessage: failure.Message,
		At: stored.UpdatedAt, Closed: stored.Status.Terminal(), EventID: event.id, EventType: string(event.kind), EventBody: event.body,
	})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("save intent %s: %w", before.ID, err)
	}
	if n == 0 {
		return payment.Intent{}, fmt.Errorf("%w: intent %s is not at version %d any more", ErrConflict, before.ID, before.Version)
	}
	tx.announce(stored)
	return stored, nil
}

// saved is before with what SaveIntent may write of after, as its row will be
// read. Its time never goes back.
func saved(before, after payment.Intent, at time.Time) payment.Intent {
	i := before
	i.Status, i.Substatus = after.Status, after.Substatus
	i.ReviewReason, i.ReviewDetail, i.Approved = after.ReviewReason, after.ReviewDetail, after.Approved
	i.Chain, i.Address, i.TxHash = after.Chain, after.Address, after.TxHash
	i.Failure = nil
	if after.Failure != nil && after.Failure.Code != "" {
		failure := payment.Failure{Code: after.Failure.Code, Message: after.Failure.Message}
		i.Failure = &failure
	}
	i.Version = before.Version + 1
	if i.UpdatedAt.Before(at) {
		i.UpdatedAt = at
	}
	return i
}

// sameOrder reports whether a and b agree in everything SaveIntent may not write.
func sameOrder(a, b payment.Intent) bool {
	return a.ID == b.ID && a.MerchantID == b.MerchantID && a.Mode == b.Mode && a.Asset == b.Asset &&
		a.Amount == b.Amount && slices.Equal(a.Destinations, b.Destinations) && a.HoldID == b.HoldID &&
		(a.Authorization == b.Authorization || a.Sponsored() && b.Sponsored() && *a.Authorization == *b.Authorization)
}

// event is a rendered event.
type event struct {
	id   string
	kind payment.EventType
	body []byte
}

// eventOf renders the event of a change once; its bytes are what the API shows
// and what webhooks sign.
func eventOf(i payment.Intent, kind payment.EventType, previous payment.Status) (event, error) {
	id := NewID("evt")
	body, err := json.Marshal(payment.Event{
		ID: id, Object: "event", Type: kind, APIVersion: payment.APIVersion, Timestamp: i.UpdatedAt.UTC(),
		Data: payment.EventData{Object: i.Resource(), PreviousStatus: previous},
	})
	if err != nil {
		return event{}, fmt.Errorf("event: %w", err)
	}
	return event{id, kind, body}, nil
}

// WorkflowSeen notes that the intent's workflow runs, so that no sweep starts
// it again. It may be called any number of times.
func (tx *Tx) WorkflowSeen(ctx context.Context, intentID string) error {
	if err := tx.DeleteStart(ctx, intentID); err != nil {
		return fmt.Errorf("workflow of intent %s seen: %w", intentID, err)
	}
	return nil
}

// TellWorkflow notes that the intent's workflow must learn of a change that was
// made behind its back: DueStarts returns the intent from 5 s on, until
// WorkflowSeen. It is called in the transaction of the change.
func (tx *Tx) TellWorkflow(ctx context.Context, intentID string) error {
	if err := tx.UpsertStart(ctx, intentID); err != nil {
		return fmt.Errorf("tell workflow of intent %s: %w", intentID, err)
	}
	return nil
}

// DueStarts takes at most limit intents whose workflow has not been seen in
// time since they were accepted or canceled, for the caller to start or to tell
// after commit, and pushes their next turn back by 10 s * 2^tries, at most
// 5 min. Concurrent callers take different intents.
func (tx *Tx) DueStarts(ctx context.Context, limit int) ([]payment.Intent, error) {
	rows, err := tx.TakeDueStarts(ctx, int32(limit))
	if err != nil {
		return nil, fmt.Errorf("due starts: %w", err)
	}
	return intentsOf(rows)
}

// Backlog counts the intents that no step of a workflow has taken up yet since
// they were accepted or canceled, up to limit.
func (s *Store) Backlog(ctx context.Context, limit int) (int, error) {
	n, err := s.queries.CountStarts(ctx, int32(limit))
	if err != nil {
		return 0, fmt.Errorf("backlog: %w", err)
	}
	return int(n), nil
}

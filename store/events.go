package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// EventRow is an event of an intent. Body is the stored rendering of
// payment.Event, which webhooks sign.
type EventRow struct {
	ID        string
	Sequence  int64
	Type      string
	Body      []byte
	CreatedAt time.Time
}

// IntentEvents returns at most limit events of the merchant's intent with a
// sequence above afterSequence, in order. An intent of anybody else has none.
func (s *Store) IntentEvents(ctx context.Context, merchantID string, mode payment.Mode, intentID string, afterSequence int64, limit int) ([]EventRow, error) {
	rows, err := s.queries.ListIntentEvents(ctx, db.ListIntentEventsParams{
		IntentID: &intentID, MerchantID: merchantID, Mode: string(mode), AfterSequence: afterSequence, MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("events of intent %s: %w", intentID, err)
	}
	events := make([]EventRow, len(rows))
	for n, r := range rows {
		events[n] = EventRow(r)
	}
	return events, nil
}

// MerchantEvent reads an event of the merchant in the mode; ErrNotFound if
// there is none, or it is somebody else's.
func (s *Store) MerchantEvent(ctx context.Context, merchantID string, mode payment.Mode, id string) (EventRow, error) {
	row, err := s.queries.GetMerchantEvent(ctx, db.GetMerchantEventParams{ID: id, MerchantID: merchantID, Mode: string(mode)})
	if err != nil {
		return EventRow{}, fmt.Errorf("event %s: %w", id, err)
	}
	return EventRow(row), nil
}

// EventFilter chooses events of the log. MerchantID and Mode are required;
// every other field that is left zero does not restrict.
type EventFilter struct {
	MerchantID string
	Mode       payment.Mode
	IntentID   string
	Types      []string
}

// EventPlace is where an event stands in the log: by the transaction that wrote
// it, and within that. The zero value stands before every event.
type EventPlace struct {
	Transaction int64 `json:"x"` // Postgres' 64-bit transaction id
	Position    int64 `json:"p"`
}

// LoggedEvent is an event with its place in the log.
type LoggedEvent struct {
	EventRow
	Place EventPlace
}

// Events returns at most limit events of the log behind a place, in the log's
// order, which is the same for every reader at any time.
//
// The order is that of the transactions' ids, and a transaction with a lower id
// may commit later. Therefore the log ends before the oldest transaction that
// still runs: what is shown has nothing before it that could yet appear, so that
// whoever goes on behind the last event misses none. The price is that a
// writing transaction of any database of the server delays the log by
// as long as it stays open.
func (s *Store) Events(ctx context.Context, f EventFilter, after EventPlace, limit int) ([]LoggedEvent, error) {
	rows, err := s.queries.ListEvents(ctx, db.ListEventsParams{
		MerchantID: f.MerchantID, Mode: string(f.Mode), IntentID: given(f.IntentID), Types: f.Types,
		AfterXact: strconv.FormatInt(after.Transaction, 10), AfterPosition: after.Position, MaxRows: int32(limit),
	})
	if err != nil {
		return nil, fmt.Errorf("list events: %w", err)
	}
	events := make([]LoggedEvent, len(rows))
	for n, r := range rows {
		events[n] = LoggedEvent{
			EventRow: EventRow{ID: r.ID, Sequence: r.Sequence, Type: r.Type, Body: r.Body, CreatedAt: r.CreatedAt},
			Place:    EventPlace{Transaction: r.AtXact, Position: r.AtPosition},
		}
	}
	return events, nil
}

// LogEnd is the place in front of everything that the log does not show yet.
func (s *Store) LogEnd(ctx context.Context) (EventPlace, error) {
	xact, err := s.queries.LogEnd(ctx)
	if err != nil {
		return EventPlace{}, fmt.Errorf("end of the event log: %w", err)
	}
	return EventPlace{Transaction: xact}, nil
}

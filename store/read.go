package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// Intent reads an intent whoever it belongs to. ErrNotFound if there is none.
func (s *Store) Intent(ctx context.Context, id string) (payment.Intent, error) {
	row, err := s.queries.GetIntent(ctx, id)
	if err != nil {
		return payment.Intent{}, fmt.Errorf("intent %s: %w", id, err)
	}
	return intentOf(row)
}

// MerchantIntent reads an intent of the merchant in the mode. An intent of
// anybody else is ErrNotFound, as if it did not exist.
func (s *Store) MerchantIntent(ctx context.Context, merchantID string, mode payment.Mode, id string) (payment.Intent, error) {
	row, err := s.queries.GetMerchantIntent(ctx, db.GetMerchantIntentParams{ID: id, MerchantID: merchantID, Mode: string(mode)})
	if err != nil {
		return payment.Intent{}, fmt.Errorf("intent %s: %w", id, err)
	}
	return intentOf(row)
}

// ListFilter chooses intents. MerchantID and Mode are required; every other
// field that is left zero does not restrict.
type ListFilter struct {
	MerchantID    string
	Mode          payment.Mode
	Statuses      []payment.Status
	Chain         payment.Chain
	Reference     string
	Metadata      map[string]string // all of these
	CreatedAfter  *time.Time        // at this time or later
	CreatedBefore *time.Time        // earlier than this time
}

// Cursor is the place of an intent in a list: the list goes on behind it.
type Cursor struct {
	CreatedAt time.Time
	ID        string
}

// place is how queries take a cursor.
func (c *Cursor) place() (createdAt *time.Time, id *string) {
	if c == nil {
		return nil, nil
	}
	return &c.CreatedAt, &c.ID
}

// oneMore is how many rows tell whether others follow a page; nil for limit 0,
// which is all.
func oneMore(limit int) *int32 {
	if limit == 0 {
		return nil
	}
	n := int32(limit) + 1
	return &n
}

// Page cuts rows, of which one more than limit was asked for, to limit (0: all),
// and reports whether that left some out.
func Page[T any](rows []T, limit int) (cut []T, more bool) {
	if limit == 0 || len(rows) <= limit {
		return rows, false
	}
	return rows[:limit], true
}

// ListIntents returns at most limit intents, newest first, that come after the
// cursor (nil: from the newest on); more reports whether others follow. An
// intent keeps its place for ever.
func (s *Store) ListIntents(ctx context.Context, f ListFilter, after *Cursor, limit int) (intents []payment.Intent, more bool, err error) {
	metadata := json.RawMessage("{}")
	if len(f.Metadata) > 0 {
		if metadata, err = json.Marshal(f.Metadata); err != nil {
			return nil, false, fmt.Errorf("list intents: %w", err)
		}
	}
	p := db.ListIntentsParams{
		MerchantID: f.MerchantID, Mode: string(f.Mode),
		CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore,
		Chain: given(string(f.Chain)), Reference: given(f.Reference), Metadata: metadata, MaxRows: int32(limit) + 1,
	}
	for _, status := range f.Statuses {
		p.Statuses = append(p.Statuses, string(status))
	}
	p.AfterCreatedAt, p.AfterID = after.place()
	rows, err := s.queries.ListIntents(ctx, p)
	if err != nil {
		return nil, false, fmt.Errorf("list intents: %w", err)
	}
	rows, more = Page(rows, limit)
	intents, err = intentsOf(rows)
	return intents, more, err
}

// Retry returns the id of the intent that orders another one again, "" if none does.
func (s *Store) Retry(ctx context.Context, intentID string) (string, error) {
	id, err := s.queries.GetRetry(ctx, intentID)
	if isNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("retry of intent %s: %w", intentID, err)
	}
	return id, nil
}

func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// IdleIntents returns at most limit open intents behind a place in the order
// of their creation, of whoever, that nobody has changed for idle, or if they
// are sent, for sentIdle.
func (s *Store) IdleIntents(ctx context.Context, after Cursor, idle, sentIdle time.Duration, limit int) ([]payment.Intent, error) {
	rows, err := s.queries.IdleIntents(ctx, db.IdleIntentsParams{AfterCreatedAt: after.CreatedAt, AfterID: after.ID,
		IdleSeconds: idle.Seconds(), SentIdleSeconds: sentIdle.Seconds(), MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("idle intents: %w", err)
	}
	return intentsOf(rows)
}

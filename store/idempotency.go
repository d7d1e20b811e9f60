package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// IdempotencyKey identifies a request: the merchant's key on one route, and a
// hash of the request, which tells a repetition from another request with the
// same key. The hash is no part of the identity.
type IdempotencyKey struct {
	MerchantID  string
	Mode        payment.Mode
	Route       string // method and path template, e.g. "POST /v1/payment_intents"
	Key         string // as the merchant sent it
	RequestHash []byte
}

// IdempotencyRecord is the stored answer to a request.
type IdempotencyRecord struct {
	IdempotencyKey
	ResourceID string // of what the request made, "" if nothing
	Status     int    // HTTP status of the answer
	Body       []byte // of the answer, to be replayed byte for byte
	CreatedAt  time.Time
}

// Matches reports whether the record answers the request with this hash; if
// not, the merchant used one key for two different requests.
func (r IdempotencyRecord) Matches(requestHash []byte) bool {
	return bytes.Equal(r.RequestHash, requestHash)
}

// FindIdempotency returns the stored answer for the key, or nil if there is
// none yet.
func (s *Store) FindIdempotency(ctx context.Context, k IdempotencyKey) (*IdempotencyRecord, error) {
	row, err := s.queries.GetIdempotencyKey(ctx, db.GetIdempotencyKeyParams{
		MerchantID: k.MerchantID, Mode: string(k.Mode), Route: k.Route, Key: k.Key,
	})
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find idempotency key: %w", err)
	}
	k.RequestHash = row.RequestHash
	return &IdempotencyRecord{
		IdempotencyKey: k, ResourceID: row.ResourceID, Status: int(row.Status), Body: row.Body, CreatedAt: row.CreatedAt,
	}, nil
}

// ClaimIdempotency takes the key for this transaction; call it first. A
// concurrent transaction with the same key waits here until this one ends. If
// it commits, the other gets ErrConflict, rolls back and reads the answer with
// FindIdempotency; if it rolls back, the other goes on. A claim that is not
// followed by StoreIdempotency is ErrRefused at commit.
func (tx *Tx) ClaimIdempotency(ctx context.Context, k IdempotencyKey) error {
	n, err := tx.ClaimIdempotencyKey(ctx, db.ClaimIdempotencyKeyParams{
		MerchantID: k.MerchantID, Mode: string(k.Mode), Route: k.Route, Key: k.Key, RequestHash: k.RequestHash,
	})
	return lost(n, err, "claim idempotency key")
}

// StoreIdempotency stores the answer of the key that this transaction claimed.
func (tx *Tx) StoreIdempotency(ctx context.Context, k IdempotencyKey, resourceID string, status int, body []byte) error {
	n, err := tx.StoreIdempotencyAnswer(ctx, db.StoreIdempotencyAnswerParams{
		MerchantID: k.MerchantID, Mode: string(k.Mode), Route: k.Route, Key: k.Key,
		ResourceID: resourceID, Status: int32(status), Body: notNull(body),
	})
	return lost(n, err, "store idempotent answer")
}

// InsertIdempotency claims the key and stores its answer in one statement, for
// an answer known from the start, such as a rejection. ErrConflict if another
// transaction has the key.
func (tx *Tx) InsertIdempotency(ctx context.Context, r IdempotencyRecord) error {
	n, err := tx.InsertIdempotencyKey(ctx, db.InsertIdempotencyKeyParams{
		MerchantID: r.MerchantID, Mode: string(r.Mode), Route: r.Route, Key: r.Key, RequestHash: r.RequestHash,
		ResourceID: r.ResourceID, Status: int32(r.Status), Body: notNull(r.Body),
	})
	return lost(n, err, "insert idempotency key")
}

// notNull turns an answer without a body into one of no bytes.
func notNull(body []byte) []byte {
	if body == nil {
		return []byte{}
	}
	return body
}

// lost judges a statement that changes one row, or none if another transaction
// was first.
func lost(rows int64, err error, what string) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if rows == 0 {
		return fmt.Errorf("%s: %w", what, ErrConflict)
	}
	return nil
}

// ForgetIdempotency deletes answers stored before the given time and returns
// how many. The keys of intents stay taken all the same.
func (s *Store) ForgetIdempotency(ctx context.Context, before time.Time) (int64, error) {
	n, err := s.queries.DeleteOldIdempotencyKeys(ctx, before)
	if err != nil {
		return 0, fmt.Errorf("forget idempotency keys: %w", err)
	}
	return n, nil
}

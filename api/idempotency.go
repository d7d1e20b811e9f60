package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const idempotencyHeader = "Idempotency-Key"

// Idempotent is what every request takes that makes something.
type Idempotent struct {
	IdempotencyKey string `header:"Idempotency-Key" required:"true" minLength:"1" maxLength:"255" pattern:"^[ -~]+$" patternDescription:"printable ASCII" doc:"A key of your own making. The same key with the same body gets the same answer, however often it is sent. Answers are kept for 24 hours or longer; what a key made stays the only thing that it made, for ever." example:"f3a1c0de-7b1e-4a53-9d0c-5a1f2e3d4c5b"`
}

// rawOutput is an answer in stored bytes.
type rawOutput struct {
	Status      int
	ContentType string `header:"Content-Type" hidden:"true"`
	Replayed    string `header:"Idempotent-Replayed" doc:"true if this is the stored answer to an earlier request"`
	Body        []byte
}

// once acts on a request at most once. What is known already is answered from its
// record before anything else is looked at, since a repetition must get its answer
// even if by now the deadline passed, the balance is spent, the quote used or a
// chain down. act stores the answer's bytes under the key in the transaction that
// does the work.
func (s *Server) once(ctx context.Context, route, idempotencyKey string, request any, act func(principal, store.IdempotencyKey) ([]byte, error)) (*rawOutput, error) {
	who := caller(ctx)
	key := who.idempotencyKey(route, idempotencyKey)
	var err error
	if key.RequestHash, err = fingerprint(route, request); err != nil {
		return nil, err
	}
	if out, err := s.replay(ctx, key); out != nil || err != nil {
		return out, err
	}
	body, err := act(who, key)
	if err != nil {
		return s.outrun(ctx, key, err)
	}
	return created(body), nil
}

func (p principal) idempotencyKey(route, key string) store.IdempotencyKey {
	return store.IdempotencyKey{MerchantID: p.ID, Mode: p.Key.Mode, Route: route, Key: key}
}

func created(body []byte) *rawOutput {
	return &rawOutput{Status: http.StatusCreated, ContentType: jsonType, Body: body}
}

// outrun answers a request that failed. A concurrent one with the same key may have
// been faster, and be the reason: then it has our answer. Who is told to come
// again finds it then.
func (s *Server) outrun(ctx context.Context, key store.IdempotencyKey, cause error) (*rawOutput, error) {
	var known *Problem
	refused := errors.As(cause, &known)
	if refused && known.retryAfter > 0 {
		return nil, cause
	}
	if out, err := s.replay(ctx, key); out != nil || err != nil {
		return out, err
	}
	if errors.Is(cause, store.ErrConflict) && !refused {
		return nil, fail(IdempotencyKeyUsed, "").because(cause)
	}
	return nil, cause
}

// fingerprint tells a repetition from another request: SHA-256 over the route
// and the request in one canonical form (fields in a fixed order, defaults
// filled in, keys sorted).
func fingerprint(route string, request any) ([]byte, error) {
	canonical, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("fingerprint: %w", err)
	}
	h := sha256.New()
	h.Write([]byte(route + "\n"))
	h.Write(canonical)
	return h.Sum(nil), nil
}

// replay returns the stored answer to the key, or nil if there is none.
func (s *Server) replay(ctx context.Context, key store.IdempotencyKey) (*rawOutput, error) {
	record, err := s.store.FindIdempotency(ctx, key)
	if err != nil || record == nil {
		return nil, err
	}
	telemetry.Add(ctx, zap.String("intent_id", record.ResourceID), zap.Bool("replayed", true))
	if !record.Matches(key.RequestHash) {
		p := fail(IdempotencyMismatch, "The key was used for another request, which made "+record.ResourceID+". Use a new key for a new payment.")
		p.ExistingID = record.ResourceID
		return nil, p
	}
	return &rawOutput{Status: record.Status, ContentType: jsonType, Replayed: "true", Body: record.Body}, nil
}

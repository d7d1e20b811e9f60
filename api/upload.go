package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"mime"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

// Limits of an upload, which is the one request that may be large. What of it is
// in memory at a time is a chunk of lines.
const (
	maxUploadBytes = 64 << 20
	maxLineBytes   = maxBodyBytes // of one line: as much as one payment may have
	uploadTimeout  = 5 * time.Minute
	chunkLines     = 1000    // lines that are written at once
	chunkBytes     = 1 << 20 // or as many as have so many bytes
	dropTimeout    = 10 * time.Second
)

const (
	jsonType = "application/json"
	csvType  = "text/csv"
)

type createBatchInput struct {
	Idempotent
	Reference string `query:"reference" maxLength:"200" doc:"Your own reference for the batch, where the body is CSV"`

	hc huma.Context
}

// Resolve keeps the request, whose body is read as it arrives.
func (in *createBatchInput) Resolve(hc huma.Context) []error {
	in.hc = hc
	return nil
}

// BatchRequest is a batch in JSON. Its fields may come in any order.
type BatchRequest struct {
	Reference string            `json:"reference,omitempty" maxLength:"200" doc:"Your own reference for the batch"`
	Metadata  map[string]string `json:"metadata,omitempty" doc:"Up to 20 keys of 1 to 40 characters with values of up to 500"`
	Lines     []LineRequest     `json:"lines" minItems:"1" maxItems:"100000" doc:"The payments, each as POST /v1/payment_intents takes it, without a quote; a reference may be given once"`
}

// createBatch reads an upload. Its lines are written as they arrive, to a batch
// that nobody is shown; the last transaction shows it, together with the answer
// under its key. No transaction is open meanwhile, since others wait for the end of
// an old one.
func (s *Server) createBatch(ctx context.Context, in *createBatchInput) (*rawOutput, error) {
	ctx, cancel := within(ctx, uploadTimeout)
	defer cancel()
	control := http.NewResponseController(ginOf(in.hc).Writer)
	_ = control.SetReadDeadline(time.Now().Add(uploadTimeout)) // where there are none, none needs to be lifted
	_ = control.SetWriteDeadline(time.Now().Add(uploadTimeout + writeTimeout))

	media, _, err := mime.ParseMediaType(in.hc.Header("Content-Type"))
	if err != nil || (media != jsonType && media != csvType) {
		return nil, fail(UnsupportedMediaType, "Send Content-Type: application/json or text/csv.")
	}
	who := caller(ctx)
	up := newUpload(in.hc.BodyReader(), media, in.Reference)
	key := who.idempotencyKey(batchRoute, in.IdempotencyKey)
	known, err := s.store.FindIdempotency(ctx, key)
	if err != nil {
		return nil, err
	}
	if known != nil {
		if _, err := io.Copy(io.Discard, up); err != nil {
			return nil, up.problem(err)
		}
		key.RequestHash = up.sum()
		return s.replay(ctx, key)
	}
	b := payment.Batch{ID: store.NewID("batch"), MerchantID: who.ID, Mode: who.Key.Mode, Asset: payment.USDC, Reference: in.Reference, RequestID: telemetry.RequestID(ctx)}
	telemetry.Add(ctx, zap.String("batch_id", b.ID))
	body, err := s.receive(ctx, b, key, up)
	if err != nil {
		s.drop(ctx, b.ID)
	}
	if errors.Is(err, store.ErrConflict) { // which is found out at the end of the upload
		key.RequestHash = up.sum()
		return s.outrun(ctx, key, err)
	}
	if err != nil {
		return nil, err
	}
	return created(body), nil
}

// receive reads the upload to its end, stores its lines and shows the batch. It
// returns the answer's bytes.
func (s *Server) receive(ctx context.Context, b payment.Batch, key store.IdempotencyKey, up *upload) (body []byte, err error) {
	if errs := checkText("query:reference", b.Reference); len(errs) > 0 {
		return nil, failFields(errs)
	}
	lines, err := up.lines(&b)
	if err != nil {
		return nil, err
	}
	if err := s.store.OpenUpload(ctx, b, key); err != nil {
		return nil, err
	}
	check := s.newLineCheck(caller(ctx).MaxAmount)
	var chunk []payment.BatchLine
	var from int64 // where the chunk begins
	flush := func() error {
		if len(chunk) == 0 {
			return nil
		}
		err := s.store.AddLines(ctx, b.ID, chunk)
		chunk, from = chunk[:0], up.read
		return err
	}
	for n := 1; ; n++ {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, up.problem(err)
		}
		if n > payment.MaxBatchLines {
			return nil, fail(BatchTooLong, "")
		}
		chunk = append(chunk, check.line(n, line))
		if len(chunk) == chunkLines || up.read-from > chunkBytes {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		b.Lines = n
	}
	if b.Lines == 0 {
		return nil, failFields([]FieldError{{"#/lines", FieldMissing, "A batch has one line or more."}})
	}
	if err := flush(); err != nil {
		return nil, err
	}
	key.RequestHash = up.sum()
	return s.seal(ctx, b, key)
}

// seal shows the batch and stores the answer to its upload.
func (s *Server) seal(ctx context.Context, b payment.Batch, key store.IdempotencyKey) (body []byte, err error) {
	duplicate, err := json.Marshal([]FieldError{{"#/reference", ReferenceDuplicate, codeByName[ReferenceDuplicate].Remedy}})
	if err != nil {
		return nil, err
	}
	err = s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		sealed, err := tx.SealBatch(ctx, b, duplicate)
		if err != nil {
			return err
		}
		shown, err := tx.ShowBatch(ctx, sealed)
		if err != nil {
			return err
		}
		if body, err = json.Marshal(shown); err != nil {
			return err
		}
		return tx.InsertIdempotency(ctx, store.IdempotencyRecord{IdempotencyKey: key, ResourceID: b.ID, Status: http.StatusCreated, Body: body})
	})
	return body, err
}

// drop removes what a broken upload has written. What cannot be removed now, the
// relay's sweep removes later.
func (s *Server) drop(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dropTimeout)
	defer cancel()
	if err := s.store.DropUpload(ctx, id); err != nil {
		telemetry.Add(ctx, zap.NamedError("drop", err))
	}
}

// upload reads a body, hashes and counts it, and stops at the limits.
type upload struct {
	body  io.Reader
	media string
	hash  hash.Hash
	read  int64
	// parsed is how much of it the parser has understood; nil: that is no matter.
	// What is between the two is in memory.
	parsed func() int64
}

// Errors of an upload.
var (
	errUploadTooLarge = errors.New("upload too large")
	errLineTooLarge   = errors.New("line too large")
)

// newUpload begins to read. The hash covers what decides how the body is read.
func newUpload(body io.Reader, media, reference string) *upload {
	u := &upload{body: body, media: media, hash: sha256.New()}
	u.hash.Write([]byte(batchRoute + "\n" + media + "\n" + reference + "\n"))
	return u
}

func (u *upload) Read(p []byte) (int, error) {
	if u.parsed != nil && u.read-u.parsed() > maxLineBytes+readAhead {
		return 0, errLineTooLarge
	}
	n, err := u.body.Read(p)
	u.hash.Write(p[:n])
	if u.read += int64(n); u.read > maxUploadBytes {
		return n, errUploadTooLarge
	}
	return n, err
}

// sum identifies what was uploaded, once all of it was read.
func (u *upload) sum() []byte { return u.hash.Sum(nil) }

// problem explains why an upload ended before its end.
func (u *upload) problem(err error) error {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, errUploadTooLarge):
		return fail(RequestTooLarge, "Keep it below 64 MB, and split it otherwise.")
	case errors.Is(err, errLineTooLarge):
		return fail(RequestTooLarge, "A line is larger than 64 kB.")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return fail(RequestTimeout, "").because(err)
	}
	return fail(MalformedRequest, "The body cannot be read: "+sentence(err.Error())).because(err)
}

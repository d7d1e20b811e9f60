package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// OpenUpload inserts a batch that is validating, for AddLines. Nobody is shown it
// until SealBatch. The caller chose b.ID; key.Key becomes unique with the seal.
func (s *Store) OpenUpload(ctx context.Context, b payment.Batch, key IdempotencyKey) error {
	if err := s.queries.InsertBatch(ctx, db.InsertBatchParams{
		ID: b.ID, MerchantID: b.MerchantID, Mode: string(b.Mode), IdempotencyKey: key.Key, Asset: b.Asset.Code, RequestID: b.RequestID,
	}); err != nil {
		return fmt.Errorf("open upload %s: %w", b.ID, err)
	}
	return nil
}

// AddLines adds lines to a batch that is validating.
func (s *Store) AddLines(ctx context.Context, batchID string, lines []payment.BatchLine) error {
	rows := make([]db.InsertBatchLinesParams, len(lines))
	for n, l := range lines {
		destinations, err := json.Marshal(l.Destinations)
		if err != nil {
			return fmt.Errorf("batch %s line %d: %w", batchID, l.Line, err)
		}
		metadata, err := json.Marshal(l.Metadata)
		if err != nil {
			return fmt.Errorf("batch %s line %d: %w", batchID, l.Line, err)
		}
		rows[n] = db.InsertBatchLinesParams{BatchID: batchID, Line: int32(l.Line), Amount: l.Amount, Destinations: destinations,
			AllowedChains: texts(l.Allowed), Priority: string(l.Priority), MaxFee: l.MaxFee, Deadline: l.Deadline, Reference: l.Reference, Metadata: metadata, Errors: l.Errors}
	}
	if _, err := s.queries.InsertBatchLines(ctx, rows); err != nil {
		return fmt.Errorf("add lines to %s: %w", batchID, err)
	}
	return nil
}

// DropUpload deletes a batch that is validating, with its lines.
func (s *Store) DropUpload(ctx context.Context, batchID string) error {
	if err := s.queries.DeleteUpload(ctx, batchID); err != nil {
		return fmt.Errorf("drop upload %s: %w", batchID, err)
	}
	return nil
}

// DropAbandonedUploads deletes what uploads left behind that began before so
// long, since their process died.
func (s *Store) DropAbandonedUploads(ctx context.Context, older time.Duration) (int64, error) {
	n, err := s.queries.DeleteAbandonedUploads(ctx, older.Seconds())
	if err != nil {
		return 0, fmt.Errorf("drop abandoned uploads: %w", err)
	}
	return n, nil
}

// SealBatch ends an upload: lines whose reference another one has get duplicate
// (JSON, a list) as an error, and the batch is ready, or invalid if any line is.
// ErrConflict if the key made a batch before.
func (tx *Tx) SealBatch(ctx context.Context, b payment.Batch, duplicate json.RawMessage) (payment.Batch, error) {
	metadata, err := json.Marshal(b.Metadata)
	if err != nil {
		return payment.Batch{}, fmt.Errorf("seal %s: %w", b.ID, err)
	}
	if err := tx.MarkDuplicateLines(ctx, db.MarkDuplicateLinesParams{BatchID: b.ID, Error: duplicate}); err != nil {
		return payment.Batch{}, fmt.Errorf("seal %s: %w", b.ID, err)
	}
	return batchOf(tx.Queries.SealBatch(ctx, db.SealBatchParams{ID: b.ID, Reference: b.Reference, Metadata: metadata}))
}

// MerchantBatch reads a batch of the merchant in the mode. A batch of anybody
// else, or one that is validating, is ErrNotFound.
func (s *Store) MerchantBatch(ctx context.Context, merchantID string, mode payment.Mode, id string) (payment.Batch, error) {
	return batchOf(s.queries.GetMerchantBatch(ctx, db.GetMerchantBatchParams{ID: id, MerchantID: merchantID, Mode: string(mode)}))
}

// ListBatches returns at most limit batches of the merchant in the mode, newest
// first, that come after the cursor (nil: from the newest on); no statuses are
// all.
func (s *Store) ListBatches(ctx context.Context, merchantID string, mode payment.Mode, statuses []string, after *Cursor, limit int) (batches []payment.Batch, more bool, err error) {
	p := db.ListBatchesParams{MerchantID: merchantID, Mode: string(mode), Statuses: statuses, MaxRows: int32(limit) + 1}
	p.AfterCreatedAt, p.AfterID = after.place()
	rows, err := s.queries.ListBatches(ctx, p)
	if err != nil {
		return nil, false, fmt.Errorf("list batches: %w", err)
	}
	rows, more = Page(rows, limit)
	batches, err = batchesOf(rows)
	return batches, more, err
}

// LockBatch reads a batch and keeps every other writer of it out until the
// transaction ends. ErrNotFound if there is none.
func (tx *Tx) LockBatch(ctx context.Context, id string) (payment.Batch, error) {
	return batchOf(tx.Queries.LockBatch(ctx, id))
}

// StartBatch stores that a ready batch is processing, with the hold of its
// amount, and that its workflow is to be started.
func (tx *Tx) StartBatch(ctx context.Context, id, holdID string, at time.Time) (payment.Batch, error) {
	return batchOf(tx.Queries.StartBatch(ctx, db.StartBatchParams{ID: id, HoldID: &holdID, At: &at}))
}

// ShowBatch renders a batch with its progress.
func (s *Store) ShowBatch(ctx context.Context, b payment.Batch) (payment.BatchResource, error) {
	return showBatch(ctx, s.queries, b)
}

// ShowBatch renders a batch with its progress as this transaction sees it.
func (tx *Tx) ShowBatch(ctx context.Context, b payment.Batch) (payment.BatchResource, error) {
	return showBatch(ctx, tx.Queries, b)
}

func showBatch(ctx context.Context, q *db.Queries, b payment.Batch) (payment.BatchResource, error) {
	counts, err := q.BatchProgress(ctx, b.ID)
	if err != nil {
		return payment.BatchResource{}, fmt.Errorf("progress of %s: %w", b.ID, err)
	}
	var held payment.Amount
	out := b.Resource()
	for _, c := range counts {
		status := payment.Status(c.Status)
		out.Progress = append(out.Progress, payment.BatchCount{Status: status, Lines: c.Lines, Amount: c.Amount.Decimal(b.Asset.Decimals)})
		if b.Status == payment.BatchProcessing && status == payment.LinePending {
			held = c.Amount
		}
	}
	out.Held = held.Decimal(b.Asset.Decimals)
	return out, nil
}

// EndBatch stores that a locked batch is completed or canceled.
func (tx *Tx) EndBatch(ctx context.Context, id string, status payment.BatchStatus) (payment.Batch, error) {
	return batchOf(tx.Queries.EndBatch(ctx, db.EndBatchParams{ID: id, Status: string(status)}))
}

// HearOfBatch reads a batch and notes that its workflow runs: DueBatches returns
// it only when this was not called for so long.
func (s *Store) HearOfBatch(ctx context.Context, id string, quiet time.Duration) (payment.Batch, error) {
	return batchOf(s.queries.HearOfBatch(ctx, db.HearOfBatchParams{ID: id, QuietSeconds: quiet.Seconds()}))
}

// DueBatches takes at most limit batches that are processing and whose workflow
// was not heard of in time, for the caller to start it, and pushes their next
// turn back by 10 s. Concurrent callers take different batches.
func (s *Store) DueBatches(ctx context.Context, limit int) ([]payment.Batch, error) {
	rows, err := s.queries.TakeDueBatches(ctx, int32(limit))
	if err != nil {
		return nil, fmt.Errorf("due batches: %w", err)
	}
	return batchesOf(rows)
}

// LinesAfter returns at most limit lines of a batch that come after a line (0:
// from the first on), in their order.
func (s *Store) LinesAfter(ctx context.Context, batchID string, line, limit int) ([]payment.BatchLine, error) {
	rows, err := s.queries.BatchLinesAfter(ctx, db.BatchLinesAfterParams{BatchID: batchID, AfterLine: int32(line), MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("lines of %s: %w", batchID, err)
	}
	var lines []payment.BatchLine
	for _, r := range rows {
		l := payment.BatchLine{Line: int(r.Line), Amount: r.Amount, Allowed: chainsOf(r.AllowedChains), Priority: payment.Priority(r.Priority), MaxFee: r.MaxFee,
			Deadline: r.Deadline, Reference: r.Reference, Errors: r.Errors}
		if err := json.Unmarshal(r.Destinations, &l.Destinations); err != nil {
			return nil, fmt.Errorf("batch %s line %d: destinations: %w", batchID, l.Line, err)
		}
		if err := json.Unmarshal(r.Metadata, &l.Metadata); err != nil {
			return nil, fmt.Errorf("batch %s line %d: metadata: %w", batchID, l.Line, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// LastLine is the last line of a batch that has a payment, 0 if none has.
func (s *Store) LastLine(ctx context.Context, batchID string) (int, error) {
	return lastLine(ctx, s.queries, batchID)
}

// LastLine is the same as this transaction sees it.
func (tx *Tx) LastLine(ctx context.Context, batchID string) (int, error) {
	return lastLine(ctx, tx.Queries, batchID)
}

func lastLine(ctx context.Context, q *db.Queries, batchID string) (int, error) {
	n, err := q.LastBatchLine(ctx, batchID)
	if err != nil {
		return 0, fmt.Errorf("last line of %s: %w", batchID, err)
	}
	return int(n), nil
}

// OpenInBatch counts the batch's payments that have not ended.
func (s *Store) OpenInBatch(ctx context.Context, batchID string) (int, error) {
	n, err := s.queries.CountOpenInBatch(ctx, batchID)
	if err != nil {
		return 0, fmt.Errorf("open payments of %s: %w", batchID, err)
	}
	return int(n), nil
}

func batchOf(r db.Batch, err error) (payment.Batch, error) {
	if err != nil {
		return payment.Batch{}, fmt.Errorf("batch: %w", err)
	}
	asset, ok := payment.AssetByCode(r.Asset)
	if !ok {
		return payment.Batch{}, fmt.Errorf("batch %s: unknown asset %q", r.ID, r.Asset)
	}
	b := payment.Batch{ID: r.ID, MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode), Status: payment.BatchStatus(r.Status),
		Reference: r.Reference, Asset: asset, Lines: int(r.Lines), InvalidLines: int(r.InvalidLines), Amount: r.Amount,
		RequestID: r.RequestID, CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, EndedAt: r.EndedAt}
	if r.HoldID != nil {
		b.HoldID = *r.HoldID
	}
	if err := json.Unmarshal(r.Metadata, &b.Metadata); err != nil {
		return payment.Batch{}, fmt.Errorf("batch %s: metadata: %w", r.ID, err)
	}
	return b, nil
}

func batchesOf(rows []db.Batch) ([]payment.Batch, error) {
	batches := make([]payment.Batch, len(rows))
	for n, r := range rows {
		b, err := batchOf(r, nil)
		if err != nil {
			return nil, err
		}
		batches[n] = b
	}
	return batches, nil
}

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/telemetry"
)

const (
	batchesPath  = "/v1/batches"
	batchRoute   = http.MethodPost + " " + batchesPath
	batchesTag   = "Batches"
	batchesTable = "batches" // of cursors
)

func (s *Server) registerBatches() {
	register(s.api, operation{
		method: http.MethodPost, path: batchesPath, id: "create-batch", tag: batchesTag, scope: IntentsWrite, status: http.StatusCreated,
		summary: "Upload many payments in one file",
		description: "JSON, or CSV with a header row, of up to 100,000 lines and 64 MB, read as it arrives. Every line is checked, and the batch is `ready`, or `invalid` if any line is not valid; " +
			"its errors can be downloaded. Nothing is held or paid before it is started. An upload that breaks off leaves nothing behind.",
		errors: []int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity},
	}, s.createBatch)
	answers[Batch](s.api, batchesPath, "201")
	s.api.OpenAPI().Paths[batchesPath].Post.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		jsonType: {Schema: s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[BatchRequest](), true, "")},
		csvType:  {Schema: &huma.Schema{Type: huma.TypeString}, Example: csvExample},
	}}
	register(s.api, operation{
		method: http.MethodGet, path: batchesPath, id: "list-batches", tag: batchesTag, scope: IntentsRead,
		summary: "List batches, newest first", errors: []int{http.StatusBadRequest},
	}, s.listBatches)
	register(s.api, operation{
		method: http.MethodGet, path: batchesPath + "/{id}", id: "get-batch", tag: batchesTag, scope: IntentsRead,
		summary: "Get a batch with its progress", errors: []int{http.StatusNotFound},
	}, s.getBatch)
	register(s.api, operation{
		method: http.MethodPost, path: batchesPath + "/{id}/start", id: "start-batch", tag: batchesTag, scope: IntentsWrite,
		summary: "Pay a batch",
		description: "Holds the batch's amount, or refuses with `insufficient_funds`. From then on every line becomes a payment exactly once, " +
			"in the order of lines. Starting twice is harmless.",
		errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
	}, s.startBatch)
	answers[ChangedBatch](s.api, batchesPath+"/{id}/start", "200")
	register(s.api, operation{
		method: http.MethodPost, path: batchesPath + "/{id}/cancel", id: "cancel-batch", tag: batchesTag, scope: IntentsWrite,
		summary:     "Stop a batch",
		description: "No further line becomes a payment, and what is held for such lines is released. Payments under way go on. Canceling twice is harmless.",
		errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, s.cancelBatch)
	answers[ChangedBatch](s.api, batchesPath+"/{id}/cancel", "200")
	s.registerBatchLines()
}

// Batch is a batch as the API shows it.
type Batch struct {
	ID           string              `json:"id" example:"batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
	Object       string              `json:"object" enum:"batch"`
	Mode         payment.Mode        `json:"mode" enum:"test,live"`
	Status       payment.BatchStatus `json:"status" enum:"ready,invalid,processing,completed,canceled"`
	Reference    string              `json:"reference,omitempty"`
	Metadata     map[string]string   `json:"metadata,omitempty"`
	Asset        string              `json:"asset" example:"USDC"`
	Lines        int                 `json:"lines"`
	InvalidLines int                 `json:"invalid_lines"`
	Amount       string              `json:"amount" doc:"Of all valid lines: decimal string in units of the asset" example:"1250.000000"`
	Held         string              `json:"held" doc:"Part of the amount that is held for lines that are no payments yet; payments have holds of their own" example:"1000.000000"`
	Progress     []BatchCount        `json:"progress" doc:"Lines by status"`
	CreatedAt    time.Time           `json:"created_at"`
	StartedAt    *time.Time          `json:"started_at,omitempty"`
	EndedAt      *time.Time          `json:"ended_at,omitempty"`
}

// BatchCount counts the lines of a batch in one status.
type BatchCount struct {
	Status payment.Status `json:"status" doc:"invalid, pending (no payment yet), or the status of the line's payment" enum:"invalid,pending,created,routed,submitted,confirming,manual_review,settled,failed,canceled,expired,rejected"`
	Lines  int64          `json:"lines"`
	Amount string         `json:"amount" example:"250.000000"`
}

// ChangedBatch is a batch with the balance that the change left behind.
type ChangedBatch struct {
	Batch
	BalancesAfter Balance `json:"balances_after"`
}

// showBatch renders a batch with its progress, as q sees it.
func showBatch(ctx context.Context, q *db.Queries, b payment.Batch) (Batch, error) {
	counts, err := q.BatchProgress(ctx, b.ID)
	if err != nil {
		return Batch{}, fmt.Errorf("progress of %s: %w", b.ID, err)
	}
	decimals := b.Asset.Decimals
	var held payment.Amount
	out := Batch{ID: b.ID, Object: "batch", Mode: b.Mode, Status: b.Status, Reference: b.Reference, Metadata: b.Metadata, Asset: b.Asset.Code,
		Lines: b.Lines, InvalidLines: b.InvalidLines, Amount: b.Amount.Decimal(decimals), Progress: []BatchCount{},
		CreatedAt: b.CreatedAt.UTC(), StartedAt: utc(b.StartedAt), EndedAt: utc(b.EndedAt)}
	for _, c := range counts {
		out.Progress = append(out.Progress, BatchCount{Status: payment.Status(c.Status), Lines: c.Lines, Amount: c.Amount.Decimal(decimals)})
		if b.Status == payment.BatchProcessing && payment.Status(c.Status) == payment.LinePending {
			held = c.Amount
		}
	}
	out.Held = held.Decimal(decimals)
	return out, nil
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// BatchPath names a batch.
type BatchPath struct {
	ID string `path:"id" maxLength:"64" example:"batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"`
}

var batchID = regexp.MustCompile(`^batch_[0-9a-f]{32}$`)

// myBatch reads a batch of the caller.
func (s *Server) myBatch(ctx context.Context, id string) (payment.Batch, error) {
	if !batchID.MatchString(id) {
		return payment.Batch{}, fail(NotFound, "")
	}
	telemetry.Add(ctx, zap.String("batch_id", id))
	who := caller(ctx)
	return s.store.MerchantBatch(ctx, who.ID, who.Key.Mode, id)
}

type batchOutput struct{ Body Batch }

func (s *Server) getBatch(ctx context.Context, in *BatchPath) (*batchOutput, error) {
	b, err := s.myBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	shown, err := showBatch(ctx, s.store.Queries(), b)
	return &batchOutput{shown}, err
}

// BatchFilters are what a cursor of the list is bound to.
type BatchFilters struct {
	Status []string `query:"status" maxItems:"5" doc:"One or several, separated by commas" enum:"ready,invalid,processing,completed,canceled" json:"s"`
}

type listBatchesInput struct {
	BatchFilters
	PageQuery
}

// BatchList is a page of batches.
type BatchList struct {
	Page
	Data []Batch `json:"data"`
}

type listBatchesOutput struct{ Body BatchList }

func (s *Server) listBatches(ctx context.Context, in *listBatchesInput) (*listBatchesOutput, error) {
	who := caller(ctx)
	l := list[store.Cursor]{batchesTable, in.BatchFilters}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	batches, more, err := s.store.ListBatches(ctx, who.ID, who.Key.Mode, in.Status, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := BatchList{Data: make([]Batch, len(batches))}
	out.Page = pageOf(l, batches, more, func(b payment.Batch) store.Cursor { return store.Cursor{CreatedAt: b.CreatedAt, ID: b.ID} })
	for n, b := range batches {
		if out.Data[n], err = showBatch(ctx, s.store.Queries(), b); err != nil {
			return nil, err
		}
	}
	return &listBatchesOutput{out}, nil
}

type changedBatchOutput struct{ Body ChangedBatch }

// startBatch holds the amount and leaves the start of the workflow to the relay's
// sweep, which finds the batch in the database within moments.
func (s *Server) startBatch(ctx context.Context, in *BatchPath) (*changedBatchOutput, error) {
	return s.changeBatch(ctx, in.ID, "batch.start", func(ctx context.Context, tx *store.Tx, b payment.Batch) (payment.Batch, error) {
		switch b.Status {
		case payment.BatchProcessing, payment.BatchCompleted:
			return b, nil
		case payment.BatchReady:
		default:
			return b, fail(NotStartable, fmt.Sprintf("The batch is %s. %s", b.Status, codeByName[NotStartable].Remedy))
		}
		held, err := ledger.ReserveBatch(ctx, tx, b)
		if err != nil {
			return b, err
		}
		return tx.StartBatch(ctx, b.ID, held.HoldID, held.At)
	})
}

func (s *Server) cancelBatch(ctx context.Context, in *BatchPath) (*changedBatchOutput, error) {
	return s.changeBatch(ctx, in.ID, "batch.cancel", func(ctx context.Context, tx *store.Tx, b payment.Batch) (payment.Batch, error) {
		switch {
		case b.Status == payment.BatchCanceled:
			return b, nil
		case !b.Status.CanBecome(payment.BatchCanceled):
			return b, fail(NotCancelable, fmt.Sprintf("The batch is %s: there is nothing to stop.", b.Status))
		case b.HoldID != "":
			if err := ledger.VoidBatch(ctx, tx, b); err != nil {
				return b, err
			}
		}
		return tx.EndBatch(ctx, b.ID, payment.BatchCanceled)
	})
}

// changeBatch changes a batch of the caller under its lock, with an entry in the
// audit log if it did change.
func (s *Server) changeBatch(ctx context.Context, id, action string, change func(context.Context, *store.Tx, payment.Batch) (payment.Batch, error)) (*changedBatchOutput, error) {
	if _, err := s.myBatch(ctx, id); err != nil {
		return nil, err
	}
	var out changedBatchOutput
	err := s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		before, err := tx.LockBatch(ctx, id)
		if err != nil {
			return err
		}
		after, err := change(ctx, tx, before)
		if err != nil {
			return err
		}
		if after.Status != before.Status {
			if err := tx.Audit(ctx, store.AuditEntry{Actor: caller(ctx).actor(), Action: action, ObjectID: id, RequestID: telemetry.RequestID(ctx)}); err != nil {
				return err
			}
		}
		shown, err := showBatch(ctx, tx.Queries, after)
		balance, berr := ledger.BalanceIn(ctx, tx.Queries, ledger.HolderOfBatch(after), after.Asset)
		out.Body = ChangedBatch{shown, balanceOf(after.Asset, balance.Available, balance.Held)}
		return errors.Join(err, berr)
	})
	return &out, err
}

package api

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"regexp"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
	"github.com/settlehq/settle/webhooks"
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
	answers[payment.BatchResource](s.api, batchesPath, "201")
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

// ChangedBatch is a batch with the balance that the change left behind.
type ChangedBatch struct {
	payment.BatchResource
	BalancesAfter Balance `json:"balances_after"`
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

type batchOutput struct{ Body payment.BatchResource }

func (s *Server) getBatch(ctx context.Context, in *BatchPath) (*batchOutput, error) {
	b, err := s.myBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	shown, err := s.store.ShowBatch(ctx, b)
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
	Data []payment.BatchResource `json:"data"`
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
	out := BatchList{Data: make([]payment.BatchResource, len(batches))}
	out.Page = pageOf(l, batches, more, func(b payment.Batch) store.Cursor { return store.Cursor{CreatedAt: b.CreatedAt, ID: b.ID} })
	for n, b := range batches {
		if out.Data[n], err = s.store.ShowBatch(ctx, b); err != nil {
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
// audit log if it did change, and announces its end.
func (s *Server) changeBatch(ctx context.Context, id, action string, change func(context.Context, *store.Tx, payment.Batch) (payment.Batch, error)) (*changedBatchOutput, error) {
	if _, err := s.myBatch(ctx, id); err != nil {
		return nil, err
	}
	var out changedBatchOutput
	var announced []webhooks.DeliveryRef
	err := s.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		announced = nil
		before, err := tx.LockBatch(ctx, id)
		if err != nil {
			return err
		}
		after, err := change(ctx, tx, before)
		if err != nil {
			return err
		}
		shown, err := tx.ShowBatch(ctx, after)
		if err != nil {
			return err
		}
		if after.Status != before.Status {
			if err := tx.Audit(ctx, store.AuditEntry{Actor: caller(ctx).actor(), Action: action, ObjectID: id, RequestID: telemetry.RequestID(ctx)}); err != nil {
				return err
			}
			if after.EndedAt != nil {
				if announced, err = webhooks.AnnounceBatch(ctx, tx, after, shown); err != nil {
					return err
				}
			}
		}
		balance, err := ledger.BalanceIn(ctx, tx.Queries, ledger.HolderOfBatch(after), after.Asset)
		out.Body = ChangedBatch{shown, balanceOf(after.Asset, balance.Available, balance.Held)}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.drive(ctx, announced...)
	return &out, nil
}

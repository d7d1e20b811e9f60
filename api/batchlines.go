package api

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.uber.org/zap"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/telemetry"
)

// Limits of a download, which is written page by page.
const (
	downloadPage  = 1000
	downloadWrite = 30 * time.Second // that a client may take for a page
)

func (s *Server) registerBatchLines() {
	path := batchesPath + "/{id}"
	register(s.api, operation{
		method: http.MethodGet, path: path + "/lines", id: "list-batch-lines", tag: batchesTag, scope: IntentsRead,
		summary: "List the lines of a batch with what became of them", errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.batchLines)
	register(s.api, operation{
		method: http.MethodGet, path: path + "/errors", id: "list-batch-errors", tag: batchesTag, scope: IntentsRead,
		summary: "List the invalid lines of a batch", errors: []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.batchErrors)
	register(s.api, operation{
		method: http.MethodGet, path: path + "/errors.csv", id: "download-batch-errors", tag: batchesTag, scope: IntentsRead,
		summary: "Download what is wrong with the lines of a batch", errors: []int{http.StatusNotFound},
	}, s.batchErrorsCSV)
	register(s.api, operation{
		method: http.MethodGet, path: path + "/results.csv", id: "download-batch-results", tag: batchesTag, scope: IntentsRead,
		summary: "Download what became of the lines of a batch", errors: []int{http.StatusNotFound},
	}, s.batchResultsCSV)
	for _, name := range []string{"/errors.csv", "/results.csv"} {
		s.api.OpenAPI().Paths[path+name].Get.Responses["200"] = &huma.Response{Description: "The file",
			Content: map[string]*huma.MediaType{csvType: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
}

// LineFilters are what a cursor of the lines is bound to.
type LineFilters struct {
	Status []string `query:"status" maxItems:"12" doc:"One or several, separated by commas" enum:"invalid,pending,created,routed,submitted,confirming,manual_review,settled,failed,canceled,expired,rejected" json:"s"`
}

type batchLinesInput struct {
	BatchPath
	LineFilters
	PageQuery
}

// BatchLine is a line with what became of it.
type BatchLine struct {
	Line      int              `json:"line" doc:"From 1; in CSV the first one under the header"`
	Status    payment.Status   `json:"status" enum:"invalid,pending,created,routed,submitted,confirming,manual_review,settled,failed,canceled,expired,rejected"`
	Reference string           `json:"reference,omitempty"`
	Amount    string           `json:"amount" example:"12.500000"`
	IntentID  string           `json:"payment_intent,omitempty" doc:"The payment that the line became"`
	Chain     string           `json:"chain,omitempty"`
	Address   string           `json:"address,omitempty"`
	TxHash    string           `json:"transaction_hash,omitempty"`
	Failure   *payment.Failure `json:"failure,omitempty"`
}

// BatchLineList is a page of lines.
type BatchLineList struct {
	Page
	Data []BatchLine `json:"data"`
}

type batchLinesOutput struct{ Body BatchLineList }

// lineCursor binds a place to its batch as well as to the filters.
type lineCursor struct {
	Batch   string `json:"b"`
	Filters any    `json:"f"`
}

func (s *Server) batchLines(ctx context.Context, in *batchLinesInput) (*batchLinesOutput, error) {
	b, err := s.myBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	l := list[int32]{"batch_lines", lineCursor{in.ID, in.LineFilters}}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	p := db.BatchLineStatesParams{BatchID: b.ID, Statuses: in.Status, MaxRows: int32(in.Limit) + 1}
	if after != nil {
		p.AfterLine = *after
	}
	rows, err := s.store.Queries().BatchLineStates(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("lines of %s: %w", b.ID, err)
	}
	rows, more := store.Page(rows, in.Limit)
	out := BatchLineList{Data: make([]BatchLine, len(rows))}
	out.Page = pageOf(l, rows, more, func(r db.BatchLineState) int32 { return r.Line })
	for n, r := range rows {
		out.Data[n] = BatchLine{Line: int(r.Line), Status: payment.Status(r.Status), Reference: r.Reference, Amount: r.Amount.Decimal(b.Asset.Decimals),
			IntentID: r.IntentID, Chain: r.Chain, Address: r.Address, TxHash: r.TxHash}
		if r.FailureCode != "" {
			out.Data[n].Failure = &payment.Failure{Code: r.FailureCode, Message: r.FailureMessage}
		}
	}
	return &batchLinesOutput{out}, nil
}

type batchErrorsInput struct {
	BatchPath
	PageQuery
}

// InvalidLine is what is wrong with a line.
type InvalidLine struct {
	Line      int          `json:"line"`
	Reference string       `json:"reference,omitempty"`
	Errors    []FieldError `json:"errors" doc:"pointer is relative to the line; in CSV it is column: and the column's name"`
}

// InvalidLineList is a page of invalid lines.
type InvalidLineList struct {
	Page
	Data []InvalidLine `json:"data"`
}

type batchErrorsOutput struct{ Body InvalidLineList }

func (s *Server) batchErrors(ctx context.Context, in *batchErrorsInput) (*batchErrorsOutput, error) {
	b, err := s.myBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	l := list[int]{"batch_errors", lineCursor{Batch: in.ID}}
	after, err := l.place(in.Cursor)
	if err != nil {
		return nil, err
	}
	from := 0
	if after != nil {
		from = *after
	}
	lines, err := s.invalidLines(ctx, b.ID, from, in.Limit+1)
	if err != nil {
		return nil, err
	}
	lines, more := store.Page(lines, in.Limit)
	page := pageOf(l, lines, more, func(i InvalidLine) int { return i.Line })
	return &batchErrorsOutput{InvalidLineList{page, lines}}, nil
}

// invalidLines reads a page of invalid lines behind a line.
func (s *Server) invalidLines(ctx context.Context, batchID string, after, limit int) ([]InvalidLine, error) {
	rows, err := s.store.Queries().BatchErrors(ctx, db.BatchErrorsParams{BatchID: batchID, AfterLine: int32(after), MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("errors of %s: %w", batchID, err)
	}
	lines := make([]InvalidLine, len(rows))
	for n, r := range rows {
		lines[n] = InvalidLine{Line: int(r.Line), Reference: r.Reference}
		if err := json.Unmarshal(r.Errors, &lines[n].Errors); err != nil {
			return nil, fmt.Errorf("errors of %s line %d: %w", batchID, r.Line, err)
		}
	}
	return lines, nil
}

func (s *Server) batchErrorsCSV(ctx context.Context, in *BatchPath) (*streamOutput, error) {
	b, err := s.myBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.download([]string{"line", "reference", "field", "code", "detail"}, func(ctx context.Context, after int) (records [][]string, last int, err error) {
		lines, err := s.invalidLines(ctx, b.ID, after, downloadPage)
		for _, l := range lines {
			for _, e := range l.Errors {
				records = append(records, []string{strconv.Itoa(l.Line), l.Reference, e.Pointer, string(e.Code), e.Detail})
			}
			last = l.Line
		}
		return records, last, err
	}), nil
}

func (s *Server) batchResultsCSV(ctx context.Context, in *BatchPath) (*streamOutput, error) {
	b, err := s.myBatch(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	header := []string{"line", "reference", "payment_intent", "status", "amount", "asset", "chain", "address", "transaction_hash",
		"fee", "fee_asset", "failure_code"}
	return s.download(header, func(ctx context.Context, after int) (records [][]string, last int, err error) {
		rows, err := s.store.Queries().BatchResults(ctx, db.BatchResultsParams{BatchID: b.ID, AfterLine: int32(after), MaxRows: downloadPage})
		for _, row := range rows {
			r, fee, feeAsset := row.BatchLineState, "", ""
			if payment.Status(r.Status) == payment.Settled {
				chain := s.chains[r.Chain]
				fee, feeAsset = row.Fee.Decimal(chain.NativeDecimals), chain.NativeAsset
			}
			records = append(records, []string{strconv.Itoa(int(r.Line)), r.Reference, r.IntentID, r.Status, r.Amount.Decimal(b.Asset.Decimals), b.Asset.Code,
				r.Chain, r.Address, r.TxHash, fee, feeAsset, r.FailureCode})
			last = int(r.Line)
		}
		return records, last, err
	}), nil
}

// download answers with a CSV file that is read and written page by page; a page
// begins behind a line and says with which it ends. A file that cannot be read to its
// end is cut off, which the client sees.
func (s *Server) download(header []string, page func(ctx context.Context, after int) (records [][]string, last int, err error)) *streamOutput {
	return &streamOutput{Body: func(hc huma.Context) {
		c := ginOf(hc)
		ctx := lasting(hc.Context())
		control := http.NewResponseController(c.Writer)
		c.Header("Content-Type", csvType+"; charset=utf-8")
		out := csv.NewWriter(c.Writer)
		err := out.Write(header)
		for after, more := 0, true; more && err == nil; {
			var records [][]string
			if records, after, err = page(ctx, after); err == nil {
				_ = control.SetWriteDeadline(time.Now().Add(downloadWrite)) // where there is none, none needs to be moved
				err = out.WriteAll(records)
			}
			more = len(records) > 0
		}
		out.Flush()
		if err != nil {
			telemetry.Add(ctx, zap.Error(err))
			panic(http.ErrAbortHandler)
		}
	}}
}

package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// Bounds of FillBatch.
const (
	batchWindow = 500              // default of Steps.BatchWindow
	batchChunk  = 100              // lines that become payments in one transaction
	batchAsks   = 16               // destinations checked, or workflows started, at once
	batchTime   = 10 * time.Second // after which a call ends, to be repeated
	batchQuiet  = 3 * time.Minute  // without a call of FillBatch; then the batch's workflow is started again
)

// BatchRef names the batch that a step is about.
type BatchRef struct {
	BatchID string `json:"batch_id"`
}

// BatchState is how far a batch is.
type BatchState struct {
	Status   payment.BatchStatus `json:"status"`
	Payments int                 `json:"payments"` // lines that are payments
	Open     int                 `json:"open"`     // payments that have not ended
}

// FilledBatch is what FillBatch did.
type FilledBatch struct {
	BatchState
	Announced []DeliveryRef `json:"announced,omitempty"` // of the event that the batch has ended
}

// FillBatch turns the next lines of a batch into payments, as long as fewer than
// BatchWindow of its payments are open and fewer than MaxBacklog of everybody's
// wait for their first step. It ends the batch when every line is a payment
// and every payment has ended. Runs at the same time do not disturb each other: one
// of them makes the payments.
func (s *Steps) FillBatch(ctx context.Context, in BatchRef) (state FilledBatch, err error) {
	b, err := s.Store.HearOfBatch(ctx, in.BatchID, batchQuiet)
	if err != nil {
		return state, err
	}
	state.Status = b.Status
	for began := time.Now(); time.Since(began) < batchTime; {
		// The last line is read first: if another run makes payments of the next ones
		// before the room is counted, this one makes none.
		if state.Payments, err = s.Store.LastLine(ctx, b.ID); err != nil {
			return state, err
		}
		room, err := s.batchRoom(ctx, b.ID, &state.BatchState)
		if err != nil || state.Status != payment.BatchProcessing || room == 0 && state.Open > 0 {
			return state, err
		}
		lines, err := s.Store.LinesAfter(ctx, b.ID, state.Payments, max(room, 1))
		switch {
		case err != nil:
			return state, err
		case len(lines) == 0 && state.Open == 0:
			state.Status, state.Announced, err = s.completeBatch(ctx, b)
			return state, err
		case len(lines) == 0 || room == 0:
			return state, nil
		}
		if state.Status, err = s.makePayments(ctx, b, lines); err != nil {
			return state, err
		}
	}
	return state, nil
}

// batchRoom is how many lines may become payments now. It counts the open ones.
func (s *Steps) batchRoom(ctx context.Context, batchID string, state *BatchState) (room int, err error) {
	if state.Open, err = s.Store.OpenInBatch(ctx, batchID); err != nil {
		return 0, err
	}
	room = min(cmp.Or(s.BatchWindow, batchWindow)-state.Open, batchChunk)
	if s.MaxBacklog > 0 {
		waiting, err := s.Store.Backlog(ctx, s.MaxBacklog)
		if err != nil {
			return 0, err
		}
		room = min(room, s.MaxBacklog-waiting)
	}
	return max(room, 0), nil
}

// makePayments turns lines into payments, in one transaction, and starts their
// workflows; those that it cannot start are left to the sweep of the API. A line
// whose payee the chain refuses becomes a payment that has failed.
func (s *Steps) makePayments(ctx context.Context, b payment.Batch, lines []payment.BatchLine) (payment.BatchStatus, error) {
	refusals, err := s.askChains(ctx, lines)
	if err != nil {
		return b.Status, fmt.Errorf("batch %s: %w", b.ID, err)
	}
	var made []payment.Intent
	status := b.Status
	err = s.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		made = nil
		locked, err := tx.LockBatch(ctx, b.ID)
		if err != nil {
			return err
		}
		last, err := tx.LastLine(ctx, b.ID)
		if status = locked.Status; err != nil || status != payment.BatchProcessing || last+1 != lines[0].Line {
			return err // ended meanwhile, or another run was faster
		}
		made, err = insertPayments(ctx, tx, locked, lines, refusals)
		return err
	})
	if err != nil {
		return b.Status, fmt.Errorf("payments of batch %s: %w", b.ID, err)
	}
	s.startAll(ctx, made)
	s.Log.Info("batch", zap.String("batch", b.ID), zap.Int("from_line", lines[0].Line), zap.Int("payments", len(made)))
	return status, nil
}

// askChains checks the destinations of lines and returns the definite noes. An
// error means that a chain does not know.
func (s *Steps) askChains(ctx context.Context, lines []payment.BatchLine) (refusals []*payment.AddressError, err error) {
	refusals = make([]*payment.AddressError, len(lines))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(batchAsks)
	for n, l := range lines {
		group.Go(func() error {
			for _, d := range l.Destinations {
				desk, err := s.desk(d.Chain)
				if err != nil {
					return err
				}
				if _, err := desk.Chain.CheckDestination(ctx, d.Address); errors.As(err, &refusals[n]) {
					return nil
				} else if err != nil {
					return fmt.Errorf("line %d: %w", l.Line, err)
				}
			}
			return nil
		})
	}
	return refusals, group.Wait()
}

func insertPayments(ctx context.Context, tx *store.Tx, b payment.Batch, lines []payment.BatchLine, refusals []*payment.AddressError) ([]payment.Intent, error) {
	made := make([]payment.Intent, len(lines))
	for n, l := range lines {
		made[n] = b.Intent(l)
		made[n].ID = store.NewID("pi")
	}
	holds, err := ledger.HoldParts(ctx, tx, b, made)
	if err != nil {
		return nil, err
	}
	for n, i := range made {
		i.HoldID = holds[i.ID]
		// No merchant can choose this key: theirs are ASCII.
		if made[n], err = tx.CreateIntent(ctx, i, fmt.Sprintf("%s§%d", b.ID, lines[n].Line)); err != nil {
			return nil, err
		}
		if no := refusals[n]; no != nil {
			failed, err := end(ctx, tx, made[n], payment.Failed, no.Code, no.Detail)
			if err != nil {
				return nil, err
			}
			if made[n], err = tx.SaveIntent(ctx, made[n], *failed); err != nil {
				return nil, err
			}
		}
	}
	return made, nil
}

func (s *Steps) startAll(ctx context.Context, intents []payment.Intent) {
	if s.StartPayment == nil {
		return
	}
	var group errgroup.Group
	group.SetLimit(batchAsks)
	for _, i := range intents {
		group.Go(func() error {
			if err := s.StartPayment(ctx, i); err != nil {
				s.Log.Warn("left to the sweep", zap.String("intent", i.ID), zap.Error(err))
			}
			return nil
		})
	}
	_ = group.Wait() // none of them fails
}

// completeBatch ends a batch that has no open payment and no line left, and
// announces it.
func (s *Steps) completeBatch(ctx context.Context, b payment.Batch) (status payment.BatchStatus, announced []DeliveryRef, err error) {
	err = s.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		announced = nil
		locked, err := tx.LockBatch(ctx, b.ID)
		if status = locked.Status; err != nil || status != payment.BatchProcessing {
			return err // canceled, or completed by another run
		}
		if err := ledger.VoidBatch(ctx, tx, locked); err != nil {
			return err
		}
		ended, err := tx.EndBatch(ctx, b.ID, payment.BatchCompleted)
		if err != nil {
			return err
		}
		status = ended.Status
		shown, err := tx.ShowBatch(ctx, ended)
		if err != nil {
			return err
		}
		announced, err = webhooks.AnnounceBatch(ctx, tx, ended, shown)
		return err
	})
	if err != nil {
		return b.Status, nil, fmt.Errorf("complete batch %s: %w", b.ID, err)
	}
	return status, announced, nil
}

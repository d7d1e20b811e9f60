package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/workflows"
)

// Bounds of a relay.
const (
	relayQueue   = 1024 // intents that wait; more are left to the sweep
	relayStarts  = 16   // starts and signals under way at once
	relayBatch   = 100  // intents of one sweep
	sweepEvery   = 2 * time.Second
	startTimeout = 5 * time.Second
)

// Relay starts the workflows of accepted intents: right away through a bounded
// queue in memory, and by sweeping the database for those that were missed
// because the process died, the queue was full, or Temporal was down. In the
// same way it tells workflows that their intent was canceled.
//
// It guarantees that every accepted intent is offered to Temporal until its
// workflow was seen running, and every canceled one until its workflow has seen
// that: the row that a sweep takes is removed by the workflow's next step, and
// by the relay only when there is no next step. Starting twice is harmless,
// since the workflow's id is the intent's, and so is telling twice.
type Relay struct {
	store     *store.Store
	temporal  client.Client
	taskQueue string
	log       *zap.Logger
	queue     chan payment.Intent
}

// NewRelay makes a relay; Run runs it. Any number of processes may run one.
func NewRelay(st *store.Store, temporal client.Client, taskQueue string, log *zap.Logger) *Relay {
	return &Relay{store: st, temporal: temporal, taskQueue: taskQueue, log: log, queue: make(chan payment.Intent, relayQueue)}
}

// Offer asks for the workflow of an intent to be started, or to be told that the
// intent was canceled, which is committed. It never waits; an intent that finds
// the queue full is left to the sweep.
func (r *Relay) Offer(intent payment.Intent) {
	select {
	case r.queue <- intent:
	default:
	}
}

// Run starts and tells workflows until ctx ends. What is still queued then is left to
// the sweep of another process, or of this one's next life.
func (r *Relay) Run(ctx context.Context) error {
	var group errgroup.Group
	for range relayStarts {
		group.Go(func() error {
			for {
				select {
				case <-ctx.Done():
					return nil
				case intent := <-r.queue:
					r.try(ctx, intent)
				}
			}
		})
	}
	group.Go(func() error {
		sweep(ctx, r.log, r.Sweep)
		return nil
	})
	group.Go(func() error {
		sweep(ctx, r.log, r.SweepBatches)
		return nil
	})
	return group.Wait()
}

// sweep calls round every sweepEvery until ctx ends, and logs how much it did or
// what stopped it.
func sweep(ctx context.Context, log *zap.Logger, round func(context.Context) (handed int, err error)) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if n, err := round(ctx); err != nil && ctx.Err() == nil {
				log.Warn("sweep", zap.Int("handed", n), zap.Error(err))
			} else if n > 0 {
				log.Info("sweep", zap.Int("handed", n))
			}
		}
	}
}

// Sweep takes the intents whose workflow has not been seen in time since they
// were accepted or canceled, and starts or tells it. It returns how many; an
// error says what stopped it, and what it left will be due again.
func (r *Relay) Sweep(ctx context.Context) (handed int, err error) {
	var due []payment.Intent
	err = r.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		due, err = tx.DueStarts(ctx, relayBatch)
		return err
	})
	if err != nil {
		return 0, err
	}
	failed := make([]error, len(due))
	var group errgroup.Group
	group.SetLimit(relayStarts)
	for i, intent := range due {
		group.Go(func() error {
			failed[i] = r.hand(ctx, intent)
			return nil
		})
	}
	_ = group.Wait()
	for _, f := range failed {
		if f == nil {
			handed++
		} else if err == nil {
			err = f
		}
	}
	return handed, err
}

// SweepBatches starts the workflows of batches that are processing and have none
// that was heard of, and deletes what broken uploads have left behind. It returns how
// many workflows it started.
func (r *Relay) SweepBatches(ctx context.Context) (handed int, err error) {
	if _, err := r.store.DropAbandonedUploads(ctx, 2*uploadTimeout); err != nil {
		return 0, err
	}
	due, err := r.store.DueBatches(ctx, relayBatch)
	for _, b := range due {
		if failed := r.startBatch(ctx, b); failed != nil {
			err = errors.Join(err, failed)
		} else {
			handed++
		}
	}
	return handed, err
}

// startBatch starts the workflow of a batch. One that runs is success.
func (r *Relay) startBatch(ctx context.Context, b payment.Batch) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, err := r.temporal.ExecuteWorkflow(ctx, workflows.BatchOptions(b, r.taskQueue), workflows.BatchWorkflow, workflows.BatchInput{BatchID: b.ID}); err != nil {
		return fmt.Errorf("start workflow of %s: %w", b.ID, err)
	}
	return nil
}

func (r *Relay) try(ctx context.Context, intent payment.Intent) {
	if err := r.hand(ctx, intent); err != nil && ctx.Err() == nil {
		r.log.Warn("left to the sweep", zap.String("intent_id", intent.ID), zap.String("request_id", intent.RequestID), zap.Error(err))
	}
}

// hand lets Temporal know of an intent.
func (r *Relay) hand(ctx context.Context, intent payment.Intent) error {
	if intent.Status.Terminal() {
		return r.tell(ctx, intent)
	}
	return r.start(ctx, intent)
}

// start starts the workflow of an intent. One that runs or ran is success.
func (r *Relay) start(ctx context.Context, intent payment.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	_, err := r.temporal.ExecuteWorkflow(ctx, workflows.StartOptions(intent, r.taskQueue), workflows.PaymentWorkflow,
		workflows.PaymentInput{IntentID: intent.ID})
	var already *serviceerror.WorkflowExecutionAlreadyStarted
	if err != nil && !errors.As(err, &already) {
		return fmt.Errorf("start workflow of %s: %w", intent.ID, err)
	}
	return nil
}

// tell wakes the workflow of an intent that its merchant canceled, or starts
// it, so that it delivers the webhooks and closes. If it closed already, there is
// nobody to tell, and the intent is taken off the list.
func (r *Relay) tell(ctx context.Context, intent payment.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	told := payment.Review{Action: payment.CancelAction, Actor: "merchant:" + intent.MerchantID, Reason: string(intent.Status)}
	if intent.Failure != nil {
		told.Reason = intent.Failure.Message
	}
	_, err := r.temporal.SignalWithStartWorkflow(ctx, intent.ID, workflows.ReviewSignal, told,
		workflows.StartOptions(intent, r.taskQueue), workflows.PaymentWorkflow, workflows.PaymentInput{IntentID: intent.ID})
	var closed *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &closed) {
		err = r.store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return tx.WorkflowSeen(ctx, intent.ID) })
	}
	if err != nil {
		return fmt.Errorf("tell workflow of %s: %w", intent.ID, err)
	}
	return nil
}

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
	relayQueue   = 1024 // accepted intents that wait for their start; more are left to the sweep
	relayStarts  = 16   // starts under way at once
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

// Offer asks for the workflow of a committed intent to be started. It never
// waits; an intent that finds the queue full is left to the sweep.
func (r *Relay) Offer(intent payment.Intent) {
	select {
	case r.queue <- intent:
	default:
	}
}

// Run starts workflows until ctx ends. What is still queued then is left to
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
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				if n, err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
					r.log.Warn("sweep", zap.Int("started", n), zap.Error(err))
				} else if n > 0 {
					r.log.Info("sweep", zap.Int("started", n))
				}
			}
		}
	})
	return group.Wait()
}

// Sweep takes the intents whose workflow has not been seen in time since they
// were accepted or canceled, and starts or tells it. It returns how many; an
// error says what stopped it, and what it left will be due again.
func (r *Relay) Sweep(ctx context.Context) (started int, err error) {
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
			if intent.Status.Terminal() {
				failed[i] = r.tell(ctx, intent)
			} else {
				failed[i] = r.start(ctx, intent)
			}
			return nil
		})
	}
	_ = group.Wait()
	for _, f := range failed {
		if f == nil {
			started++
		} else if err == nil {
			err = f
		}
	}
	return started, err
}

func (r *Relay) try(ctx context.Context, intent payment.Intent) {
	if err := r.start(ctx, intent); err != nil && ctx.Err() == nil {
		r.log.Warn("start postponed", zap.String("intent_id", intent.ID), zap.String("request_id", intent.RequestID), zap.Error(err))
	}
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

// tell wakes the workflow of an intent that ended behind its back, or starts
// it, so that it delivers the webhooks and closes. If it closed already, there is
// nobody to tell, and the intent is taken off the list.
func (r *Relay) tell(ctx context.Context, intent payment.Intent) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	reason := string(intent.Status)
	if intent.Failure != nil {
		reason = intent.Failure.Message
	}
	_, err := r.temporal.SignalWithStartWorkflow(ctx, intent.ID, workflows.ReviewSignal,
		payment.Review{Action: payment.CancelAction, Actor: "system", Reason: reason},
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

// tellCanceled wakes the workflow of a canceled intent, which may be waiting
// for a reviewer, right away. It is a hint: if it fails, the relay's sweep tells
// the workflow.
func (s *Server) tellCanceled(ctx context.Context, intentID, actor, reason string) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err := s.temporal.SignalWorkflow(ctx, intentID, "", workflows.ReviewSignal,
		payment.Review{Action: payment.CancelAction, Actor: actor, Reason: reason})
	var none *serviceerror.NotFound // not started yet, or ended
	if err != nil && !errors.As(err, &none) {
		s.log.Warn("cancellation not signalled", zap.String("intent_id", intentID), zap.Error(err))
	}
}

package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// Steps holds what the steps need. Its exported methods are the activities.
type Steps struct {
	Store     *store.Store
	Desks     map[payment.Chain]*Desk
	Deliverer *webhooks.Deliverer
	Log       *zap.Logger
	// AuthorizationValidity is how long a signed authorization stays payable,
	// where the chain lets us choose. It bounds how long a payment that the
	// network never takes blocks a new route.
	AuthorizationValidity time.Duration
	// SweepAfter is the age from which a live slot is looked after apart from its
	// workflow, and how often a workflow's wait looks at the database; 0: a minute.
	SweepAfter time.Duration
	// StalledAfter is how long a payment may be in no block, or its chain out of
	// sight, before a person is asked; 0: half an hour.
	StalledAfter time.Duration
	// StrandedAfter is how long an open payment may stay unchanged before its
	// workflow is started again, in case it is gone; 0: two minutes.
	StrandedAfter time.Duration
	// DegradedAfter is how long a chain may be out of sight before its payments
	// say so; 0: a minute.
	DegradedAfter time.Duration
	// BatchWindow is how many payments of a batch may be open at once; 0: 500.
	BatchWindow int
	// MaxBacklog is how many accepted payments may wait for the first step of
	// their workflow before batches make no further ones; 0: no bound.
	MaxBacklog int
	// StartPayment starts the workflow of a payment that a batch has made; nil: the
	// sweep of the API starts it.
	StartPayment func(context.Context, payment.Intent) error
	// Crash is called at each of CrashPoints, for tests that kill the process
	// there; nil otherwise.
	Crash func(point string)
}

// Bounds that Steps leaves to their defaults.
const (
	sweepAfter    = time.Minute
	stalledAfter  = 30 * time.Minute
	strandedAfter = 2 * time.Minute
	degradedAfter = time.Minute
)

func (s *Steps) sweepAfter() time.Duration    { return cmp.Or(s.SweepAfter, sweepAfter) }
func (s *Steps) stalledAfter() time.Duration  { return cmp.Or(s.StalledAfter, stalledAfter) }
func (s *Steps) strandedAfter() time.Duration { return cmp.Or(s.StrandedAfter, strandedAfter) }
func (s *Steps) degradedAfter() time.Duration { return cmp.Or(s.DegradedAfter, degradedAfter) }

// ChainRef names the chain that a step of the upkeep is about.
type ChainRef struct {
	Chain payment.Chain `json:"chain"`
}

// Ref names the intent that a step is about.
type Ref struct {
	IntentID string `json:"intent_id"`
}

// State is what a step leaves behind: enough for the workflow to go on. No
// field is omitted when empty, so that a stored result says all of it.
type State struct {
	Status       payment.Status       `json:"status"`
	Substatus    payment.Substatus    `json:"substatus"`
	ReviewReason payment.ReviewReason `json:"review_reason"`
	ReviewDetail string               `json:"review_detail"`
	Chain        payment.Chain        `json:"chain"`
	TxHash       string               `json:"tx_hash"`
	Sequence     int64                `json:"sequence"`
}

// Waiting reports whether a person must decide before the payment goes on.
func (s State) Waiting() bool { return s.Status == payment.ManualReview && s.ReviewReason != "" }

func stateOf(i payment.Intent) State {
	return State{Status: i.Status, Substatus: i.Substatus, ReviewReason: i.ReviewReason, ReviewDetail: i.ReviewDetail,
		Chain: i.Chain, TxHash: i.TxHash, Sequence: i.Version}
}

// change runs decide on the locked intent in one transaction and returns the
// state it leaves. decide returns the intent to save, or nil to leave it.
// A closed intent is left alone: decide is not called.
func (s *Steps) change(ctx context.Context, step, id string, decide func(context.Context, *store.Tx, payment.Intent) (*payment.Intent, error)) (State, error) {
	var out State
	began := time.Now()
	var before payment.Status
	err := s.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		intent, err := tx.LockIntent(ctx, id)
		if err != nil {
			return err
		}
		before, out = intent.Status, stateOf(intent)
		if err := seen(ctx, tx, intent); err != nil {
			return err
		}
		if intent.Status.Terminal() {
			return nil
		}
		next, err := decide(ctx, tx, intent)
		if err != nil || next == nil {
			return err
		}
		saved, err := tx.SaveIntent(ctx, intent, *next)
		out = stateOf(saved)
		return err
	})
	s.Log.Info("step", zap.String("step", step), zap.String("intent", id), zap.String("from", string(before)),
		zap.String("status", string(out.Status)), zap.String("substatus", string(out.Substatus)), zap.String("review", string(out.ReviewReason)),
		zap.String("chain", string(out.Chain)), zap.String("tx", out.TxHash), zap.Duration("took", time.Since(began)), zap.Error(err))
	if err != nil {
		return State{}, fmt.Errorf("%s %s: %w", step, id, err)
	}
	return out, nil
}

// seen takes the intent off the list of workflows to be started: one of its
// steps runs, so its workflow does. Steps behind the first find it gone.
func seen(ctx context.Context, tx *store.Tx, i payment.Intent) error {
	if i.Status == payment.Created || i.Status.Terminal() {
		return tx.WorkflowSeen(ctx, i.ID)
	}
	return nil
}

// end closes an intent that nothing can pay any more and gives its hold back.
func end(ctx context.Context, tx *store.Tx, i payment.Intent, status payment.Status, code, message string) (*payment.Intent, error) {
	if err := ledger.Void(ctx, tx, i); err != nil {
		return nil, err
	}
	i.Status, i.Substatus, i.ReviewReason, i.ReviewDetail = status, payment.NoSubstatus, "", ""
	i.Failure = &payment.Failure{Code: code, Message: message}
	return &i, nil
}

// review parks an intent until a person decides.
func review(i payment.Intent, reason payment.ReviewReason, detail string) *payment.Intent {
	i.Status, i.Substatus, i.ReviewReason, i.ReviewDetail = payment.ManualReview, payment.NoSubstatus, reason, detail
	return &i
}

// overdue reports whether the merchant's deadline has passed.
func overdue(i payment.Intent) bool { return i.Deadline != nil && time.Now().After(*i.Deadline) }

func (s *Steps) desk(c payment.Chain) (*Desk, error) {
	d, ok := s.Desks[c]
	if !ok {
		return nil, fmt.Errorf("chain %q is not configured in this worker", c)
	}
	return d, nil
}

// found turns "no row" into ok=false.
func found(err error) (ok bool, _ error) {
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

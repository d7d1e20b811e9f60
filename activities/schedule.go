package activities

import (
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

// RunRef names a due time of a schedule.
type RunRef struct {
	ScheduleID string    `json:"schedule_id"`
	DueAt      time.Time `json:"due_at"` // as it was struck, see payment.Timetable.Due
}

// RunResult is what PaySchedule did.
type RunResult struct {
	Status    payment.RunStatus `json:"status"`    // "" if the schedule was over, or was not due
	Payment   *OpenPayment      `json:"payment"`   // if one was created, now or before: its workflow is to be started
	Announced []DeliveryRef     `json:"announced"` // webhooks of a failure, due now
}

// PaySchedule creates the payment that is due at a time, unless that was done or
// the merchant wants otherwise: a run is created once, however often and by
// whomever this is called.
func (s *Steps) PaySchedule(ctx context.Context, ref RunRef) (RunResult, error) {
	out, err := s.paySchedule(ctx, ref, nil)
	var no *payment.Failure
	if errors.Is(err, store.ErrInsufficientFunds) { // which has undone the transaction
		no = &payment.Failure{Code: "insufficient_funds", Message: "The available balance did not cover the amount when the payment was due."}
		out, err = s.paySchedule(ctx, ref, no)
	}
	if err != nil {
		return RunResult{}, fmt.Errorf("pay %s due at %s: %w", ref.ScheduleID, ref.DueAt.Format(time.RFC3339), err)
	}
	s.Log.Info("step", zap.String("step", "pay schedule"), zap.String("schedule", ref.ScheduleID), zap.Time("due", ref.DueAt), zap.String("status", string(out.Status)))
	return out, nil
}

// paySchedule decides a due time; with a refusal it creates no payment, but fails
// the run if it would.
func (s *Steps) paySchedule(ctx context.Context, ref RunRef, refusal *payment.Failure) (out RunResult, err error) {
	err = s.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		out = RunResult{}
		schedule, err := tx.LockSchedule(ctx, ref.ScheduleID)
		if err != nil {
			return err
		}
		dueAt, ok := schedule.Timetable.Due(ref.DueAt)
		if !ok {
			s.Log.Warn("not a due time", zap.String("schedule", ref.ScheduleID), zap.Time("due", ref.DueAt))
			return nil
		}
		run, err := tx.ScheduleRun(ctx, schedule.ID, dueAt)
		known, err := found(err)
		if err != nil {
			return err
		}
		switch {
		case known && run.Status.Final():
			out, err = resultOf(ctx, tx, run)
			return err
		case schedule.Status.Over():
			return tx.TellSchedule(ctx, schedule.ID) // Temporal has not heard
		case schedule.Status == payment.SchedulePaused:
			run.Status = payment.RunHeld
		default:
			run, out.Payment, err = createRun(ctx, tx, schedule, dueAt, refusal)
		}
		if err != nil {
			return err
		}
		run.ScheduleID, run.DueAt = schedule.ID, dueAt
		if run, err = tx.SaveRun(ctx, run); err != nil {
			return err
		}
		out.Status = run.Status
		if run.Status == payment.RunFailed {
			if out.Announced, err = webhooks.Announce(ctx, tx, schedule.MerchantID, schedule.Mode, webhooks.RunFailed, run.Resource(), run.UpdatedAt); err != nil {
				return err
			}
		}
		if schedule.Timetable.At != nil && run.Status.Final() {
			_, err = tx.SetScheduleStatus(ctx, schedule.ID, payment.ScheduleCompleted)
		}
		return err
	})
	return out, err
}

// resultOf is the result of a run that was over before.
func resultOf(ctx context.Context, tx *store.Tx, run payment.Run) (RunResult, error) {
	out := RunResult{Status: run.Status}
	if run.IntentID == "" {
		return out, nil
	}
	i, err := tx.LockIntent(ctx, run.IntentID)
	if err != nil || i.Status.Terminal() {
		return out, err
	}
	open := openPayment(i)
	out.Payment = &open
	return out, nil
}

// createRun creates the payment, or says why that cannot be.
func createRun(ctx context.Context, tx *store.Tx, schedule payment.Schedule, dueAt time.Time, refusal *payment.Failure) (payment.Run, *OpenPayment, error) {
	failed := func(f payment.Failure) (payment.Run, *OpenPayment, error) {
		return payment.Run{Status: payment.RunFailed, Failure: &f}, nil, nil
	}
	if refusal != nil {
		return failed(*refusal)
	}
	m, err := tx.GetMerchant(ctx, schedule.MerchantID)
	if err != nil {
		return payment.Run{}, nil, err
	}
	o := schedule.Order
	asset, ok := payment.AssetByCode(o.Asset)
	if !ok {
		return failed(payment.Failure{Code: "asset_unknown", Message: o.Asset + " is not paid out any more."})
	}
	if m.MaxAmount != nil && o.Amount.Cmp(*m.MaxAmount) > 0 {
		return failed(payment.Failure{Code: "amount_above_limit", Message: "The limit for one payment has become " + m.MaxAmount.Decimal(asset.Decimals) + " " + asset.Code + "."})
	}
	i := payment.Intent{
		ID: store.NewID("pi"), MerchantID: schedule.MerchantID, Mode: schedule.Mode, Asset: asset, Amount: o.Amount, Destinations: o.Destinations,
		Priority: o.Priority, MaxFee: o.MaxFee, Reference: o.Reference, Metadata: o.Metadata, RequestID: schedule.RequestID,
	}
	reserved, err := ledger.Reserve(ctx, tx, i)
	if err != nil {
		return payment.Run{}, nil, err
	}
	i.HoldID, i.CreatedAt = reserved.HoldID, reserved.At
	if i, err = tx.CreateIntent(ctx, i, runKey(schedule.ID, dueAt)); err != nil {
		return payment.Run{}, nil, err
	}
	open := openPayment(i)
	return payment.Run{Status: payment.RunCreated, IntentID: i.ID}, &open, nil
}

// runKey is the idempotency key of a run's payment. Merchants' own keys are
// ASCII, so none of them can be taken for it.
func runKey(scheduleID string, dueAt time.Time) string {
	return "§" + scheduleID + "/" + dueAt.UTC().Format(time.RFC3339)
}

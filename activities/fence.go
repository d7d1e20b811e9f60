package activities

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// fence says that a live slot is to die, and what becomes of its payment then.
// It is never lifted. That the payment was paid wins over it.
type fence string

const (
	unfenced     fence = ""
	fenceCancel  fence = "cancel"  // ends as canceled
	fenceReject  fence = "reject"  // ends as rejected
	fenceReroute fence = "reroute" // goes on over another chain
	fenceFail    fence = "fail"    // ends as failed: the chain refuses the payee
)

// raise fences a live slot.
func (f fence) raise(ctx context.Context, tx *store.Tx, s slot) error {
	_, err := tx.FenceSlot(ctx, db.FenceSlotParams{ID: s.id, Fence: string(f)})
	return err
}

// after is the intent when its slot has died.
func (f fence) after(ctx context.Context, tx *store.Tx, i payment.Intent) (*payment.Intent, error) {
	i.TxHash = ""
	switch f {
	case fenceCancel:
		return end(ctx, tx, i, payment.Canceled, "canceled_by_reviewer", "A reviewer canceled the payment, and the chain has proven that it cannot land.")
	case fenceReject:
		return end(ctx, tx, i, payment.Rejected, "rejected_by_reviewer", "A reviewer rejected the payment, and the chain has proven that it cannot land.")
	case fenceFail:
		return end(ctx, tx, i, payment.Failed, "payee_refused", fmt.Sprintf("%s refuses payments to %s.", i.Chain, i.Address))
	case unfenced, fenceReroute:
	}
	i.Status, i.Substatus, i.ReviewReason, i.ReviewDetail = payment.Routed, payment.NoSubstatus, "", ""
	return &i, nil
}

// tried is what an intent's dead slots say about its destinations: those that
// must not be tried again, and those that should not be.
func tried(ctx context.Context, tx *store.Tx, intentID string) (barred, failed map[payment.Chain]bool, err error) {
	slots, err := tx.DeadSlots(ctx, intentID)
	if err != nil {
		return nil, nil, err
	}
	barred, failed = map[payment.Chain]bool{}, map[payment.Chain]bool{}
	for _, s := range slots {
		failed[payment.Chain(s.Chain)] = true
		if fence(s.Fence) == fenceReroute {
			barred[payment.Chain(s.Chain)] = true
		}
	}
	return barred, failed, nil
}

// elsewhere reports whether the intent could be paid on another chain than the
// one it is on.
func elsewhere(ctx context.Context, tx *store.Tx, i payment.Intent) (bool, error) {
	barred, _, err := tried(ctx, tx, i.ID)
	if err != nil {
		return false, err
	}
	for _, d := range i.Destinations {
		if d.Chain != i.Chain && !barred[d.Chain] && i.Allows(d.Chain) {
			return true, nil
		}
	}
	return false, nil
}

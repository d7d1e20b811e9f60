package treasury

import (
	"context"
	"errors"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// ErrLeaseLost says that somebody else may tend the lane by now, or that it
// was frozen. Nothing was written; take the lease again, later.
var ErrLeaseLost = errors.New("the lane's lease is lost")

// outOfGas begins the reason of a lane that Pause took out of service.
const outOfGas = "out of gas: "

// Lane names a lane of a chain.
type Lane struct {
	Chain   payment.Chain
	Address string
}

func (l Lane) object() string { return string(l.Chain) + ":" + l.Address }

// Lease allows its owner to replace transactions of a lane, for 30 seconds.
// The epoch grows with every change of owner and is checked by each write, so
// that an owner who was slow cannot write over the next one's work.
type Lease struct {
	Lane
	Owner     string
	Epoch     int64
	NextNonce uint64 // when the lease was taken
	Paused    bool   // so was the lane
}

// TakeLease takes or renews the lease of a lane. ok is false if somebody else
// holds it, or the lane is frozen.
func TakeLease(ctx context.Context, s *store.Store, l Lane, owner string) (lease Lease, ok bool, err error) {
	row, err := s.Queries().LeaseLane(ctx, db.LeaseLaneParams{Chain: string(l.Chain), Address: l.Address, Owner: owner})
	if errors.Is(err, store.ErrNotFound) {
		return Lease{}, false, nil
	}
	if err != nil {
		return Lease{}, false, fmt.Errorf("lease of lane %s: %w", l.Address, err)
	}
	return Lease{Lane: l, Owner: owner, Epoch: row.LeaseEpoch, NextNonce: uint64(row.NextNonce), Paused: row.State == "paused"}, true, nil
}

// Hold locks the lane until the transaction ends. ErrLeaseLost unless the
// lease is still its owner's.
func (l Lease) Hold(ctx context.Context, tx *store.Tx) error {
	_, err := tx.HoldLane(ctx, db.HoldLaneParams{Chain: string(l.Chain), Address: l.Address, Owner: l.Owner, Epoch: l.Epoch})
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("lane %s on %s: %w", l.Address, l.Chain, ErrLeaseLost)
	}
	return err
}

// NoteNonces writes down how far the chain has come with a lane: nonces below
// latest are in a block, the others are not (any more), and those below final
// are used for good if it is stored what used them.
func NoteNonces(ctx context.Context, s *store.Store, l Lane, latest, final uint64) error {
	err := s.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		chain := string(l.Chain)
		if err := tx.MarkNoncesIncluded(ctx, db.MarkNoncesIncludedParams{Chain: chain, Lane: l.Address, Latest: int64(latest)}); err != nil {
			return err
		}
		if err := tx.MarkNoncesOpen(ctx, db.MarkNoncesOpenParams{Chain: chain, Lane: l.Address, Latest: int64(latest)}); err != nil {
			return err
		}
		return tx.MarkNoncesFinal(ctx, db.MarkNoncesFinalParams{Chain: chain, Lane: l.Address, Final: int64(final)})
	})
	if err != nil {
		return fmt.Errorf("nonces of lane %s: %w", l.Address, err)
	}
	return nil
}

// Freeze takes a lane out of service until a person has found out why, and
// says so in the audit log, once.
func Freeze(ctx context.Context, tx *store.Tx, l Lane, reason string) error {
	n, err := tx.FreezeLane(ctx, db.FreezeLaneParams{Chain: string(l.Chain), Address: l.Address, Reason: reason})
	return l.changed(ctx, tx, n, err, "lane.freeze", reason)
}

// Pause takes a lane out of service for want of native coin: nothing more is
// reserved on it.
func Pause(ctx context.Context, tx *store.Tx, l Lane, detail string) error {
	reason := outOfGas + detail
	n, err := tx.PauseLane(ctx, db.PauseLaneParams{Chain: string(l.Chain), Address: l.Address, Reason: reason})
	return l.changed(ctx, tx, n, err, "lane.pause", reason)
}

// Resume puts a lane that Pause took out of service back into it. Lanes that a
// person has paused stay so.
func Resume(ctx context.Context, tx *store.Tx, l Lane, detail string) error {
	n, err := tx.ResumeLane(ctx, db.ResumeLaneParams{Chain: string(l.Chain), Address: l.Address, Reason: outOfGas})
	return l.changed(ctx, tx, n, err, "lane.resume", detail)
}

// changed writes a change of state to the audit log, unless there was none.
func (l Lane) changed(ctx context.Context, tx *store.Tx, rows int64, err error, action, reason string) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", action, l.object(), err)
	}
	if rows == 0 {
		return nil
	}
	return tx.Audit(ctx, store.AuditEntry{Actor: "system", Action: action, ObjectID: l.object(), Reason: reason})
}

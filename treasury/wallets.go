package treasury

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// LaneSeed is a lane as configured and as its chain knows it.
type LaneSeed struct {
	Address     string
	StartNonce  uint64 // the chain's next nonce at latest, never pending; 0 where there are none
	MaxInFlight int    // transactions that may wait for a block at once
}

// ForeignTransactionError says that a lane's key signed a transaction that is
// not ours: the chain is ahead of every nonce that we gave out. The lane is
// frozen. Either another system uses the key, or it was stolen, or the
// database was restored from an old backup.
type ForeignTransactionError struct {
	Chain   payment.Chain
	Lane    string
	Stored  uint64 // the next nonce we would have given out
	OnChain uint64 // the next nonce by the chain
}

func (e *ForeignTransactionError) Error() string {
	return fmt.Sprintf("lane %s on %s: the chain's next nonce is %d, ours is %d: a transaction that is not ours used this key; the lane is frozen",
		e.Lane, e.Chain, e.OnChain, e.Stored)
}

// RegisterWallets makes a chain's treasury and lanes known. It may be called
// at every start: a new lane begins at its StartNonce, an existing one keeps
// its next nonce, which is never below the chain's. If the chain is ahead, the
// lane is frozen and the error is, or joins, a *ForeignTransactionError; the
// other lanes are registered all the same.
func RegisterWallets(ctx context.Context, s *store.Store, chain payment.Chain, treasury string, lanes []LaneSeed) error {
	// One order of row locks for all processes that start at once.
	lanes = slices.SortedFunc(slices.Values(lanes), func(a, b LaneSeed) int { return strings.Compare(a.Address, b.Address) })
	var foreign []error
	err := s.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		foreign = nil
		if err := tx.InsertWallet(ctx, db.InsertWalletParams{Chain: string(chain), Address: treasury, Role: "treasury"}); err != nil {
			return err
		}
		for _, l := range lanes {
			err := registerLane(ctx, tx, chain, l)
			var f *ForeignTransactionError
			if errors.As(err, &f) {
				foreign = append(foreign, f) // reported after commit: the lane must stay frozen
				continue
			}
			if err != nil {
				return fmt.Errorf("lane %s: %w", l.Address, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("register wallets of %s: %w", chain, err)
	}
	return errors.Join(foreign...)
}

func registerLane(ctx context.Context, tx *store.Tx, chain payment.Chain, l LaneSeed) error {
	if err := tx.InsertWallet(ctx, db.InsertWalletParams{Chain: string(chain), Address: l.Address, Role: "lane"}); err != nil {
		return err
	}
	inserted, err := tx.InsertLane(ctx, db.InsertLaneParams{
		Chain: string(chain), Address: l.Address, NextNonce: int64(l.StartNonce), MaxInFlight: int32(l.MaxInFlight),
	})
	if err != nil || inserted == 1 {
		return err
	}
	next, err := tx.LockLane(ctx, db.LockLaneParams{Chain: string(chain), Address: l.Address})
	if err != nil {
		return err
	}
	if l.StartNonce <= uint64(next) {
		return tx.SetLaneLimit(ctx, db.SetLaneLimitParams{Chain: string(chain), Address: l.Address, MaxInFlight: int32(l.MaxInFlight)})
	}
	foreign := &ForeignTransactionError{Chain: chain, Lane: l.Address, Stored: uint64(next), OnChain: l.StartNonce}
	if err := Freeze(ctx, tx, Lane{chain, l.Address}, foreign.Error()); err != nil {
		return err
	}
	return foreign
}

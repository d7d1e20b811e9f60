package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/treasury"
)

// Tended is what TendLanes did.
type Tended struct {
	Lanes    int `json:"lanes"`    // that this worker holds the lease of
	Resent   int `json:"resent"`   // transactions
	Replaced int `json:"replaced"` // transactions that were outbid, filled or fenced
	Fenced   int `json:"fenced"`   // slots with a cancellation under a nonce of its own
	Booked   int `json:"booked"`   // transactions whose fee nobody else had booked
}

// TendLanes looks after the nonces of a chain's lanes, so that every one that
// was given out is used by some transaction, in order. Per lane, under its
// lease, it
//   - writes down how far the chain has come, and books the fees of finalized
//     transactions that belong to no outcome;
//   - freezes the lane if a transaction that is not ours used its key;
//   - pauses the lane while it cannot pay its next fee;
//   - sends the lowest transaction again that is in no block, and outbids it
//     after BumpAfter; the others when the market has passed their cap;
//   - fills nonces whose payment is closed, and cancels what is fenced.
//
// Chains without lane nonces have nothing to tend.
func (s *Steps) TendLanes(ctx context.Context, in ChainRef) (Tended, error) {
	desk, err := s.desk(in.Chain)
	if err != nil {
		return Tended{}, err
	}
	chain, ok := desk.Chain.(chains.Laner)
	info := desk.Chain.Info()
	if !ok || !info.LaneNonces {
		return Tended{}, nil
	}
	t := &tending{steps: s, desk: desk, chain: chain, info: info, log: s.Log.With(zap.String("chain", string(info.Name)))}
	if c, ok := chain.Conditions(); ok {
		t.market = c
	}
	heads, err := chain.LaneHeads(ctx, info.Lanes)
	if err != nil {
		return Tended{}, err
	}
	var failed []error
	for _, head := range heads {
		if err := t.lane(ctx, head); err != nil && !errors.Is(err, treasury.ErrLeaseLost) {
			failed = append(failed, fmt.Errorf("lane %s: %w", head.Lane, err))
		}
	}
	if err := t.fences(ctx); err != nil {
		failed = append(failed, err)
	}
	return t.done, errors.Join(failed...)
}

// tending is one round over the lanes of a chain.
type tending struct {
	steps  *Steps
	desk   *Desk
	chain  chains.Laner
	info   chains.Info
	market chains.Conditions
	log    *zap.Logger
	leases []treasury.Lease
	done   Tended
}

// lane tends one lane, if its lease is to be had.
func (t *tending) lane(ctx context.Context, head chains.LaneHead) error {
	lease, ok, err := treasury.TakeLease(ctx, t.steps.Store, t.desk.lane(head.Lane), t.desk.worker)
	if err != nil || !ok {
		return err
	}
	t.done.Lanes++
	if head.Latest > lease.NextNonce {
		foreign := &treasury.ForeignTransactionError{Chain: t.info.Name, Lane: head.Lane, Stored: lease.NextNonce, OnChain: head.Latest}
		return t.steps.freeze(ctx, t.desk, head.Lane, foreign.Error())
	}
	if err := treasury.NoteNonces(ctx, t.steps.Store, lease.Lane, head.Latest, head.Final); err != nil {
		return err
	}
	if frozen, err := t.settleNonces(ctx, lease, head.Final); err != nil || frozen {
		return err
	}
	open, err := t.nonces(ctx, t.steps.Store.Queries(), head.Lane, head.Latest, lease.NextNonce)
	if err != nil {
		return err
	}
	funded, err := t.funds(ctx, lease, head, open)
	if err != nil {
		return err
	}
	t.leases = append(t.leases, lease)
	for i, n := range open {
		if err := t.tend(ctx, lease, n, i == 0, funded); err != nil {
			return err
		}
	}
	return nil
}

// nonce is a lane nonce with everything that was signed under it, oldest first.
type nonce struct {
	number uint64
	txs    []db.OpenNoncesRow
}

// newest is what was signed last, or what is known to have used the nonce; ok
// is false if nothing was signed.
func (n nonce) newest() (t db.OpenNoncesRow, ok bool) {
	if len(n.txs) == 0 {
		return db.OpenNoncesRow{}, false
	}
	if i := slices.IndexFunc(n.txs, func(t db.OpenNoncesRow) bool { return t.Counted }); i >= 0 {
		return n.txs[i], true
	}
	return n.txs[len(n.txs)-1], true
}

// payment is the newest payment that was signed under the nonce, with its
// slot; ok is false if there is none.
func (n nonce) payment() (t db.OpenNoncesRow, ok bool) {
	for _, t := range slices.Backward(n.txs) {
		if t.SlotID != "" {
			return t, true
		}
	}
	return db.OpenNoncesRow{}, false
}

func (n nonce) stored() []chains.StoredTx {
	out := make([]chains.StoredTx, len(n.txs))
	for i, t := range n.txs {
		out[i] = chains.StoredTx{Hash: t.Hash, Raw: t.Raw}
	}
	return out
}

// nonces reads the nonces from first up to behind that are not used for good.
func (t *tending) nonces(ctx context.Context, q *db.Queries, lane string, first, behind uint64) ([]nonce, error) {
	rows, err := q.OpenNonces(ctx, db.OpenNoncesParams{Chain: string(t.info.Name), Lane: lane, First: int64(first), Behind: int64(behind)})
	if err != nil {
		return nil, err
	}
	var out []nonce
	for _, r := range rows {
		if len(out) == 0 || out[len(out)-1].number != uint64(r.Nonce) {
			out = append(out, nonce{number: uint64(r.Nonce)})
		}
		if last := &out[len(out)-1]; r.TxID != "" {
			last.txs = append(last.txs, r)
		}
	}
	return out, nil
}

// settleNonces finds out what finally used the nonces of which that is not
// stored. frozen reports that one was used by a transaction that is not ours.
func (t *tending) settleNonces(ctx context.Context, lease treasury.Lease, final uint64) (frozen bool, err error) {
	used, err := t.nonces(ctx, t.steps.Store.Queries(), lease.Address, 0, final)
	if err != nil || len(used) == 0 {
		return false, err
	}
	var txs []chains.StoredTx
	for _, n := range used {
		txs = append(txs, n.stored()...)
	}
	results, err := t.chain.Results(ctx, txs)
	if err != nil {
		return false, err
	}
	for _, n := range used {
		mine := results[:len(n.txs)]
		results = results[len(n.txs):]
		i := slices.IndexFunc(mine, func(r chains.TxResult) bool { return r.Final })
		if i >= 0 {
			err = t.book(ctx, n.txs[i], mine[i])
		} else {
			frozen, err = t.foreign(ctx, lease, n)
		}
		if err != nil || frozen {
			return frozen, err
		}
	}
	return false, nil
}

// book stores the result of a transaction and its fee, unless that is to be
// done with the outcome of its payment.
func (t *tending) book(ctx context.Context, x db.OpenNoncesRow, r chains.TxResult) error {
	return t.steps.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if x.IntentID != "" {
			if _, err := tx.LockIntent(ctx, x.IntentID); err != nil {
				return err
			}
			state, err := tx.SlotState(ctx, x.SlotID)
			if err != nil || state == "live" && x.Purpose == paying {
				return err
			}
		}
		news, err := account(ctx, tx, t.info, x.TxID, x.Hash, x.IntentID, r)
		if news {
			tx.AfterCommit(func() { t.done.Booked++ })
		}
		return err
	})
}

// foreign freezes the lane if a nonce was used by a transaction that is not
// ours. Not knowing what used it proves nothing.
func (t *tending) foreign(ctx context.Context, lease treasury.Lease, n nonce) (frozen bool, err error) {
	hash, err := t.chain.Consumer(ctx, chains.Lane{Address: lease.Address, Nonce: n.number})
	if errors.Is(err, chains.ErrUnknown) {
		t.log.Warn("it is unknown what used a nonce", zap.String("lane", lease.Address), zap.Uint64("nonce", n.number), zap.Error(err))
		return false, nil
	}
	if err != nil || slices.ContainsFunc(n.txs, func(x db.OpenNoncesRow) bool { return x.Hash == hash }) {
		return false, err
	}
	return true, t.steps.freeze(ctx, t.desk, lease.Address,
		fmt.Sprintf("nonce %d was used by transaction %s, which is not ours: another system uses this key, or it was stolen", n.number, hash))
}

// funds pauses the lane as long as it cannot pay the highest fee of its lowest
// transaction, or with none, of one more payment.
func (t *tending) funds(ctx context.Context, lease treasury.Lease, head chains.LaneHead, open []nonce) (enough bool, err error) {
	need := t.market.FeePerPayment
	var waiting db.OpenNoncesRow
	if len(open) > 0 {
		waiting, _ = open[0].newest()
		need = waiting.MaxFee
	}
	enough = head.Native.Cmp(need) >= 0
	if enough && !lease.Paused || len(open) == 0 && !enough {
		return enough, nil
	}
	detail := fmt.Sprintf("%s has %s %s and the next fee may be %s", head.Lane,
		head.Native.Decimal(t.info.NativeDecimals), t.info.NativeAsset, need.Decimal(t.info.NativeDecimals))
	err = t.steps.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := lease.Hold(ctx, tx); err != nil {
			return err
		}
		if enough {
			return treasury.Resume(ctx, tx, lease.Lane, detail)
		}
		return treasury.Pause(ctx, tx, lease.Lane, detail)
	})
	if err != nil || waiting.IntentID == "" {
		return enough, err
	}
	if enough {
		return enough, t.steps.explain(ctx, waiting.IntentID, payment.AwaitingBlock, payment.AwaitingGas)
	}
	return enough, t.steps.explain(ctx, waiting.IntentID, payment.AwaitingGas)
}

// freeze takes a lane out of service until a person has found out why.
func (s *Steps) freeze(ctx context.Context, desk *Desk, lane, reason string) error {
	name := desk.lane(lane)
	desk.log.Error("lane frozen", zap.String("chain", string(name.Chain)), zap.String("lane", lane), zap.String("reason", reason))
	return s.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return treasury.Freeze(ctx, tx, name, reason) })
}

func (d *Desk) lane(address string) treasury.Lane {
	return treasury.Lane{Chain: d.Chain.Info().Name, Address: address}
}

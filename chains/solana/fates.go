package solana

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
	"github.com/settlehq/settle/payment"
)

// Fates reads what became of every transaction of closed slots: of variants
// that lost, and of payments that counted as paid early. Two nodes must show
// the same where two are configured.
func (c *Chain) Fates(ctx context.Context, closed []chains.Watched) ([][]chains.TxResult, error) {
	count := 0
	for _, w := range closed {
		count += len(w.Txs)
	}
	same := func(a, b chains.TxResult) bool {
		return a.Dead == b.Dead && a.Final == b.Final && a.Succeeded == b.Succeeded && a.BlockHeight == b.BlockHeight && a.Fee.Cmp(b.Fee) == 0
	}
	flat, err := witness.Agreed(ctx, c.pool, c.anchor, count, same, func(ctx context.Context, n *rpcpool.Node) ([]chains.TxResult, error) {
		return c.fates(ctx, n, closed)
	})
	if err != nil {
		return nil, fmt.Errorf("solana: fates: %w", err)
	}
	out := make([][]chains.TxResult, len(closed))
	for i, w := range closed {
		out[i], flat = flat[:len(w.Txs)], flat[len(w.Txs):]
	}
	return out, nil
}

// fates is what one node shows, of all transactions in order.
func (c *Chain) fates(ctx context.Context, n *rpcpool.Node, closed []chains.Watched) ([]chains.TxResult, error) {
	head, err := observeHead(ctx, n)
	if err != nil {
		return nil, err
	}
	hashes := newBlockhashes(closed)
	statuses, err := lookUp(ctx, n, closed, hashes.calls...)
	if err != nil {
		return nil, err
	}
	head.LookupSlot = statuses.slot
	var wanted []wantedTx
	for i := range closed {
		for j, s := range statuses.of[i] {
			if s != nil && s.final() {
				wanted = append(wanted, wantedTx{payment: i, tx: j, status: s})
			}
		}
	}
	if err := fetch(ctx, n, closed, wanted); err != nil {
		return nil, err
	}
	var out []chains.TxResult
	for i, w := range closed {
		o := head
		if o.BlockhashExpired, err = hashes.expired(w, head.FinalizedSlot); err != nil {
			return nil, err
		}
		for _, s := range statuses.of[i] {
			var r chains.TxResult
			switch {
			case s == nil:
				r.Dead = o.ended(w.Slot)
			case s.final():
				if known, err := c.result(n, w, wanted[0]); err == nil { // else it proves nothing
					r = known
				}
				wanted = wanted[1:]
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// result is what a finalized transaction came to.
func (c *Chain) result(n *rpcpool.Node, w chains.Watched, x wantedTx) (chains.TxResult, error) {
	e, err := c.evidence(n, w, x)
	if err != nil {
		return chains.TxResult{}, err
	}
	r := chains.TxResult{
		Final: true, Succeeded: !x.status.failed(), BlockHash: e.BlockHash, BlockHeight: e.Slot,
		BlockTime: time.Unix(e.BlockTime, 0).UTC(), Fee: payment.Units(e.Charged),
	}
	if r.Succeeded {
		return r, nil
	}
	message, err := decodeMessage(w.Txs[x.tx].Raw)
	if err != nil {
		return chains.TxResult{}, err
	}
	r.Reason = words(x.status.Err, message, "")
	return r, nil
}

package evm

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/chains/witness"
)

// LaneHeads reads nonces and native balances of the lanes. Of nonces it takes
// the lower where two nodes differ: both confirm that one, and one that lies
// cannot make a lane look used by somebody else.
func (c *Chain) LaneHeads(ctx context.Context, lanes []string) ([]chains.LaneHead, error) {
	accounts := make([]common.Address, len(lanes))
	for i, text := range lanes {
		a, err := parseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("lane %q: %w", text, err)
		}
		accounts[i] = a
	}
	votes, err := witness.Quorum(ctx, c.pool, c.anchor, func(ctx context.Context, n *rpcpool.Node) ([]chains.LaneHead, error) {
		return c.laneHeads(ctx, n, accounts)
	})
	if err != nil {
		return nil, err
	}
	out := votes[0].Said
	for i, text := range lanes {
		out[i].Lane = text
		for _, v := range votes[1:] {
			out[i].Latest = min(out[i].Latest, v.Said[i].Latest)
			out[i].Final = min(out[i].Final, v.Said[i].Final)
		}
	}
	return out, nil
}

// laneHeads is what one node shows.
func (c *Chain) laneHeads(ctx context.Context, n *rpcpool.Node, lanes []common.Address) ([]chains.LaneHead, error) {
	latest, final := make([]hexutil.Uint64, len(lanes)), make([]hexutil.Uint64, len(lanes))
	native := make([]hexutil.Big, len(lanes))
	var b batch
	for i, lane := range lanes {
		b.add(&latest[i], "eth_getTransactionCount", lane, "latest")
		b.add(&native[i], "eth_getBalance", lane, "latest")
	}
	h, err := c.readHeads(ctx, n, b)
	if err != nil {
		return nil, err
	}
	b = nil
	for i, lane := range lanes {
		b.add(&final[i], "eth_getTransactionCount", lane, h.final.Number)
	}
	if err := b.do(ctx, n); err != nil {
		return nil, err
	}
	out := make([]chains.LaneHead, len(lanes))
	for i := range lanes {
		out[i] = chains.LaneHead{Latest: uint64(latest[i]), Final: uint64(final[i]), Native: amount(native[i].ToInt())}
	}
	return out, nil
}

// Results reads the receipts of the transactions. Two nodes must show the same
// where two are configured.
func (c *Chain) Results(ctx context.Context, txs []chains.StoredTx) ([]chains.TxResult, error) {
	same := func(a, b chains.TxResult) bool {
		return a.Final == b.Final && a.Succeeded == b.Succeeded && a.BlockHash == b.BlockHash && a.Fee.Cmp(b.Fee) == 0
	}
	return witness.Agreed(ctx, c.pool, c.anchor, len(txs), same, func(ctx context.Context, n *rpcpool.Node) ([]chains.TxResult, error) {
		return c.results(ctx, n, txs)
	})
}

// results is what one node shows.
func (c *Chain) results(ctx context.Context, n *rpcpool.Node, txs []chains.StoredTx) ([]chains.TxResult, error) {
	s := &scan{chain: c, node: n, blocks: map[hexutil.Uint64]*header{}}
	l := &look{}
	for _, tx := range txs {
		l.txs = append(l.txs, newAttempt(tx))
	}
	s.looks = []*look{l}
	for _, step := range []func(context.Context) error{s.readHeads, s.readReceipts, s.readBlocks} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	out := make([]chains.TxResult, len(txs))
	for i, a := range l.txs {
		if r := a.receipt; r != nil && s.final(r.BlockNumber, r.BlockHash) {
			out[i] = s.result(a)
		}
	}
	return out, nil
}

func (s *scan) result(a *attempt) chains.TxResult {
	x := s.seen(chains.Included, a.receipt)
	out := chains.TxResult{
		Final: true, Succeeded: a.receipt.Status == 1, BlockHash: x.BlockHash, BlockHeight: x.BlockHeight, BlockTime: x.BlockTime, Fee: x.Fee,
	}
	if !out.Succeeded {
		out.Reason = a.words()
	}
	return out
}

// Consumer looks for the block in which the lane's nonce was used, by
// bisection, and for the transaction in it. Two nodes must name the same one
// where two are configured.
func (c *Chain) Consumer(ctx context.Context, lane chains.Lane) (string, error) {
	account, err := parseAddress(lane.Address)
	if err != nil {
		return "", fmt.Errorf("lane: %w", err)
	}
	found, err := witness.Agreed(ctx, c.pool, c.anchor, 1, func(a, b string) bool { return a == b }, func(ctx context.Context, n *rpcpool.Node) ([]string, error) {
		hash, err := c.consumer(ctx, n, account, lane.Nonce)
		return []string{hash}, err
	})
	if err != nil {
		return "", err
	}
	if found[0] == "" {
		return "", fmt.Errorf("%w: nodes name different transactions of %s with nonce %d", chains.ErrUnknown, account, lane.Nonce)
	}
	return found[0], nil
}

// consumer is what one node shows.
func (c *Chain) consumer(ctx context.Context, n *rpcpool.Node, lane common.Address, nonce uint64) (string, error) {
	h, err := c.readHeads(ctx, n, nil)
	if err != nil {
		return "", err
	}
	usedAt := func(number hexutil.Uint64) (bool, error) {
		var count hexutil.Uint64
		err := ask(ctx, n, &count, "eth_getTransactionCount", lane, number)
		return uint64(count) > nonce, err
	}
	used, err := usedAt(h.final.Number)
	if err != nil {
		return "", err
	}
	if !used {
		return "", fmt.Errorf("%s: nonce %d of %s is not finally used", n.Name(), nonce, lane)
	}
	at, err := firstUse(h.final.Number, usedAt)
	if err != nil {
		return "", err
	}
	return findSender(ctx, n, at, lane, nonce)
}

// firstUse is the lowest block at which used is true, as it is at high. It goes
// back from there in growing steps, since nodes keep the recent state for sure.
func firstUse(high hexutil.Uint64, used func(hexutil.Uint64) (bool, error)) (hexutil.Uint64, error) {
	var low hexutil.Uint64 // the block before it is not known to be unused
	for step := hexutil.Uint64(1); high > 0; step *= 2 {
		at := high - min(step, high)
		yes, err := used(at)
		if err != nil {
			return 0, err
		}
		if !yes {
			low = at + 1
			break
		}
		high = at
	}
	for low < high {
		middle := low + (high-low)/2
		yes, err := used(middle)
		if err != nil {
			return 0, err
		}
		if yes {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return high, nil
}

// findSender is the hash of the transaction in a block that a lane sent under a
// nonce.
func findSender(ctx context.Context, n *rpcpool.Node, number hexutil.Uint64, lane common.Address, nonce uint64) (string, error) {
	var block *struct {
		Transactions []struct {
			Hash  common.Hash    `json:"hash"`
			From  common.Address `json:"from"`
			Nonce hexutil.Uint64 `json:"nonce"`
		} `json:"transactions"`
	}
	if err := ask(ctx, n, &block, "eth_getBlockByNumber", number, true); err != nil {
		return "", err
	}
	if block != nil {
		for _, tx := range block.Transactions {
			if tx.From == lane && uint64(tx.Nonce) == nonce {
				return tx.Hash.Hex(), nil
			}
		}
	}
	return "", fmt.Errorf("%s: block %d shows no transaction of %s with nonce %d", n.Name(), number, lane, nonce)
}

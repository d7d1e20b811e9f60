package ethereum

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/miner"
)

// errPaused is the answer to whoever would wait for a block while the clock
// is stopped.
var errPaused = errors.New("the block clock is paused: call sandbox_pause(false) or sandbox_mine first")

// blocks makes the chain grow. It takes the part of a consensus client, and
// is the only one to change head, safe and finalized.
type blocks struct {
	eth      *eth.Ethereum
	finality uint64

	mu     sync.Mutex // held while blocks are made or rewound
	paused bool
	manual bool          // no clock
	next   chan struct{} // closed when the next block is made
}

func newBlocks(backend *eth.Ethereum, finality int) *blocks {
	return &blocks{eth: backend, finality: uint64(finality), manual: true, next: make(chan struct{})}
}

// run makes a block per period until ctx ends; without period it only waits.
func (b *blocks) run(ctx context.Context, period time.Duration) error {
	if period <= 0 {
		<-ctx.Done()
		return nil
	}
	b.mu.Lock()
	b.manual = false
	b.mu.Unlock()
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := b.tick(); err != nil {
				return err
			}
		}
	}
}

func (b *blocks) tick() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused {
		return nil
	}
	return b.seal(false)
}

func (b *blocks) pause(paused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = paused
}

// mine makes n blocks at once, paused or not, and returns the head's number.
func (b *blocks) mine(n int) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range n {
		if err := b.seal(false); err != nil {
			return 0, err
		}
	}
	return b.eth.BlockChain().CurrentBlock().Number.Uint64(), nil
}

// crowd makes blocks of nothing but what fill returns, paused or not, until the
// base fee of the next one is at least wei per gas. What the pool holds waits.
func (b *blocks) crowd(wei *big.Int, fill func(baseFee *big.Int) ([]*types.Transaction, error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		chain := b.eth.BlockChain()
		next := eip1559.CalcBaseFee(chain.Config(), chain.CurrentBlock())
		if next.Cmp(wei) >= 0 {
			return nil
		}
		txs, err := fill(next)
		if err != nil {
			return err
		}
		if err := b.seal(false, txs...); err != nil {
			return err
		}
	}
}

// seal makes the next block, and moves safe and finalized: from the pool, from
// txs if there are any, or without transactions. The caller holds mu.
// Timestamps are the clock's, but at least one second after the parent's, as
// the protocol demands. When it returns, the pool knows the new state.
func (b *blocks) seal(empty bool, txs ...*types.Transaction) error {
	chain := b.eth.BlockChain()
	if err := b.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("pool: %w", err)
	}
	parent := chain.CurrentBlock()
	args := &miner.BuildPayloadArgs{
		Parent:       parent.Hash(),
		Timestamp:    max(uint64(time.Now().Unix()), parent.Time+1),
		FeeRecipient: common.Address{0xfe},
		Withdrawals:  types.Withdrawals{},
		BeaconRoot:   &common.Hash{},
	}
	rand.Read(args.Random[:]) // never fails (crypto/rand)
	block, _, err := b.eth.Miner().BuildTestingPayload(args, txs, empty, nil)
	if err != nil {
		return fmt.Errorf("build block %d: %w", parent.Number.Uint64()+1, err)
	}
	if _, err := chain.InsertBlockWithoutSetHead(context.Background(), block, false); err != nil {
		return fmt.Errorf("insert block %d: %w", block.NumberU64(), err)
	}
	if _, err := chain.SetCanonical(block); err != nil {
		return fmt.Errorf("set head %d: %w", block.NumberU64(), err)
	}
	b.finalize(block.NumberU64())
	if err := b.eth.ChainDb().SyncKeyValue(); err != nil { // so that a kill loses nothing
		return fmt.Errorf("write block %d: %w", block.NumberU64(), err)
	}
	if err := b.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("pool after block %d: %w", block.NumberU64(), err)
	}
	close(b.next)
	b.next = make(chan struct{})
	return nil
}

// finalize marks the block that is finality behind the head, and never an
// older one than before unless that was reorganised away.
func (b *blocks) finalize(head uint64) {
	chain := b.eth.BlockChain()
	number := head - min(head, b.finality)
	if now := chain.CurrentFinalBlock(); now != nil && now.Number.Uint64() > number &&
		chain.GetCanonicalHash(now.Number.Uint64()) == now.Hash() {
		return
	}
	header := chain.GetHeaderByNumber(number)
	chain.SetFinalized(header)
	chain.SetSafe(header)
}

// reorg abandons the newest depth blocks and makes depth+1 others, without
// the clock getting in between. With keep their transactions go back to the
// pool and into the new branch; without they are forgotten, together with
// everything else that was pending.
func (b *blocks) reorg(depth int, keep bool) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	chain := b.eth.BlockChain()
	head := chain.CurrentBlock().Number.Uint64()
	if depth < 1 || uint64(depth) >= head {
		return 0, fmt.Errorf("depth is %d: use 1 to %d", depth, head-1)
	}
	ancestor := chain.GetBlockByNumber(head - uint64(depth))
	if _, err := chain.SetCanonical(ancestor); err != nil {
		return 0, fmt.Errorf("rewind to %d: %w", ancestor.NumberU64(), err)
	}
	if err := b.eth.TxPool().Sync(); err != nil {
		return 0, fmt.Errorf("pool: %w", err)
	}
	if !keep {
		b.eth.TxPool().Clear()
	}
	for range depth + 1 {
		if err := b.seal(!keep); err != nil {
			return 0, err
		}
	}
	return chain.CurrentBlock().Number.Uint64(), nil
}

// upcoming is closed when the next block is made. Take it before looking at
// the chain, so that no block slips by between looking and waiting.
func (b *blocks) upcoming() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}

// await returns when upcoming is closed. Where there is no clock it makes the
// block itself.
func (b *blocks) await(ctx context.Context, upcoming <-chan struct{}) error {
	b.mu.Lock()
	manual, paused := b.manual, b.paused
	if manual {
		defer b.mu.Unlock()
		return b.seal(false)
	}
	b.mu.Unlock()
	if paused {
		return errPaused
	}
	select {
	case <-upcoming:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *blocks) dropPool() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.eth.TxPool().Clear()
}

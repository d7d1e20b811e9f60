package evm

import (
	"context"
	"fmt"
	"math/big"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/chains/rpcpool"
)

// scan is one look at all watched payments, through one node. It takes four
// steps, each one request per batchSize calls: the heads; the logs of all
// authorization nonces; the receipts of what the logs named, and of our own
// transactions where no log was; and the blocks of those receipts, together
// with what a death proof or a reason needs. Deciding is apart, in decide.go.
type scan struct {
	chain *Chain
	node  *rpcpool.Node
	heads heads
	looks []*look
	// by block number; canonical at the time of reading
	blocks map[hexutil.Uint64]*header
}

// look is what a scan knows about one payment.
type look struct {
	slot   chains.Slot
	from   common.Address // who is debited: the treasury, or the lane
	to     common.Address
	value  *big.Int
	nonce  common.Hash // authorization nonce
	txs    []*attempt
	broken error // what we were told to watch makes no sense

	used, canceled *logEntry // of the authorization nonce, as read
	payer          *receipt  // of the transaction in used
	state          *bool     // authorizationState at the final block; nil if not asked or not answered
	listed         bool      // the payee is on the token's blacklist at the final block
}

// attempt is one transaction signed for a slot: a payment, or what ends it.
type attempt struct {
	hash    common.Hash
	tx      *types.Transaction // nil if the stored bytes are not understood; it counts as a payment
	receipt *receipt           // as read; nil if the node has none
	reason  string             // of a final failure: the chain's words
}

func newAttempt(stored chains.StoredTx) *attempt {
	a := &attempt{hash: common.HexToHash(stored.Hash)}
	if tx, err := decodeTx(stored); err == nil {
		a.tx = tx
	}
	return a
}

// Scan looks for the watched payments. It concludes from logs and receipts in
// canonical blocks only, and with two nodes or more calls nothing final that
// two of them do not show; the error wraps chains.ErrUnknown if no node gave
// all the answers.
func (c *Chain) Scan(ctx context.Context, watched []chains.Watched) ([]chains.Sighting, error) {
	return c.scanner.Scan(ctx, watched)
}

// look is what one node shows of the payments, and its head.
func (c *Chain) look(ctx context.Context, n *rpcpool.Node, watched []chains.Watched) ([]chains.Sighting, uint64, error) {
	s := &scan{chain: c, node: n, blocks: map[hexutil.Uint64]*header{}}
	for _, w := range watched {
		s.looks = append(s.looks, newLook(w))
	}
	for _, step := range []func(context.Context) error{s.readHeads, s.readLogs, s.readReceipts, s.readBlocks} {
		if err := step(ctx); err != nil {
			return nil, 0, err
		}
	}
	out := make([]chains.Sighting, len(s.looks))
	for i, l := range s.looks {
		out[i] = s.decide(l)
		c.remember(n.Name(), l, out[i], uint64(s.heads.final.Number))
	}
	return out, uint64(s.heads.latest.Number), nil
}

func newLook(w chains.Watched) *look {
	l := &look{slot: w.Slot, value: big256(w.Amount.Bytes32())}
	var err error
	if l.from, err = parseAddress(w.Slot.Authority); err != nil {
		l.broken = fmt.Errorf("authority: %w", err)
	}
	if l.to, err = parseAddress(w.To); err != nil {
		l.broken = fmt.Errorf("payee: %w", err)
	}
	switch w.Slot.Kind {
	case chains.SlotEIP3009:
		if l.nonce, err = parseAuthorizationNonce(w.Slot.Nonce); err != nil {
			l.broken = err
		}
	case chains.SlotEVMNonce:
		if _, err := strconv.ParseUint(w.Slot.Nonce, 10, 64); err != nil {
			l.broken = fmt.Errorf("account nonce %q is not a number", w.Slot.Nonce)
		}
	default:
		l.broken = fmt.Errorf("slot kind %q is not of this chain", w.Slot.Kind)
	}
	for _, tx := range w.Txs {
		l.txs = append(l.txs, newAttempt(tx))
	}
	return l
}

func (l *look) authorized() bool { return l.slot.Kind == chains.SlotEIP3009 && l.broken == nil }

// expired reports whether the authorization is past its end at a block.
func (l *look) expired(at header) bool {
	return l.authorized() && l.slot.ExpiresAt != nil && uint64(at.Timestamp) >= uint64(l.slot.ExpiresAt.Unix())
}

func (s *scan) readHeads(ctx context.Context) (err error) {
	s.heads, err = s.chain.readHeads(ctx, s.node, nil)
	return err
}

// readReceipts reads the receipts of what was found by log, else those of
// our transactions; and the canonical blocks at the logs' heights.
func (s *scan) readReceipts(ctx context.Context) error {
	var b batch
	payers := map[common.Hash]**receipt{}
	for _, l := range s.looks {
		switch {
		case l.broken != nil:
		case l.used != nil:
			s.addBlock(&b, l.used.BlockNumber)
			if payers[l.used.TxHash] == nil {
				payers[l.used.TxHash] = new(*receipt)
				b.add(payers[l.used.TxHash], "eth_getTransactionReceipt", l.used.TxHash)
			}
		case l.canceled != nil:
			s.addBlock(&b, l.canceled.BlockNumber)
		default:
			for _, a := range l.txs {
				b.add(&a.receipt, "eth_getTransactionReceipt", a.hash)
			}
		}
	}
	if err := b.do(ctx, s.node); err != nil {
		return err
	}
	for _, l := range s.looks {
		if l.used != nil {
			l.payer = *payers[l.used.TxHash]
		}
	}
	return nil
}

// readBlocks reads the canonical blocks at the receipts' heights, whether
// expired authorizations are unused at the final block, and why finally
// reverted transactions did.
func (s *scan) readBlocks(ctx context.Context) error {
	token := fiattoken.NewFiatToken()
	final := s.heads.final.Number
	var b batch
	var tolerate []int
	states := map[*look]*hexutil.Bytes{}
	replays := map[*attempt]int{}
	listed := map[*look]*hexutil.Bytes{}
	for _, l := range s.looks {
		for _, a := range l.txs {
			r := a.receipt
			if r == nil {
				continue
			}
			s.addBlock(&b, r.BlockNumber)
			if replayed, ok := a.replay(); ok && r.Status == 0 && r.BlockNumber <= final && r.BlockNumber > 0 {
				replays[a] = b.add(new(hexutil.Bytes), "eth_call", replayed, r.BlockNumber-1)
				tolerate = append(tolerate, replays[a])
				if listed[l] == nil {
					listed[l] = new(hexutil.Bytes)
					tolerate = append(tolerate, b.add(listed[l], "eth_call", call(s.chain.set.token, isBlacklisted(l.to)), final))
				}
			}
		}
		if l.used == nil && l.canceled == nil && l.expired(s.heads.final) {
			states[l] = new(hexutil.Bytes)
			tolerate = append(tolerate, b.add(states[l], "eth_call", call(s.chain.set.token, token.PackAuthorizationState(l.from, l.nonce)), final))
		}
	}
	if err := b.do(ctx, s.node, tolerate...); err != nil {
		return err
	}
	for l, raw := range states {
		if used, err := token.UnpackAuthorizationState(*raw); err == nil {
			l.state = &used
		}
	}
	for l, raw := range listed {
		l.listed = new(big.Int).SetBytes(*raw).Cmp(big.NewInt(1)) == 0
	}
	for a, at := range replays {
		a.reason = "reverted in its block, would not have one block earlier"
		if err := b[at].err; err != nil {
			a.reason = words(err)
		}
	}
	return nil
}

// isBlacklisted is the call that tells whether the token refuses an account;
// tokens without a blacklist do not answer it.
func isBlacklisted(account common.Address) []byte {
	return append(crypto.Keccak256([]byte("isBlacklisted(address)"))[:4], common.LeftPadBytes(account[:], 32)...)
}

func (s *scan) addBlock(b *batch, number hexutil.Uint64) {
	if _, asked := s.blocks[number]; asked {
		return
	}
	h := new(header)
	s.blocks[number] = h
	b.add(h, "eth_getBlockByNumber", number, false)
}

// replay is the eth_call that a transaction was.
func (a *attempt) replay() (map[string]any, bool) {
	if a.tx == nil || a.tx.To() == nil {
		return nil, false
	}
	c := call(*a.tx.To(), a.tx.Data())
	c["from"], c["gas"] = a.receipt.From, hexutil.Uint64(a.tx.Gas())
	return c, true
}

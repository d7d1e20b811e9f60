package evm

import (
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
)

// proof is the finalized facts behind an outcome, stored with it.
type proof struct {
	Kind            string         `json:"kind"` // transfer, authorization_expired, authorization_canceled, nonce_canceled, transaction_reverted
	Token           common.Address `json:"token"`
	From            common.Address `json:"from"`
	To              common.Address `json:"to"`
	Value           string         `json:"value"` // base units
	Nonce           string         `json:"nonce"` // of the slot
	FinalNumber     uint64         `json:"final_number"`
	FinalHash       common.Hash    `json:"final_hash"`
	FinalTime       time.Time      `json:"final_time"`
	TxHash          *common.Hash   `json:"tx_hash,omitempty"`
	BlockNumber     uint64         `json:"block_number,omitempty"`
	BlockHash       *common.Hash   `json:"block_hash,omitempty"`
	LogIndex        *uint64        `json:"log_index,omitempty"`
	PaidEarlier     uint64         `json:"paid_earlier,omitempty"` // blocks on top that were enough for the amount: the block is not final yet
	ValidBefore     *time.Time     `json:"valid_before,omitempty"`
	AuthorizedState *bool          `json:"authorization_state,omitempty"` // authorizationState at the final block
}

// decide draws the conclusion from what the scan has read. It does no I/O.
func (s *scan) decide(l *look) chains.Sighting {
	switch {
	case l.broken != nil:
		return chains.Sighting{Kind: chains.Unseen, Reason: l.broken.Error()}
	case l.slot.Kind == chains.SlotEVMNonce:
		return s.decideNonce(l)
	case l.used != nil:
		return s.decideUsed(l)
	case l.canceled != nil:
		return s.decideCanceled(l)
	case l.expired(s.heads.final) && l.state != nil && !*l.state:
		p := s.proof("authorization_expired", l)
		p.ValidBefore, p.AuthorizedState = l.slot.ExpiresAt, l.state
		return chains.Sighting{Kind: chains.Dead, BlockHash: s.heads.final.Hash.Hex(), BlockHeight: uint64(s.heads.final.Number), BlockTime: s.heads.final.time(), Proof: encode(p)}
	}
	return s.decideReverted(l)
}

// decideUsed: the token says that the authorization was used. The receipt
// must agree, in the canonical block.
func (s *scan) decideUsed(l *look) chains.Sighting {
	r := l.payer
	if r == nil || r.BlockHash != l.used.BlockHash || !s.canonical(r.BlockNumber, r.BlockHash) {
		return chains.Sighting{Kind: chains.Unseen} // a reorg between two reads
	}
	at, ok := r.authorizedTransfer(s.chain.set.token, l)
	if !ok || r.Status != 1 {
		return chains.Sighting{Kind: chains.Unseen, TxHash: r.TxHash.Hex(), Reason: "the authorization was used, but not for the transfer that it was signed for: a person must look"}
	}
	return s.paid(l, r, at)
}

func (s *scan) paid(l *look, r *receipt, at int) chains.Sighting {
	x := s.seen(chains.Included, r)
	x.LogIndex = int(r.Logs[at].Index)
	blocks, early := s.chain.set.early(amount(l.value))
	early = early && r.BlockNumber+hexutil.Uint64(blocks) <= s.heads.latest.Number
	if final := r.BlockNumber <= s.heads.final.Number; final || early {
		x.Kind = chains.Paid
		p := s.receiptProof("transfer", l, r)
		if !final {
			x.Early, p.PaidEarlier = true, blocks
		}
		index := uint64(r.Logs[at].Index)
		p.LogIndex = &index
		x.Proof = encode(p)
	}
	return x
}

func (s *scan) decideCanceled(l *look) chains.Sighting {
	e := l.canceled
	if !s.final(e.BlockNumber, e.BlockHash) {
		return chains.Sighting{Kind: chains.Unseen}
	}
	return s.dead("authorization_canceled", l, e.TxHash, e.BlockNumber, e.BlockHash)
}

// dead: a transaction in a final block has killed the slot.
func (s *scan) dead(kind string, l *look, tx common.Hash, number hexutil.Uint64, block common.Hash) chains.Sighting {
	p := s.proof(kind, l)
	p.TxHash, p.BlockNumber, p.BlockHash = &tx, uint64(number), &block
	return chains.Sighting{
		Kind: chains.Dead, TxHash: tx.Hex(), BlockHash: block.Hex(), BlockHeight: uint64(number),
		BlockTime: s.blocks[number].time(), Proof: encode(p),
	}
}

// decideReverted: the authorization is open. If a payment signed for it has
// finally failed, and no other can be mined any more, nothing of ours is going
// to use it. Cancellations and fills signed along the way pay nothing.
func (s *scan) decideReverted(l *look) chains.Sighting {
	var last *attempt
	for _, a := range l.txs {
		if !s.chain.pays(a) {
			continue
		}
		if s.failed(a) {
			last = a
		} else if !s.outbid(l, a) {
			return chains.Sighting{Kind: chains.Unseen}
		}
	}
	if last == nil {
		return chains.Sighting{Kind: chains.Unseen}
	}
	return s.reverted(l, last)
}

// pays reports whether the transaction is a payment, or may be one.
func (c *Chain) pays(a *attempt) bool { return a.tx == nil || !fills(a.tx) && !c.cancels(a.tx) }

// failed reports whether the transaction has finally failed.
func (s *scan) failed(a *attempt) bool {
	r := a.receipt
	return r != nil && r.Status == 0 && s.final(r.BlockNumber, r.BlockHash)
}

// outbid reports whether another transaction of the slot has finally taken the
// lane nonce of one that is in no block.
func (s *scan) outbid(l *look, a *attempt) bool {
	return a.receipt == nil && slices.ContainsFunc(l.txs, func(o *attempt) bool {
		return o.receipt != nil && s.final(o.receipt.BlockNumber, o.receipt.BlockHash) && s.chain.exclude(a, o)
	})
}

// exclude reports whether at most one of two transactions can be on chain,
// since they share a lane nonce.
func (c *Chain) exclude(a, b *attempt) bool {
	if a.tx == nil || b.tx == nil || a.tx.Nonce() != b.tx.Nonce() {
		return false
	}
	one, err := c.sender(a.tx)
	if err != nil {
		return false
	}
	other, err := c.sender(b.tx)
	return err == nil && one == other
}

// decideNonce: one of the slot's transactions at most is on chain, since they
// share an account nonce.
func (s *scan) decideNonce(l *look) chains.Sighting {
	for _, a := range l.txs {
		r := a.receipt
		if r == nil || !s.canonical(r.BlockNumber, r.BlockHash) {
			continue
		}
		if s.chain.cancelsNonce(a, l) { // whether it succeeded or not
			if !s.final(r.BlockNumber, r.BlockHash) {
				return chains.Sighting{Kind: chains.Unseen}
			}
			return s.dead("nonce_canceled", l, a.hash, r.BlockNumber, r.BlockHash)
		}
		if at, ok := r.transfer(s.chain.set.token, l); ok && r.Status == 1 {
			return s.paid(l, r, at)
		}
		switch {
		case r.Status != 0:
			return chains.Sighting{Kind: chains.Unseen, TxHash: r.TxHash.Hex(), Reason: "the transaction succeeded without the transfer that it was signed for: a person must look"}
		case r.BlockNumber <= s.heads.final.Number:
			x := s.reverted(l, a)
			x.SlotDead = true
			return x
		}
	}
	return chains.Sighting{Kind: chains.Unseen}
}

// cancelsNonce reports whether a transaction uses up the slot's account nonce
// without paying anybody, by our own bytes.
func (c *Chain) cancelsNonce(a *attempt, l *look) bool {
	if a.tx == nil || !fills(a.tx) || *a.tx.To() != l.from || strconv.FormatUint(a.tx.Nonce(), 10) != l.slot.Nonce {
		return false
	}
	from, err := c.sender(a.tx)
	return err == nil && from == l.from
}

func (s *scan) reverted(l *look, a *attempt) chains.Sighting {
	x := s.seen(chains.Reverted, a.receipt)
	x.Reason, x.Permanent = a.words(), l.refusedForGood(a.words())
	x.Proof = encode(s.receiptProof("transaction_reverted", l, a.receipt))
	return x
}

// refusedForGood reports whether the token's words mean that it will not let
// this payee have money; the treasury may be the one that is listed, too.
func (l *look) refusedForGood(words string) bool {
	words = strings.ToLower(words)
	return strings.Contains(words, "account is blacklisted") && l.listed || strings.Contains(words, "transfer to the zero address")
}

// words are the chain's of a failure.
func (a *attempt) words() string {
	if a.reason == "" {
		return "reverted, reason unknown"
	}
	return a.reason
}

// seen fills in what a canonical receipt says.
func (s *scan) seen(kind chains.SightingKind, r *receipt) chains.Sighting {
	fee := new(big.Int)
	if r.GasPrice != nil {
		fee.Mul(r.GasPrice.ToInt(), new(big.Int).SetUint64(uint64(r.GasUsed)))
	}
	if r.L1Fee != nil {
		fee.Add(fee, r.L1Fee.ToInt())
	}
	return chains.Sighting{
		Kind: kind, TxHash: r.TxHash.Hex(), BlockHash: r.BlockHash.Hex(), BlockHeight: uint64(r.BlockNumber),
		BlockTime: s.blocks[r.BlockNumber].time(), Sender: r.From.Hex(), Fee: amount(fee),
	}
}

// canonical reports whether the block read by number is the one with this
// hash.
func (s *scan) canonical(number hexutil.Uint64, hash common.Hash) bool {
	b := s.blocks[number]
	return b != nil && b.Hash == hash && hash != common.Hash{}
}

// final reports whether the block is canonical and final.
func (s *scan) final(number hexutil.Uint64, hash common.Hash) bool {
	return number <= s.heads.final.Number && s.canonical(number, hash)
}

func (s *scan) proof(kind string, l *look) proof {
	return proof{
		Kind: kind, Token: s.chain.set.token, From: l.from, To: l.to, Value: l.value.String(), Nonce: l.slot.Nonce,
		FinalNumber: uint64(s.heads.final.Number), FinalHash: s.heads.final.Hash, FinalTime: s.heads.final.time(),
	}
}

func (s *scan) receiptProof(kind string, l *look, r *receipt) proof {
	p := s.proof(kind, l)
	p.TxHash, p.BlockNumber, p.BlockHash = &r.TxHash, uint64(r.BlockNumber), &r.BlockHash
	return p
}

func encode(p proof) json.RawMessage {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain values only
	}
	return b
}

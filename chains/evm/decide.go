package evm

import (
	"encoding/json"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
)

// proof is the finalized facts behind an outcome, stored with it.
type proof struct {
	Kind            string         `json:"kind"` // transfer, authorization_expired, authorization_canceled, transaction_reverted
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
	if r.BlockNumber <= s.heads.final.Number {
		x.Kind = chains.Paid
		p := s.receiptProof("transfer", l, r)
		index := uint64(r.Logs[at].Index)
		p.LogIndex = &index
		x.Proof = encode(p)
	}
	return x
}

func (s *scan) decideCanceled(l *look) chains.Sighting {
	e := l.canceled
	if e.BlockNumber > s.heads.final.Number || !s.canonical(e.BlockNumber, e.BlockHash) {
		return chains.Sighting{Kind: chains.Unseen}
	}
	p := s.proof("authorization_canceled", l)
	p.TxHash, p.BlockNumber, p.BlockHash = &e.TxHash, uint64(e.BlockNumber), &e.BlockHash
	return chains.Sighting{
		Kind: chains.Dead, TxHash: e.TxHash.Hex(), BlockHash: e.BlockHash.Hex(), BlockHeight: uint64(e.BlockNumber),
		BlockTime: s.blocks[e.BlockNumber].time(), Proof: encode(p),
	}
}

// decideReverted: the authorization is open. If every transaction signed for
// it has finally failed, nothing of ours is going to use it any more.
func (s *scan) decideReverted(l *look) chains.Sighting {
	for _, r := range l.receipts {
		if r == nil || r.Status != 0 || r.BlockNumber > s.heads.final.Number || !s.canonical(r.BlockNumber, r.BlockHash) {
			return chains.Sighting{Kind: chains.Unseen}
		}
	}
	if len(l.receipts) == 0 {
		return chains.Sighting{Kind: chains.Unseen}
	}
	return s.reverted(l, l.receipts[len(l.receipts)-1])
}

// decideNonce: one of the slot's transactions at most is on chain, since they
// share an account nonce.
func (s *scan) decideNonce(l *look) chains.Sighting {
	for _, r := range l.receipts {
		if r == nil || !s.canonical(r.BlockNumber, r.BlockHash) {
			continue
		}
		if at, ok := r.transfer(s.chain.set.token, l); ok && r.Status == 1 {
			return s.paid(l, r, at)
		}
		switch {
		case r.Status != 0:
			return chains.Sighting{Kind: chains.Unseen, TxHash: r.TxHash.Hex(), Reason: "the transaction succeeded without the transfer that it was signed for: a person must look"}
		case r.BlockNumber <= s.heads.final.Number:
			x := s.reverted(l, r)
			x.SlotDead = true
			return x
		}
	}
	return chains.Sighting{Kind: chains.Unseen}
}

func (s *scan) reverted(l *look, r *receipt) chains.Sighting {
	x := s.seen(chains.Reverted, r)
	x.Reason = l.reason
	if x.Reason == "" {
		x.Reason = "reverted, reason unknown"
	}
	x.Proof = encode(s.receiptProof("transaction_reverted", l, r))
	return x
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

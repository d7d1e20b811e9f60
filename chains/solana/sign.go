package solana

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	sol "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/token"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

const (
	maxTransaction = 1232 // bytes on the wire
	maxMemo        = 128  // bytes; intent ids are 35
)

// Sign makes one transaction that pays the order, with the blockhash of the
// last Refresh: chains.ErrStale if that is too old. MaxFee holds for the fee and
// a guard's rent: chains.ErrFeeCapped if it, or the configured cap, forbids even
// the least price. ValidFor is not used: the blockhash decides how long the
// transaction can land. An order with Reuse gets another variant for the guard
// account of that slot, dearer than all of Replaces; chains.ErrSlotEnds if it
// could land when the slot has ended.
//
// Sign cannot know of earlier attempts. The caller signs a new one only after
// Scan reported Dead, or Reverted with SlotDead (S3).
func (c *Chain) Sign(ctx context.Context, o chains.Order) (chains.Signed, error) {
	signed, err := c.sign(ctx, o)
	if err != nil {
		return chains.Signed{}, fmt.Errorf("solana: sign %s: %w", o.IntentID, err)
	}
	return signed, nil
}

func (c *Chain) sign(ctx context.Context, o chains.Order) (chains.Signed, error) {
	p, err := c.plan(o)
	if err != nil {
		return chains.Signed{}, err
	}
	slot := chains.Slot{Kind: chains.SlotBlockhash, Authority: c.info.Treasury, FromHeight: p.contextSlot, ExpiresHeight: p.lastValid}
	fixed := feeLamports(c.signatures(p.lane), 0, 0)
	if o.Reuse != nil || c.cfg.Exclusive == ExclusiveGuard {
		if p.guard, slot, err = c.guardSlot(ctx, o, p); err != nil {
			return chains.Signed{}, err
		}
		fixed += p.guard.rent
	}
	floor, err := p.outbid(o.Replaces, c.cfg.ComputeUnitPriceFloor, c.cfg.ComputeUnitPriceCap)
	if err != nil {
		return chains.Signed{}, err
	}
	if err := p.afford(o.MaxFee, fixed, floor); err != nil {
		return chains.Signed{}, err
	}
	tx, err := sol.NewTransaction(instructions(p), p.blockhash, sol.TransactionPayer(p.lane))
	if err != nil {
		return chains.Signed{}, err
	}
	if err := c.signAll(ctx, tx); err != nil {
		return chains.Signed{}, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return chains.Signed{}, err
	}
	if len(raw) > maxTransaction {
		return chains.Signed{}, fmt.Errorf("transaction has %d bytes, at most %d", len(raw), maxTransaction)
	}
	signature := tx.Signatures[0].String()
	if slot.Kind == chains.SlotBlockhash {
		slot.Nonce = signature
	}
	return chains.Signed{
		Slot: slot,
		Tx: chains.SignedTx{
			Hash:     signature,
			Raw:      raw,
			Sender:   p.lane.String(),
			GasLimit: uint64(p.unitLimit),
			FeeCap:   payment.Units(p.price),
			MaxFee:   payment.Units(fixed + feeLamports(0, p.price, p.unitLimit) + c.rent),

			FeeCapped: p.price < p.market,
		},
	}, nil
}

// plan is an order with every address and figure that its bytes depend on.
type plan struct {
	lane, treasury, source, payee, payeeATA, mint sol.PublicKey
	units                                         uint64
	decimals                                      uint8
	memo                                          string
	unitLimit, dataLimit                          uint32
	price, market                                 uint64 // micro-lamports per compute unit; without caps
	blockhash                                     sol.Hash
	contextSlot, lastValid                        uint64
	guard                                         *guard // nil: exclusive by its blockhash
}

func (c *Chain) plan(o chains.Order) (plan, error) {
	if o.Reuse != nil && o.Reuse.Kind != chains.SlotGuard {
		return plan{}, errReuse
	}
	if o.IntentID == "" || len(o.IntentID) > maxMemo || !utf8.ValidString(o.IntentID) {
		return plan{}, fmt.Errorf("intent id must be 1 to %d bytes of UTF-8: it is the memo", maxMemo)
	}
	if o.Seq < 1 {
		return plan{}, fmt.Errorf("attempt number %d, they count from 1", o.Seq)
	}
	units, ok := o.Amount.Uint64()
	if !ok || units == 0 {
		return plan{}, fmt.Errorf("amount %s is not between 1 and 2^64-1 base units", o.Amount)
	}
	payee, err := sol.PublicKeyFromBase58(o.To)
	if err != nil {
		return plan{}, fmt.Errorf("payee %q: %w", o.To, err)
	}
	lane, err := sol.PublicKeyFromBase58(o.Lane.Address)
	if err != nil {
		return plan{}, fmt.Errorf("lane %q: %w", o.Lane.Address, err)
	}
	payeeATA, bump, err := sol.FindAssociatedTokenAddress(payee, c.keys.mint)
	if err != nil {
		return plan{}, fmt.Errorf("token account of %s: %w", payee, err)
	}
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	if err := c.anchor.Err(); err != nil {
		return plan{}, err
	}
	n := c.network.Load()
	if n == nil {
		return plan{}, fmt.Errorf("%w: never read", chains.ErrStale)
	}
	bound := time.Duration(c.cfg.MaxConditionsAgeMS) * time.Millisecond
	if age := max(now.Sub(n.ObservedAt), time.Since(n.ObservedAt)); age > bound {
		return plan{}, fmt.Errorf("%w: read %s ago, at most %s", chains.ErrStale, age.Round(time.Millisecond), bound)
	}
	return plan{
		lane: lane, treasury: c.keys.treasury, source: c.keys.treasuryATA, payee: payee, payeeATA: payeeATA, mint: c.keys.mint,
		units: units, decimals: uint8(c.cfg.Decimals), memo: o.IntentID,
		unitLimit: c.unitLimit(o.IntentID, bump), dataLimit: c.cfg.LoadedAccountsDataLimit, price: n.price, market: n.market,
		blockhash: n.blockhash, contextSlot: n.contextSlot, lastValid: n.lastValid,
	}, nil
}

// outbid raises the price to twice the highest of other transactions, within
// the cap: there is time for few. It returns the least price that is above them.
func (p *plan) outbid(others []chains.StoredTx, floor, ceiling uint64) (least uint64, err error) {
	highest := uint64(0)
	for _, tx := range others {
		price, err := priceOf(tx.Raw)
		if err != nil {
			return 0, err
		}
		highest = max(highest, price)
	}
	if highest >= ceiling {
		return 0, fmt.Errorf("%w: %d micro-lamports per compute unit are offered already, %d are allowed", chains.ErrFeeCapped, highest, ceiling)
	}
	p.price = min(max(p.price, 2*highest), ceiling)
	return max(floor, highest+1), nil
}

// afford lowers the price to what an order allows (0: anything), at no less
// than the floor; the fixed lamports are those that no price changes. The rent
// of a new token account is left out: nobody is asked whether it is needed.
func (p *plan) afford(most payment.Amount, fixed, floor uint64) error {
	cost := func(price uint64) uint64 { return fixed + feeLamports(0, price, p.unitLimit) }
	allowed, ok := most.Uint64()
	if most.IsZero() || !ok || cost(p.price) <= allowed {
		return nil
	}
	if least := cost(floor); allowed < least {
		return fmt.Errorf("%w: a payment costs %d lamports at least, %d are allowed", chains.ErrFeeCapped, least, allowed)
	}
	p.price = (allowed - fixed) * 1_000_000 / uint64(p.unitLimit)
	return nil
}

// instructions is the whole payment; if one fails, none takes effect.
func instructions(p plan) []sol.Instruction {
	list := []sol.Instruction{unitLimitInstruction(p.unitLimit), unitPriceInstruction(p.price), dataLimitInstruction(p.dataLimit)}
	if p.guard != nil {
		list = append(list, openGuard(p.guard, p.lane, p.treasury))
	}
	return append(list,
		createTokenAccount(p.lane, p.payeeATA, p.payee, p.mint),
		token.NewTransferCheckedInstruction(p.units, p.decimals, p.source, p.mint, p.payeeATA, p.treasury, nil).Build(),
		memoInstruction(p.memo, p.treasury),
	)
}

// priceOf is the price that stored bytes offer, in micro-lamports per compute
// unit.
func priceOf(raw []byte) (uint64, error) {
	message, err := decodeMessage(raw)
	if err != nil {
		return 0, err
	}
	for _, ix := range message.Instructions {
		program, err := message.Program(ix.ProgramIDIndex)
		if err == nil && program == sol.ComputeBudget && len(ix.Data) == 9 && ix.Data[0] == setUnitPrice {
			return binary.LittleEndian.Uint64(ix.Data[1:]), nil
		}
	}
	return 0, errors.New("stored bytes name no price")
}

// Compute budget instructions.
const (
	setUnitLimit = 2 // u32
	setUnitPrice = 3 // u64
	setDataLimit = 4 // bytes of loaded accounts, u32
)

func unitLimitInstruction(limit uint32) sol.Instruction {
	return sol.NewInstruction(sol.ComputeBudget, nil, binary.LittleEndian.AppendUint32([]byte{setUnitLimit}, limit))
}

func unitPriceInstruction(price uint64) sol.Instruction {
	return sol.NewInstruction(sol.ComputeBudget, nil, binary.LittleEndian.AppendUint64([]byte{setUnitPrice}, price))
}

func dataLimitInstruction(limit uint32) sol.Instruction {
	return sol.NewInstruction(sol.ComputeBudget, nil, binary.LittleEndian.AppendUint32([]byte{setDataLimit}, limit))
}

// createTokenAccount is CreateIdempotent (instruction 1), which solana-go
// lacks: Create fails if the account exists.
func createTokenAccount(payer, ata, owner, mint sol.PublicKey) sol.Instruction {
	return sol.NewInstruction(sol.SPLAssociatedTokenAccountProgramID, sol.AccountMetaSlice{
		sol.Meta(payer).WRITE().SIGNER(), sol.Meta(ata).WRITE(), sol.Meta(owner), sol.Meta(mint),
		sol.Meta(sol.SystemProgramID), sol.Meta(sol.TokenProgramID),
	}, []byte{1})
}

// memoInstruction carries the text as it is: the library's builder prepends a
// length byte. The treasury signs it, so nobody else can write it.
func memoInstruction(text string, signer sol.PublicKey) sol.Instruction {
	return sol.NewInstruction(sol.MemoProgramID, sol.AccountMetaSlice{sol.Meta(signer).SIGNER()}, []byte(text))
}

// signAll has every required signer sign the message. A wrong signature would
// be a transaction that never lands.
func (c *Chain) signAll(ctx context.Context, tx *sol.Transaction) error {
	message, err := tx.Message.MarshalBinary()
	if err != nil {
		return err
	}
	tx.Signatures = nil
	for _, key := range tx.Message.Signers() {
		b, err := c.signature(ctx, key, message)
		if err != nil {
			return err
		}
		tx.Signatures = append(tx.Signatures, sol.SignatureFromBytes(b))
	}
	return nil
}

// signature asks the signer and checks what it returns.
func (c *Chain) signature(ctx context.Context, key sol.PublicKey, message []byte) ([]byte, error) {
	b, err := c.signer.Sign(ctx, key.String(), message)
	if err != nil {
		return nil, fmt.Errorf("signer %s: %w", key, err)
	}
	if len(b) != ed25519.SignatureSize || !ed25519.Verify(key[:], message, b) {
		return nil, fmt.Errorf("signer %s returned an invalid signature", key)
	}
	return b, nil
}

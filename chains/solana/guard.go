package solana

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	sol "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/system"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

// A guard account (S9) is opened by the payment's own transaction, at an
// address that belongs to the attempt. It can be opened once, and a transaction
// that cannot do all does nothing: of any number of signed variants one pays.
//
// The address must not be guessed, since lamports sent there ahead of the
// payment would stop it. It is derived from a secret, which is a signature of
// the treasury: whoever can make it can move the money anyway.

// How payments are made exclusive (Config.Exclusive).
const (
	ExclusiveBlockhash = "blockhash" // one signature, until its blockhash expires
	ExclusiveGuard     = "guard"     // a guard account
)

const (
	// guardSecretText is what the treasury signs for the secret. It is no
	// transaction: as a message it would need 115 signatures.
	guardSecretText = "settle: secret of guard accounts, version 1"
	// variantBlocks is how long after the first blockhash has expired the last
	// variant of a payment may land: the life of another one.
	variantBlocks = validBlocks
	// maxGuardUses bounds what is read of a guard's transactions. A death with
	// more is not proven: a person must look.
	maxGuardUses = 100
)

// errReuse: a blockhash slot is one signature, there is nothing to reuse.
var errReuse = errors.New("order.reuse applies to slots with a guard account only: two signed variants of any other payment are two payments; sign a new attempt after the death proof of the last")

// guard is the account that a payment's transaction opens.
type guard struct {
	address sol.PublicKey
	seed    string
	rent    uint64 // lamports
}

// guardTerms are stored with the slot: all its variants pay the same.
type guardTerms struct {
	To     string         `json:"to"`
	Amount payment.Amount `json:"amount"` // token base units
}

// guardSlot returns the guard of an order with its slot: a new one, or the one
// that gets another variant.
func (c *Chain) guardSlot(ctx context.Context, o chains.Order, p plan) (*guard, chains.Slot, error) {
	secret, err := c.guardSecret(ctx)
	if err != nil {
		return nil, chains.Slot{}, err
	}
	g := &guard{seed: guardSeed(secret, o.IntentID, o.Seq), rent: c.guardRent}
	if g.address, err = sol.CreateWithSeed(c.keys.treasury, g.seed, sol.SystemProgramID); err != nil {
		return nil, chains.Slot{}, fmt.Errorf("guard account: %w", err)
	}
	terms := guardTerms{To: o.To, Amount: o.Amount}
	slot := chains.Slot{
		Kind: chains.SlotGuard, Authority: c.info.Treasury, Nonce: g.address.String(),
		FromHeight: p.contextSlot, ExpiresHeight: p.lastValid + variantBlocks, Authorization: mustJSON(terms),
	}
	if o.Reuse == nil {
		return g, slot, nil
	}
	var stored guardTerms
	if err := json.Unmarshal(o.Reuse.Authorization, &stored); err != nil {
		return nil, chains.Slot{}, fmt.Errorf("terms of the slot to reuse: %w", err)
	}
	if o.Reuse.Authority != slot.Authority || o.Reuse.Nonce != slot.Nonce || stored.To != terms.To || stored.Amount.Cmp(terms.Amount) != 0 {
		return nil, chains.Slot{}, errors.New("the slot to reuse is of another payment")
	}
	if p.lastValid > o.Reuse.ExpiresHeight {
		return nil, chains.Slot{}, fmt.Errorf("%w: it ends at height %d, a transaction of now at %d: wait for its outcome or death proof", chains.ErrSlotEnds, o.Reuse.ExpiresHeight, p.lastValid)
	}
	return g, *o.Reuse, nil
}

// guardSecret has the treasury sign once per process; ed25519 signs the same
// text the same way always.
func (c *Chain) guardSecret(ctx context.Context) ([]byte, error) {
	if known := c.secret.Load(); known != nil {
		return known[:], nil
	}
	signature, err := c.signature(ctx, c.keys.treasury, []byte(guardSecretText))
	if err != nil {
		return nil, err
	}
	secret := sha256.Sum256(signature)
	c.secret.Store(&secret)
	return secret[:], nil
}

// guardSeed is 32 characters, the longest that a seed may be: 160 bits.
func guardSeed(secret []byte, intentID string, seq int) string {
	mac := hmac.New(sha256.New, secret)
	_, _ = fmt.Fprintf(mac, "%s:%d", intentID, seq) // a hash takes everything
	return base32.StdEncoding.EncodeToString(mac.Sum(nil))[:sol.MaxSeedLength]
}

// openGuard fails with the system program's 0x0 if the account has lamports.
func openGuard(g *guard, lane, treasury sol.PublicKey) sol.Instruction {
	return system.NewCreateAccountWithSeedInstruction(treasury, g.seed, g.rent, 0, sol.SystemProgramID, lane, g.address, treasury).Build()
}

// refusedByGuard reports whether a transaction failed because its guard was
// there already: another variant has paid, or somebody has spoiled the guard.
// Alone it says nothing about the payment.
func refusedByGuard(s *status, raw []byte) bool {
	if !s.failed() {
		return false
	}
	message, err := decodeMessage(raw)
	if err != nil {
		return false // evidence says what is wrong with the bytes
	}
	program, code, ok := programError(s.Err, message)
	return ok && program == sol.SystemProgramID && code == accountInUse
}

// guardFacts is what a node shows of a guard account, after its slot's end.
type guardFacts struct {
	Address   string   `json:"address"`
	Slot      uint64   `json:"slot"`      // that the account was read at
	Lamports  uint64   `json:"lamports"`  // 0: it does not exist
	Strangers []string `json:"strangers"` // transactions with the account that the treasury did not sign: with lamports, they spoiled it

	doubt string // why the payment may have been made all the same; empty if it was not
}

// guards asks about the guard accounts of payments.
type guards struct {
	of    map[string]guardReading // by address
	calls []*rpcpool.Call
}

type guardReading struct{ account, uses *rpcpool.Call }

// newGuards asks as of a finalized slot or later.
func newGuards(w []chains.Watched, since uint64) (guards, error) {
	g := guards{of: map[string]guardReading{}}
	for _, p := range w {
		if p.Slot.Kind != chains.SlotGuard {
			continue
		}
		address, err := sol.PublicKeyFromBase58(p.Slot.Nonce)
		if err != nil {
			return guards{}, fmt.Errorf("guard account %q: %w", p.Slot.Nonce, err)
		}
		r := guardReading{account: accountsCall(finalized, address),
			uses: newCall("getSignaturesForAddress", p.Slot.Nonce, options{"commitment": finalized, "limit": maxGuardUses, "minContextSlot": since})}
		g.of[p.Slot.Nonce] = r
		g.calls = append(g.calls, r.account, r.uses)
	}
	return g, nil
}

// guardFacts reads the answers about a payment's guard account; nil if it has
// none.
func (c *Chain) guardFacts(ctx context.Context, n *rpcpool.Node, w chains.Watched, g guards) (*guardFacts, error) {
	r, guarded := g.of[w.Slot.Nonce]
	if !guarded {
		return nil, nil
	}
	account, slot, err := decodeAccounts(r.account)
	if err != nil {
		return nil, err
	}
	var uses []guardUse
	if err := decode(r.uses, &uses); err != nil {
		return nil, err
	}
	f := &guardFacts{Address: w.Slot.Nonce, Slot: slot, Strangers: []string{}}
	if account[0] != nil {
		f.Lamports = account[0].Lamports
	}
	f.weigh(uses, w.Txs)
	if f.doubt != "" {
		return f, nil
	}
	return f, c.identify(ctx, n, f)
}

// guardUse is one line of getSignaturesForAddress.
type guardUse struct {
	Signature string          `json:"signature"`
	Err       json.RawMessage `json:"err"`
}

// weigh tells strangers' transactions from ours, and notes what speaks against
// the payment not having been made.
func (f *guardFacts) weigh(uses []guardUse, txs []chains.StoredTx) {
	for _, use := range uses {
		switch {
		case !isNull(use.Err): // it did nothing
		case slices.ContainsFunc(txs, func(tx chains.StoredTx) bool { return tx.Hash == use.Signature }):
			f.doubt = "its transaction " + use.Signature + " is listed as a success"
		default:
			f.Strangers = append(f.Strangers, use.Signature)
		}
	}
	switch {
	case len(uses) >= maxGuardUses:
		f.doubt = "the guard account has too many transactions to tell"
	case f.doubt == "" && f.Lamports > 0 && len(f.Strangers) == 0:
		f.doubt = "the guard account exists, and the transaction that opened it is not shown"
	}
}

// identify makes sure that the strangers are none of ours: it looks who signed
// their transactions.
func (c *Chain) identify(ctx context.Context, n *rpcpool.Node, f *guardFacts) error {
	calls := make([]*rpcpool.Call, len(f.Strangers))
	for i, signature := range f.Strangers {
		calls[i] = transactionCall(signature, finalized)
	}
	if err := n.Do(ctx, calls...); err != nil {
		return err
	}
	for i, call := range calls {
		ours, err := signedBy(call, c.keys.treasury)
		if err != nil {
			return err
		}
		if ours {
			f.doubt = "the treasury has used the guard account in " + f.Strangers[i] + ", which is not on record"
		}
	}
	return nil
}

// signedBy reports whether a fetched transaction has the signature of a key.
func signedBy(call *rpcpool.Call, key sol.PublicKey) (bool, error) {
	var tx *transactionResult
	if err := decode(call, &tx); err != nil {
		return false, err
	}
	if tx == nil {
		return false, fmt.Errorf("%w: transaction %s is listed but not shown", chains.ErrUnknown, call.Params[0])
	}
	message, err := decodeMessage(tx.Transaction.bytes)
	if err != nil {
		return false, fmt.Errorf("%w: transaction %s: %w", chains.ErrUnknown, call.Params[0], err)
	}
	return slices.Contains(message.AccountKeys[:min(len(message.AccountKeys), int(message.Header.NumRequiredSignatures))], key), nil
}
